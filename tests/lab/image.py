"""The guest's disk: Debian stable by debootstrap, its stock kernel, and storekeeper by its own installer.

Two layers in `.lab/`, each named after what it was made of: `base-*.img` is Debian, `shop-*.img` has storekeeper on
it. When only our code changed, install.sh is run again on the second, as a shop does an update.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.system.shop import REPOSITORY

LAB = REPOSITORY / ".lab"
SUITE = "bookworm"
DISK_MB = 4096  # sparse: about 1.5 GiB of it are used
PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "e2fsprogs", "dmsetup", "ca-certificates"),
    *("linux-image-amd64", "initramfs-tools", "zstd"),
    *("python3", "python3-venv", "python3-dev", "gcc", "libc6-dev"),  # what install.sh would fetch
)
INITRD_MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic")
AGENT_UNIT = """\
[Unit]
Description=The hands of the lab in this guest
DefaultDependencies=no
After=systemd-udevd.service
[Service]
ExecStart=/usr/bin/python3 -u /lab/agent.py
Restart=always
[Install]
WantedBy=sysinit.target
"""
FSTAB = """\
/dev/vda / ext4 defaults,noatime 0 1
LABEL=ledger /var/lib/storekeeper ext4 defaults,x-systemd.device-timeout=600 0 2
"""
UNWANTED_UNITS = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("e2scrub_reap.service", "fstrim.timer", "getty@tty1.service", "serial-getty@ttyS0.service"),
    *("systemd-timesyncd.service", "systemd-random-seed.service", "systemd-tmpfiles-clean.timer"),
)


class Image(NamedTuple):
    disk: Path
    kernel: Path
    initrd: Path


class CannotRun(Exception):
    """This machine lacks what the lab needs; the text says what, and the remedy."""


def need_tools() -> None:
    if os.geteuid() != 0:
        raise CannotRun("the lab needs root, for debootstrap and loop mounts: sudo make lab")
    packages = {
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "debootstrap": "debootstrap",
        "mkfs.ext4": "e2fsprogs",
    }
    missing = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if missing:
        raise CannotRun(f"missing: apt-get install --no-install-recommends {' '.join(missing)}")


def image(say: callable = print) -> Image:
    """Built when it is not there, brought up to date when it is. Minutes the first time, seconds later."""
    need_tools()
    LAB.mkdir(exist_ok=True)
    recipe = _digest(SUITE, *PACKAGES, *INITRD_MODULES, *UNWANTED_UNITS, AGENT_UNIT, FSTAB)
    base = LAB / f"base-{recipe}.img"
    kernel, initrd = LAB / f"kernel-{recipe}", LAB / f"initrd-{recipe}"
    if not initrd.exists():
        say("building Debian (once; some minutes)")
        _build_base(base, kernel, initrd)
    shop = LAB / f"shop-{recipe}-{_digest((REPOSITORY / 'requirements.lock').read_text())}.img"
    if not shop.exists():
        copied = shop.with_suffix(".new")
        _run("cp", "--sparse=always", str(base), str(copied))
        say("installing storekeeper (once for each requirements.lock)")
        _install(copied)
        copied.rename(shop)
    else:
        _install(shop)
    return Image(shop, kernel, initrd)


def _build_base(base: Path, kernel: Path, initrd: Path) -> None:
    new = base.with_suffix(".new")
    new.unlink(missing_ok=True)
    _format(new)
    with _mounted(new) as root:
        debootstrap = (
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            SUITE,
            str(root),
        )
        _run(*debootstrap)
        _write(root / "etc/fstab", FSTAB)
        _write(root / "etc/hostname", "lab\n")
        _write(root / "etc/initramfs-tools/conf.d/lab", "MODULES=list\nCOMPRESS=zstd\n")
        _write(root / "etc/initramfs-tools/modules", "\n".join(INITRD_MODULES) + "\n")
        _write(root / "etc/systemd/system/lab-agent.service", AGENT_UNIT)
        with _as_a_machine(root) as inside:
            inside("update-initramfs", "-u", "-k", "all")
            inside("systemctl", "enable", "lab-agent.service")
            inside("systemctl", "mask", *UNWANTED_UNITS)
            inside("apt-get", "clean")
        shutil.copyfile(next((root / "boot").glob("vmlinuz-*")), kernel)
        shutil.copyfile(next((root / "boot").glob("initrd.img-*")), initrd.with_suffix(".new"))
    new.rename(base)
    initrd.with_suffix(".new").rename(initrd)


def _install(disk: Path) -> None:
    """What is in this work tree, by our own installer, and the lab's hands beside it."""
    with _mounted(disk) as root:
        source = root / "usr/src/storekeeper"
        shutil.rmtree(source, ignore_errors=True)
        for part in ("gateway", "drivers", "models", "backoffice", "systemd"):
            shutil.copytree(REPOSITORY / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
            shutil.copyfile(REPOSITORY / name, source / name)
        shutil.rmtree(root / "lab", ignore_errors=True)
        shutil.copytree(REPOSITORY / "tests/lab/inside", root / "lab")
        with _as_a_machine(root) as inside:
            inside("/usr/src/storekeeper/systemd/install.sh")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def _format(disk: Path) -> None:
    with disk.open("wb") as file:
        file.truncate(DISK_MB * 1024 * 1024)
    _run("mkfs.ext4", "-q", "-F", str(disk))


@contextlib.contextmanager
def _mounted(disk: Path) -> Iterator[Path]:
    root = LAB / "root"
    root.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(disk), str(root))
    try:
        yield root
    finally:
        _run("umount", str(root))


@contextlib.contextmanager
def _as_a_machine(root: Path) -> Iterator[callable]:
    """Commands inside the image. An installer finds a machine with systemd there, and our network for pip."""
    mounts = [("proc", "proc"), ("devtmpfs", "dev"), ("tmpfs", "run"), ("tmpfs", "tmp")]
    for kind, where in mounts:
        _run("mount", "-t", kind, kind, str(root / where))
    (root / "run/systemd/system").mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    environment = {
        "PATH": "/tmp/offline:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/tmp",
        "SYSTEMD_OFFLINE": "1",  # systemctl enables, and lets be what needs a running one
        **kept,
    }
    no_udevd = root / "tmp/offline/udevadm"
    _write(no_udevd, "#!/bin/sh\n")
    no_udevd.chmod(0o755)
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    environment |= {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
    environment.pop("PIP_FIND_LINKS", None)
    certificates = os.environ.get("SSL_CERT_FILE")
    if certificates:
        shutil.copyfile(certificates, root / "tmp/certificates.pem")
        environment |= {"PIP_CERT": "/tmp/certificates.pem", "SSL_CERT_FILE": "/tmp/certificates.pem"}

    def inside(*command: str) -> None:
        _run("chroot", str(root), *command, environment=environment)

    try:
        yield inside
    finally:
        (root / "etc/resolv.conf").unlink()
        for _, where in reversed(mounts):
            _run("umount", str(root / where))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Quiet when it works; all that it said when it does not."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
