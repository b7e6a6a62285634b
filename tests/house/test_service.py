"""The service: a hardened unit, an installer that says what it does, words to systemd."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from gateway.notify import notify

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "storekeeper.service"
RULES = ROOT / "systemd" / "70-storekeeper.rules"
INSTALL = ROOT / "systemd" / "install.sh"
EXPOSURE_MAX = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here: apt install systemd"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@needs_systemd
def test_systemd_finds_no_mistake_in_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/storekeeper/venv/bin/python", sys.executable))

    answer = analyze("verify", str(unit))

    assert (answer.returncode, answer.stdout) == (0, "")


def test_a_device_that_comes_after_the_start_finds_its_driver_allowed() -> None:
    """systemd looks up the names of DeviceAllow= in /proc/devices once; a module's name is there when it is loaded."""
    unit = UNIT.read_text()
    modules = {
        "char-ttyUSB": "usbserial",
        "char-ttyACM": "cdc_acm",
        "char-hidraw": "hid",
        "char-i2c": "i2c_dev",
    }

    allowed = [kind for kind in modules if f"DeviceAllow={kind} rw" in unit]

    assert allowed == list(modules)
    for line in ("Wants=", "After="):
        loaded = [
            word
            for text in unit.splitlines()
            if text.startswith(line)
            for word in text.removeprefix(line).split()
        ]
        assert {f"modprobe@{module}.service" for module in modules.values()} <= set(loaded)


@needs_systemd
def test_the_service_is_well_shut_in() -> None:
    answer = analyze("security", "--offline=yes", "--no-pager", str(UNIT))

    exposure = re.search(r"Overall exposure level for storekeeper.service: ([\d.]+)", answer.stdout)
    assert exposure is not None, answer.stdout
    assert float(exposure[1]) <= EXPOSURE_MAX


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here: apt install strace")
def test_the_daemon_needs_nothing_that_the_unit_forbids(tmp_path: Path) -> None:
    """Daemon, driver, pump and pages under strace, memory never writable and executable at once."""
    path = tmp_path / "config.toml"
    path.write_text(
        f"[web]\nport = {free_port()}\n[mqtt]\nenabled = true\nport = {free_port()}\n"
        '[[device]]\nname = "counter"\ndriver = "serial_scanner"\nport = "/dev/ttyNONE"\n'
    )
    log = tmp_path / "strace.log"
    forbid_w_and_x = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    daemon = [sys.executable, "-m", "gateway", "run", "-c", str(path)]
    with subprocess.Popen(
        ["strace", "-f", "-qq", "-o", str(log), sys.executable, "-c", forbid_w_and_x, *daemon],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as traced:
        if (page := page_of(tmp_path / "web.address", traced)) is None:
            assert traced.stdout is not None
            log_text = traced.stdout.read().decode()
            if "Operation not permitted" in log_text:
                pytest.skip("strace may not trace here")
            raise AssertionError(log_text)
        os.kill(int((tmp_path / "ledger.lock").read_text()), signal.SIGTERM)
        assert traced.wait(120) == 0

    assert page == 200
    used = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", log.read_text(), re.MULTILINE))
    of_root_only = (
        {"fchown", "chown"} if os.geteuid() == 0 else set()
    )  # files are given to the folder's owner
    assert used - allowed_by_the_unit() - of_root_only == set()


def page_of(address: Path, daemon: subprocess.Popen[bytes]) -> int | None:
    """The status of the counter page once there is one; None when the daemon ended before."""
    for _ in range(600):
        if daemon.poll() is not None:
            return None
        if address.exists():
            with urllib.request.urlopen(f"{address.read_text().strip()}/counter", timeout=120) as answer:
                status: int = answer.status
                return status
        time.sleep(0.1)
    raise AssertionError("no page within a minute")


def allowed_by_the_unit() -> set[str]:
    """The unit's SystemCallFilter lines, with systemd's own sets."""
    groups: dict[str, list[str]] = {}
    group: list[str] = []
    for line in analyze("syscall-filter", "--no-pager").stdout.splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif line.startswith("    ") and "#" not in line:
            group.append(line.strip())

    def calls(name: str) -> set[str]:
        return {call for one in groups[name] for call in calls(one)} if name.startswith("@") else {name}

    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        named = {call for word in line.lstrip("~").split() for call in calls(word)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_the_unit_runs_what_is_installed_where_it_is_installed() -> None:
    unit = UNIT.read_text()

    assert (
        "ExecStart=/opt/storekeeper/venv/bin/python -m gateway run --config /etc/storekeeper/config.toml\n"
        in unit
    )
    for line in ("Type=notify", "Restart=always", "WatchdogSec=60s", "StateDirectory=storekeeper"):
        assert f"\n{line}\n" in unit


def test_nobody_at_the_screen_is_given_the_devices() -> None:
    rules = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]

    giving = [rule for rule in rules if "GROUP=" in rule]
    assert len(giving) == 5
    assert all('TAG-="uaccess"' in rule and 'MODE="0660"' in rule for rule in giving)
    assert all(
        re.fullmatch(r'[A-Z]+(\{[\w/]+\})?(==|!=|=|\+=|-=)"[^"]*"', part)
        for rule in rules
        for part in rule.split(", ")
    )


def test_what_systemd_is_told_arrives_as_one_datagram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))

        told = notify("READY=1")

        assert told
        assert manager.recv(100) == b"READY=1"


