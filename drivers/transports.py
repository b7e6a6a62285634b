"""The only place that opens a device. "Unplugged" is DeviceGone here, whatever the kernel calls it."""

import errno
import fcntl
import os
import select
import socket
import stat
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.contract import ConfigError, DeviceGone
from drivers.input_events import EV_SYN, RECORD, SYN_DROPPED, SYN_REPORT

if TYPE_CHECKING:
    import ssl

READ_BYTES_MAX = 65_536
EVIOCGRAB = 0x40044590  # _IOW('E', 0x90, int): this process alone hears the keyboard
CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 0.1  # keys of one code come faster than that
WRITE_WITHIN_S = 5.0  # a full buffer of 4 KiB drains in that time at 9600 baud


class FdTransport:
    """Whatever reads and writes by file descriptor: a tty, an event device, a hidraw node, a socket."""

    is_kept = False  # of an input device the kernel keeps 64 events: not even a whole code

    def __init__(self, fd: int, name: str) -> None:
        """Takes `fd` over, and sets it so that reading and writing never wait."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._name = name

    def fileno(self) -> int:
        return self._fd

    def read(self, timeout_s: float) -> bytes:
        if timeout_s > 0 and not select.select([self._fd], [], [], timeout_s)[0]:
            return b""
        try:
            chunk = os.read(self._fd, READ_BYTES_MAX)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise DeviceGone(f"{self._name}: {os.strerror(error.errno or 0)}") from error
        if not chunk:
            raise DeviceGone(f"{self._name}: closed by the other side")
        return chunk

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._fd, view) :]
                except BlockingIOError as error:
                    if not select.select([], [self._fd], [], WRITE_WITHIN_S)[1]:
                        raise DeviceGone(f"{self._name}: does not take what it is sent") from error
        except OSError as error:
            raise DeviceGone(f"{self._name}: {os.strerror(error.errno or 0)}") from error

    def close(self) -> None:
        os.close(self._fd)


class SerialTransport(FdTransport):
    """A serial line through pyserial, opened exclusive: two readers on one port eat each other's bytes."""

    is_kept = True

    def __init__(
        self, port: str, baud: int, *, bytesize: int = 8, parity: str = "N", stopbits: float = 1
    ) -> None:
        import serial

        if not port:
            raise ConfigError("port is empty; set it to the device's lasting name, /dev/serial/by-id/...")
        try:
            self._serial = serial.Serial(
                port,
                baud,
                bytesize=bytesize,
                parity=parity,
                stopbits=stopbits,
                timeout=0,
                inter_byte_timeout=0,  # VMIN 1: a line without bytes is told from one that was closed
                exclusive=True,
            )
        except (
            OSError,
            termios.error,
        ) as error:  # of pyserial, or the kernel's when it is unplugged meanwhile
            raise _refused(port, _number(error), error) from error
        except ValueError as error:
            raise ConfigError(f"{port}: {error}") from error
        super().__init__(self._serial.fileno(), port)

    def close(self) -> None:
        self._serial.close()


class EvdevTransport(FdTransport):
    """The raw records of an input device, grabbed so that a shop's barcodes never reach a console login.

    A key right after the opening may be in the middle of a code whose beginning nobody read (a driver that was killed
    and came back), and the rest of a code can look like another one: so it is told as keys that were lost.
    """

    def __init__(self, path: str, *, grab: bool = True) -> None:
        super().__init__(_open(path, os.O_RDONLY), path)
        is_device = stat.S_ISCHR(
            os.fstat(self._fd).st_mode
        )  # a pipe has no other listeners, and keeps what was sent
        self._opened_s: float | None = time.time() if is_device else None
        if not (grab and is_device):
            return
        try:
            fcntl.ioctl(self._fd, EVIOCGRAB, 1)
        except OSError as error:
            os.close(self._fd)
            if error.errno != errno.EBUSY:
                raise _refused(path, error.errno, error) from error
            raise DeviceGone(
                f"{path} is held by another program: stop it, or set grab = false and accept double typing"
            ) from error

    def read(self, timeout_s: float) -> bytes:
        chunk = super().read(timeout_s)
        if self._opened_s is None or len(chunk) < RECORD.size:
            return chunk
        opened_s, self._opened_s = self._opened_s, None
        seconds, microseconds, *_ = RECORD.unpack_from(chunk)
        if seconds + microseconds / 1e6 - opened_s > SILENCE_S:
            return chunk
        lost = (RECORD.pack(seconds, microseconds, EV_SYN, code, 0) for code in (SYN_DROPPED, SYN_REPORT))
        return b"".join(lost) + chunk


class HidrawTransport(FdTransport):
    """Whole HID reports: one read is one report."""

    def __init__(self, path: str) -> None:
        super().__init__(_open(path, os.O_RDWR), path)


