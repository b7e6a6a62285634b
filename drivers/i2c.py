"""The I2C bus as the kernel gives it: one slave on /dev/i2c-N, written and read without a package."""

import errno
import fcntl
import os
from typing import Protocol

from drivers.contract import ConfigError, DeviceGone

I2C_SLAVE = 0x0703  # linux/i2c-dev.h


class Slave(Protocol):
    """One chip. Raises DeviceGone when it does not answer."""

    def write(self, data: bytes) -> None: ...

    def read(self, size_bytes: int) -> bytes: ...

    def close(self) -> None: ...


class I2cSlave:
    """The chip at `address` of the bus `port`. Raises DeviceGone, or ConfigError when this is no I2C bus."""

    def __init__(self, port: str, address: int) -> None:
        self._name = f"{port} address 0x{address:02x}"
        try:
            self._fd = os.open(port, os.O_RDWR | os.O_CLOEXEC)
        except PermissionError as error:  # until udev has looked at it, the node is root's
            raise DeviceGone(
                f"no permission on {port}; run: sudo usermod -aG i2c storekeeper"
                " && sudo systemctl restart storekeeper"
            ) from error
        except OSError as error:
            raise DeviceGone(f"{port}: {error.strerror}; is I2C switched on (raspi-config)?") from error
        try:
            fcntl.ioctl(self._fd, I2C_SLAVE, address)
        except OSError as error:
            os.close(self._fd)
            if error.errno == errno.EBUSY:
                raise DeviceGone(f"{self._name} is held by a kernel driver; unload that driver") from error
            raise ConfigError(f"{port} is no I2C bus; set port to /dev/i2c-1 or the like") from error

    def write(self, data: bytes) -> None:
        try:
            os.write(self._fd, data)
        except OSError as error:
            raise self._gone(error) from error

    def read(self, size_bytes: int) -> bytes:
        try:
            return os.read(self._fd, size_bytes)
        except OSError as error:
            raise self._gone(error) from error

    def close(self) -> None:
        os.close(self._fd)

    def _gone(self, error: OSError) -> DeviceGone:
        if error.errno in (errno.EREMOTEIO, errno.ENXIO, errno.EIO):
            return DeviceGone(f"{self._name}: nothing answers; check wires and address (i2cdetect -y 1)")
        return DeviceGone(f"{self._name}: {error.strerror}")
