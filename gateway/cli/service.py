"""`storekeeper service`: the systemd unit, by way of systemd/install.sh."""

import shutil
import subprocess
from pathlib import Path

import click

from gateway.cli import examples
from gateway.errors import DeviceOrPermission

ROOT = Path(__file__).parents[2]  # the clone; an installed package has no systemd folder beside it
INSTALL = ROOT / "systemd" / "install.sh"


@click.group(epilog=examples("sudo storekeeper service install --dry-run", "storekeeper service status"))
def service() -> None:
    """The systemd service: install, status, uninstall."""


@service.command(epilog=examples("sudo storekeeper service install", "storekeeper service install --dry-run"))
@click.option("--dry-run", is_flag=True, help="Say each change, make none.")
def install(dry_run: bool) -> None:
    """Install or update the service. A second run changes nothing."""
    _run_installer(*(["--dry-run"] if dry_run else []))


@service.command(
    epilog=examples("sudo storekeeper service uninstall", "storekeeper service uninstall --dry-run")
)
@click.option("--dry-run", is_flag=True, help="Say each change, make none.")
def uninstall(dry_run: bool) -> None:
    """Remove program and unit; ledger and settings are kept, and it says where."""
    _run_installer("--remove", *(["--dry-run"] if dry_run else []))


@service.command(epilog=examples("storekeeper service status", "storekeeper service status; echo $?"))
def status() -> None:
    """How the service is, as systemd sees it. Exit code: that of systemctl status."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise DeviceOrPermission("there is no systemd here; the daemon runs by hand: storekeeper run")
    raise SystemExit(subprocess.run([systemctl, "status", "--no-pager", "storekeeper"]).returncode)


def _run_installer(*options: str) -> None:
    if not INSTALL.exists():
        raise DeviceOrPermission("the installer is in the source folder: run sudo systemd/install.sh there")
    raise SystemExit(subprocess.run([str(INSTALL), *options]).returncode)