class TcpTransport:
    """A network reader; `tls` wraps the connection and checks the peer's certificate against `ca_file`.

    Raises DeviceGone, ConfigError.
    """

    is_kept = True

    def __init__(self, host: str, port: int, *, tls: bool = False, ca_file: str = "") -> None:
        self._name = f"{host}:{port}"
        context = trusting(ca_file) if tls else None
        try:
            self._socket = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
            if context:
                self._socket = _secured(self._socket, host, context)
        except UnicodeError as error:  # before it is looked up
            raise ConfigError(f'"{host}" is no name of a machine; use one like reader.local') from error
        except OSError as error:
            raise DeviceGone(f"{self._name}: {error.strerror or error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self, timeout_s: float) -> bytes:
        self._socket.settimeout(max(timeout_s, 0.001))
        try:
            chunk = self._socket.recv(READ_BYTES_MAX)
        except TimeoutError:
            return b""
        except OSError as error:
            raise DeviceGone(f"{self._name}: {error.strerror or error}") from error
        if not chunk:
            raise DeviceGone(f"{self._name}: closed by the other side")
        return chunk

    def write(self, data: bytes) -> None:
        self._socket.settimeout(CONNECT_TIMEOUT_S)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise DeviceGone(f"{self._name}: {error.strerror or error}") from error

    def close(self) -> None:
        self._socket.close()


class FileTransport:
    """A file that is read whole once a period, such as a 1-wire probe's `w1_slave`."""

    def __init__(self, path: str, period_s: float) -> None:
        self._path = Path(path)
        self._period_s = period_s
        self._due_s = time.monotonic()
        if not self._path.exists():
            raise DeviceGone(f"{path}: not there")

    def fileno(self) -> int:
        return -1

    def read(self, timeout_s: float) -> bytes:
        wait_s = self._due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            if wait_s > timeout_s:
                return b""
        self._due_s = time.monotonic() + self._period_s
        try:
            return self._path.read_bytes()[:READ_BYTES_MAX]
        except OSError as error:
            raise DeviceGone(f"{self._path}: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        raise DeviceGone(f"{self._path}: cannot be written to")

    def close(self) -> None:
        """Nothing is held open."""


class ReplayTransport:
    """A recording at the pace it is asked for: chunks of `chunk_bytes`, then DeviceGone, as if unplugged."""

    def __init__(self, recording: bytes, chunk_bytes: int = READ_BYTES_MAX, pause_s: float = 0.0) -> None:
        self._chunks: Iterator[bytes] = (
            recording[at : at + chunk_bytes] for at in range(0, len(recording), chunk_bytes)
        )
        self._pause_s = pause_s
        self.written = bytearray()

    def fileno(self) -> int:
        return -1

    def read(self, timeout_s: float) -> bytes:
        time.sleep(self._pause_s)
        for chunk in self._chunks:
            return chunk
        raise DeviceGone("the recording is over")

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        """Nothing is held open."""


def trusting(ca_file: str) -> "ssl.SSLContext":
    """Who is believed: the authorities in `ca_file`, "" for the system's. Raises ConfigError."""
    import ssl  # a megabyte that few drivers need

    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        why = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f'ca_file is "{ca_file}": {why}; set it to a PEM file of who signed') from error


def _secured(line: socket.socket, host: str, context: "ssl.SSLContext") -> socket.socket:
    """Raises DeviceGone for a certificate that is not trusted just now, OSError.

    It is tried again: the certificate may be renewed, or a clock that does not know the date yet be set.
    """
    import ssl

    try:
        return context.wrap_socket(line, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise DeviceGone(
            f"{host}: its certificate is not trusted ({error.verify_message}); set ca_file"
        ) from error


def _open(path: str, flags: int) -> int:
    if not path:
        raise ConfigError("path is empty; set it to the device's lasting name, /dev/input/by-id/...")
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, error.errno, error) from error


def _number(error: Exception) -> int | None:
    """The kernel's errno of an OSError or a termios.error; None when the message alone says it."""
    number = error.errno if isinstance(error, OSError) else error.args[0]
    return number if isinstance(number, int) else None


def _refused(path: str, number: int | None, error: Exception) -> DeviceGone:
    """Why a device would not open, with the remedy. It is tried again, whatever the reason.

    A missing permission, too: a device just plugged in belongs to root until udev has looked at it.
    """
    if number in (errno.EACCES, errno.EPERM):
        return DeviceGone(
            f"no permission on {path}; run: sudo usermod -aG dialout,input storekeeper"
            " && sudo systemctl restart storekeeper"
        )
    if number == errno.EBUSY or "exclusively lock" in str(error):
        return DeviceGone(f"{path} is held by another program; stop that program")
    return DeviceGone(f"{path}: {os.strerror(number) if number else error}")