def test_an_abstract_notify_socket_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"storekeeper-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

        notify("WATCHDOG=1")

        assert manager.recv(100) == b"WATCHDOG=1"


def test_a_service_manager_that_is_gone_does_not_stop_the_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))

    assert notify("READY=1") is False


class Box:
    """A machine to install on: an image folder, and stand-ins for the programs that look at the machine."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "image"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        (self.root / "usr/lib/systemd").mkdir(parents=True)
        self.bits = "64"
        self.free_kb = 8_000_000
        self.python = "3, 11"

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        self._program("getconf", f"echo {self.bits}")
        self._program("df", f"echo head; echo disk 0 0 {self.free_kb} 0% /")
        self._program(
            "python3",
            f"""\
case $1 in
-m)  # the environment itself takes a minute to build: here its pip only notes what it is told
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\necho "$@" >>{self.root}/pip\\n' >"$3/bin/python"
    chmod +x "$3/bin/python" ;;
--version) echo Python 3.9.2 ;;
*) exec {sys.executable} -c "import sys; sys.version_info = ({self.python}); exec(sys.argv[1])" "$2" ;;
esac""",
        )
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "PYTHON": "python3"}
        return subprocess.run(
            [str(INSTALL), "--root", str(self.root), *options],
            env=environment,
            capture_output=True,
            text=True,
        )

    def _program(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_dry_run_says_each_change_and_makes_none(box: Box) -> None:
    before = box.files()

    answer = box.install("--dry-run")

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "7 changes, none of them made."
    assert box.files() == before


def test_what_is_installed_is_what_the_lock_says(box: Box) -> None:
    answer = box.install()

    assert answer.returncode == 0, answer.stderr
    pip = (box.root / "pip").read_text()
    assert f"--require-hashes -r {ROOT}/requirements.lock" in pip
    assert (box.root / "etc/systemd/system/storekeeper.service").read_text() == UNIT.read_text()
    assert (box.root / "etc/udev/rules.d/70-storekeeper.rules").exists()
    assert 'data_dir = "/var/lib/storekeeper"' in (box.root / "etc/storekeeper/config.toml").read_text()


def test_a_second_run_changes_nothing_and_says_so(box: Box) -> None:
    box.install()
    before = box.files()

    answer = box.install()

    assert "nothing: everything is as it should be" in answer.stdout
    assert box.files() == before


def test_settings_are_never_overwritten(box: Box) -> None:
    box.install()
    settings = box.root / "etc/storekeeper/config.toml"
    settings.write_text('[shop]\nname = "Corner"\n')
    (box.root / "opt/storekeeper/installed").unlink()

    box.install()

    assert settings.read_text() == '[shop]\nname = "Corner"\n'


def test_removing_keeps_the_ledger_and_says_where_it_is(box: Box) -> None:
    box.install()
    ledger = box.root / "var/lib/storekeeper/ledger.db"
    ledger.write_bytes(b"movements")

    answer = box.install("--remove")

    assert ledger.read_bytes() == b"movements"
    assert f"Kept: {box.root}/var/lib/storekeeper" in answer.stdout
    assert not (box.root / "opt/storekeeper").exists()
    assert not (box.root / "etc/systemd/system/storekeeper.service").exists()
    assert "nothing: it is not installed" in box.install("--remove").stdout


def test_an_install_that_was_cut_short_is_taken_up_again(box: Box) -> None:
    box.install()
    (box.root / "opt/storekeeper/installed").unlink()

    answer = box.install()

    assert "program in" in answer.stdout
    assert (box.root / "opt/storekeeper/installed").exists()


def test_a_32_bit_system_is_refused_with_the_reason(box: Box) -> None:
    box.bits = "32"

    answer = box.install()

    assert answer.returncode == 1
    assert "32-bit" in answer.stderr
    assert box.files() == {}


def test_an_old_python_is_refused_with_the_reason(box: Box) -> None:
    box.python = "3, 9"

    answer = box.install()

    assert answer.returncode == 1
    assert "Python 3.11 or newer is needed, there is Python 3.9.2" in answer.stderr


def test_a_full_card_is_refused_with_the_reason(box: Box) -> None:
    box.free_kb = 300 * 1024

    answer = box.install()

    assert answer.returncode == 1
    assert "only 300 MB are free" in answer.stderr


def test_a_system_without_systemd_is_refused_with_the_reason(box: Box) -> None:
    shutil.rmtree(box.root / "usr")

    answer = box.install()

    assert answer.returncode == 1
    assert "no systemd" in answer.stderr


def test_an_unknown_option_is_wrong_usage(box: Box) -> None:
    assert box.install("--foo").returncode == 2
