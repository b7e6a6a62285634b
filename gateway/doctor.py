"""What may be wrong with a gateway, looked at from outside: one finding a check, one remedy each.

Every check takes the settings and changes nothing that lasts. It works while the daemon runs and when it
cannot start, so each looks for itself and believes nobody.
"""

import contextlib
import fcntl
import grp
import os
import platform
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.clock import Clock
from gateway.config import Settings
from gateway.ledger import queries
from gateway.ledger.backups import backups
from gateway.nursery import PRELOAD
from gateway.plugged import is_unplugged
from gateway.room import level_of, room
from gateway.web.port import who_listens

FREE_MB_LOW = 500
FULL_PERCENT = 95
INODES_LOW = 1_000
WAL_MB_LARGE = 64
SLOW_COMMIT_MS = 50.0  # the tone comes later than a clerk's next move
COMMITS_TIMED = 20
BACKUP_DAYS_OLD = 7
SYNC_HOURS_OLD = 24
FORECAST_HOURS_OLD = 48
CPU_CELSIUS_HOT = 80
CONNECT_TIMEOUT_S = 2.0
IMPORT_TIMEOUT_S = 60
GROUPS = ("input", "dialout")
SQLITE_STRICT = (3, 37, 0)  # STRICT tables
UNDER_VOLTAGE = 0x1 | 0x10000  # vcgencmd get_throttled: now, and since the start


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor."""

    level: Literal["ok", "warn", "fail"]
    check: str
    text: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn. A check that cannot look says so instead of ending the others."""
    for check in CHECKS:
        try:
            yield from check(settings)
        except (OSError, sqlite3.Error, subprocess.SubprocessError) as error:
            name = check.__name__
            yield Finding(
                "warn",
                name,
                f"could not look: {error}",
                "run it again as the user of the service, or as root",
            )


def system(settings: Settings) -> Iterator[Finding]:
    names = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    bits = 64 if sys.maxsize > 2**32 else 32
    libc = " ".join(platform.libc_ver()).strip()
    text = f"{names.get('PRETTY_NAME', platform.system())}, {bits}-bit {platform.machine()}, {libc}"
    text = f"{text}, Python {platform.python_version()}"
    if bits == 32:
        yield Finding(
            "fail", "system", text, "install the 64-bit image: the forecast's library has no 32-bit one"
        )
    else:
        yield Finding("ok", "system", text)


def packages(settings: Settings) -> Iterator[Finding]:
    """The import packages have common names: they must be ours. Preload as the nursery does, but aloud."""
    ours = Path(__file__).parents[1]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, 'at', getattr(importlib.import_module(name), '__file__', ''))\n"
        "    except Exception as error: print(name, 'failed', type(error).__name__, error)\n"
    )
    names = ("gateway", "drivers", "models", "backoffice")
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code, *names, *PRELOAD],
        capture_output=True,
        text=True,
        timeout=IMPORT_TIMEOUT_S,
    ).stdout.splitlines()
    broken = [line for line in answer if " failed " in line]
    foreign = [
        line
        for line in answer[: len(names)]
        if " at " in line and not line.split(" at ")[1].startswith(str(ours))
    ]
    if len(answer) < len(names) + len(PRELOAD):
        broken.append("an import ended the process")
    for line in broken:
        yield Finding("fail", "packages", line, "install again: sudo systemd/install.sh, or make run")
    for line in foreign:
        yield Finding(
            "fail", "packages", f"{line}: another package has our name", "uninstall that package here"
        )
    if not broken and not foreign:
        yield Finding("ok", "packages", f"all {len(answer)} that driver processes share can be imported")


def sqlite(settings: Settings) -> Iterator[Finding]:
    if sqlite3.sqlite_version_info < SQLITE_STRICT:
        yield Finding(
            "fail",
            "sqlite",
            f"SQLite {sqlite3.sqlite_version}; 3.37 or newer is needed",
            "use Debian 12 or newer",
        )
    else:
        yield Finding("ok", "sqlite", f"SQLite {sqlite3.sqlite_version}")


def onnxruntime(settings: Settings) -> Iterator[Finding]:
    """In a child: a library that does not fit this processor ends the process that imports it."""
    answer = subprocess.run(
        [sys.executable, "-P", "-c", "import onnxruntime; print(onnxruntime.__version__)"],
        capture_output=True,
        text=True,
        timeout=IMPORT_TIMEOUT_S,
    )
    if answer.returncode == 0:
        yield Finding("ok", "model", f"onnxruntime {answer.stdout.strip()} loads")
        return
    last = (answer.stderr.strip().splitlines() or [f"ended with {answer.returncode}"])[-1]
    yield Finding(
        "warn",
        "model",
        f"onnxruntime does not load ({last}); counting needs no forecast",
        "pip install 'storekeeper[models]'",
    )


def forecast(settings: Settings) -> Iterator[Finding]:
    """Made anew each night by a process of its own; counting needs none."""
    path = settings.ledger.data_dir / "forecast.db"
    if not path.exists():
        yield Finding("ok", "forecast", "none yet; it is made at night")
        return
    hours = (time.time() - path.stat().st_mtime) / 3600
    if hours > FORECAST_HOURS_OLD:
        remedy = "storekeeper model train says why"
        yield Finding("warn", "forecast", f"not made anew for {_span(hours)}", remedy)
    else:
        yield Finding("ok", "forecast", f"made {_span(hours)} ago")


def holidays(settings: Settings) -> Iterator[Finding]:
    """The forecast takes the public holidays of a country from a package, which may not know it."""
    country = settings.shop.country
    try:
        from holidays import list_supported_countries
    except ImportError:  # the extra "models" is not installed: `onnxruntime` says so
        return
    if country and country not in list_supported_countries():
        text = f'[shop] country is "{country}": no public holidays are known there, the forecast goes without'
        yield Finding("warn", "holidays", text, "use two letters such as DE, or GB for the United Kingdom")


def ledger(settings: Settings) -> Iterator[Finding]:
    path = settings.ledger.data_dir / "ledger.db"
    if not path.exists():
        yield Finding(
            "warn", "ledger", f"{path} does not exist yet", "it is made at the first start: storekeeper run"
        )
        return
    try:
        with contextlib.closing(queries.connect(path)) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            count = queries.last_seq(connection)
    except sqlite3.DatabaseError as error:
        verdict, count = str(error), 0
    if verdict != "ok":
        yield Finding(
            "fail", "ledger", f"{path} is damaged: {verdict}", "keep a copy, then storekeeper ledger verify"
        )
    else:
        yield Finding(
            "ok", "ledger", f"{count} movements, {path.stat().st_size / 1e6:.1f} MB, structure is whole"
        )
    wal = path.with_name("ledger.db-wal")
    wal_mb = wal.stat().st_size / 1e6 if wal.exists() else 0.0
    if wal_mb > WAL_MB_LARGE:
        yield Finding(
            "warn",
            "wal",
            f"the log beside the ledger has {wal_mb:.0f} MB: something reads it for very long",
            "restart the daemon: sudo systemctl restart storekeeper",
        )


def disk(settings: Settings) -> Iterator[Finding]:
    place = settings.ledger.data_dir
    state = os.statvfs(place)
    found = room(place)
    free_mb = found.free_bytes / 1e6
    if state.f_flag & os.ST_RDONLY:
        yield Finding(
            "fail",
            "disk",
            f"{place} is read-only: nothing can be counted",
            "a worn card does that: save it, replace it",
        )
    elif found.used_percent >= FULL_PERCENT or free_mb < FREE_MB_LOW:
        yield Finding(
            "fail",
            "disk",
            f"{found.used_percent:.0f} % used, {free_mb:.0f} MB free in {place}",
            "make room; when it is full, scans are not counted: storekeeper backup prune --keep 1",
        )
    elif state.f_files and state.f_favail < INODES_LOW:
        yield Finding("fail", "disk", f"room for {state.f_favail} more files only", "delete many small files")
    elif level := level_of(found.used_percent):
        text = f"{found.used_percent:.0f} % used, {free_mb / 1e3:.1f} GB free: more than {level} %"
        yield Finding("warn", "disk", text, "make room before it is needed: storekeeper backup prune")
    else:
        yield Finding("ok", "disk", f"{free_mb / 1e3:.1f} GB free, {found.used_percent:.0f} % used")
    yield from _ballast(settings)


def _ballast(settings: Settings) -> Iterator[Finding]:
    """Whole, or it holds back nothing when the disk is full."""
    path = settings.ledger.data_dir / "ballast"
    wanted = settings.ledger.ballast_mb * 1024 * 1024
    if not wanted or not (settings.ledger.data_dir / "ledger.db").exists():
        return
    if not path.exists():
        text = "the space held back was given up: the disk was full"
        yield Finding("warn", "ballast", text, "make room; it comes back by itself")
    elif (found := path.stat()).st_size != wanted or found.st_blocks * 512 < wanted:
        really = min(found.st_size, found.st_blocks * 512)
        text = f"only {really / 1e6:.1f} of {wanted / 1e6:.1f} MB are held back for a full disk"
        yield Finding("warn", "ballast", text, f"make room, and delete {path}: the daemon writes it anew")


def commits(settings: Settings) -> Iterator[Finding]:
    """What a scan waits for, tried on a file of its own beside the ledger."""
    took_ms = []
    with (
        tempfile.TemporaryDirectory(prefix="doctor-", dir=settings.ledger.data_dir) as folder,
        contextlib.closing(sqlite3.connect(Path(folder, "probe.db"), isolation_level=None)) as probe,
    ):
        probe.execute("PRAGMA journal_mode = WAL")
        probe.execute("PRAGMA synchronous = FULL")
        probe.execute("CREATE TABLE probe (row BLOB)")
        for _ in range(COMMITS_TIMED):
            start = time.perf_counter()
            probe.execute("INSERT INTO probe VALUES (zeroblob(400))")
            took_ms.append((time.perf_counter() - start) * 1000)
    p95_ms = sorted(took_ms)[COMMITS_TIMED * 95 // 100 - 1]
    text = f"commits take {p95_ms:.1f} ms (p95 of {COMMITS_TIMED})"
    if p95_ms > SLOW_COMMIT_MS:
        yield Finding("warn", "commits", f"{text}; scans will sound late", "an SSD or an A2 card helps")
    else:
        yield Finding("ok", "commits", text)


def clock(settings: Settings) -> Iterator[Finding]:
    quality = Clock().now().quality
    if quality == "ntp":
        yield Finding("ok", "clock", "synchronised")
    elif quality == "rtc":
        yield Finding("warn", "clock", "set, but nobody keeps it right", "sudo timedatectl set-ntp true")
    else:
        yield Finding(
            "warn",
            "clock",
            "the date is not known; movements keep their order",
            "connect to the internet once",
        )


def board(settings: Settings) -> Iterator[Finding]:
    """A Raspberry Pi's power and temperature; silent elsewhere."""
    if vcgencmd := shutil.which("vcgencmd"):
        answer = subprocess.run([vcgencmd, "get_throttled"], capture_output=True, text=True, timeout=5).stdout
        _, _, flags = answer.strip().partition("=")
        if flags and int(flags, 16) & UNDER_VOLTAGE:
            yield Finding(
                "warn", "power", "the supply was too weak at least once", "use the supply made for this Pi"
            )
        elif flags:
            yield Finding("ok", "power", "the supply was never too weak")
    zone = Path("/sys/class/thermal/thermal_zone0/temp")
    if zone.exists():
        celsius = int(zone.read_text()) / 1000
        level: Literal["ok", "warn"] = "warn" if celsius >= CPU_CELSIUS_HOT else "ok"
        yield Finding(
            level, "temperature", f"processor at {celsius:.0f} °C", "give it air" if level == "warn" else ""
        )


def groups(settings: Settings) -> Iterator[Finding]:
    """Of the service's user when there is one, else of whoever asks."""
    try:
        user = pwd.getpwnam("storekeeper")
    except KeyError:
        user = pwd.getpwuid(os.geteuid())
    if user.pw_uid == 0:
        yield Finding("ok", "groups", "root may open every device; the service has a user of its own")
        return
    member_of = set(os.getgrouplist(user.pw_name, user.pw_gid))
    there = {group.gr_name: group.gr_gid for group in grp.getgrall() if group.gr_name in GROUPS}
    lacking = [name for name, gid in there.items() if gid not in member_of]
    if lacking:
        yield Finding(
            "fail",
            "groups",
            f"{user.pw_name} may not open devices of {', '.join(lacking)}",
            f"sudo usermod -aG {','.join(lacking)} {user.pw_name} && sudo systemctl restart storekeeper",
        )
    else:
        yield Finding("ok", "groups", f"{user.pw_name} is in {', '.join(sorted(there))}")


def devices(settings: Settings) -> Iterator[Finding]:
    """As the daemon saw them last."""
    path = settings.ledger.data_dir / "telemetry.db"
    for device in settings.devices:
        if device.problem:
            yield Finding(
                "fail",
                "devices",
                f"{device.name}: {device.problem}",
                "correct config.toml; storekeeper check",
            )
    wanted = {device.name for device in settings.devices if device.enabled and not device.problem}
    unplugged = {device.name for device in settings.devices if is_unplugged(device)}
    if not wanted:
        yield Finding("ok", "devices", "none is switched on")
        return
    if not path.exists():
        yield Finding("warn", "devices", "nothing known yet: the daemon has not run here", "storekeeper run")
        return
    with contextlib.closing(queries.connect(path)) as connection:
        states = [state for state in queries.device_states(connection) if state.device in wanted]
    for state in states:
        if state.state == "running":
            yield Finding(
                "ok", "devices", f"{state.device} ({state.driver}) {_last_reading(state.last_reading_us)}"
            )
        else:
            level: Literal["warn", "fail"] = "warn" if state.state in ("waiting", "starting") else "fail"
            remedy = (
                "do what it says; it continues by itself" if level == "warn" else "storekeeper devices list"
            )
            if state.device in unplugged:
                remedy = "plug it in; it continues by itself"
            yield Finding(level, "devices", f"{state.device}: {state.state}; {state.text}", remedy)
    for name in sorted(wanted - {state.device for state in states}):
        yield Finding("warn", "devices", f"{name} was never started", "restart the daemon")


def broker(settings: Settings) -> Iterator[Finding]:
    mqtt = settings.mqtt
    if not mqtt.enabled:
        yield Finding("ok", "broker", "no back office is set up")
        return
    if mqtt.password_file and not mqtt.password_file.exists():
        yield Finding(
            "fail", "broker", f"{mqtt.password_file} does not exist", "write the password into it, mode 0600"
        )
    elif mqtt.password_file and mqtt.password_file.stat().st_mode & 0o077:
        yield Finding(
            "fail", "broker", f"others may read {mqtt.password_file}", f"chmod 600 {mqtt.password_file}"
        )
    try:
        socket.create_connection((mqtt.host, mqtt.port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        text = f"{mqtt.host}:{mqtt.port} not reachable ({error}); movements wait on disk"
        yield Finding("warn", "broker", text, "normal for hours; else look at [mqtt] and the internet")
    else:
        yield Finding("ok", "broker", f"{mqtt.host}:{mqtt.port} answers")


def sync(settings: Settings) -> Iterator[Finding]:
    path = settings.ledger.data_dir / "ledger.db"
    if not settings.mqtt.enabled or not path.exists():
        return
    with contextlib.closing(queries.connect(path)) as connection:
        waiting = queries.waiting(connection)
    if waiting.oldest_us is None:
        yield Finding("ok", "sync", "the back office has everything")
        return
    hours = (Clock().now().wall_us - waiting.oldest_us) / 3.6e9
    text = f"{waiting.count} movements wait, the oldest for {_span(hours)}"
    if hours > SYNC_HOURS_OLD:
        yield Finding("warn", "sync", text, "storekeeper sync status says why")
    else:
        yield Finding("ok", "sync", f"{text}: normal")


def backup(settings: Settings) -> Iterator[Finding]:
    """How old the newest copy is. `storekeeper backup verify` recomputes it; here nobody waits for that."""
    if not (settings.ledger.data_dir / "ledger.db").exists():
        return
    folder = settings.ledger.backups
    found = backups(folder)
    if not found:
        yield Finding("warn", "backup", f"no backup in {folder} yet", "storekeeper backup create")
        return
    days = (time.time() - found[0].path.stat().st_mtime) / 86_400
    text = f"newest {found[0].path.name}, {_span(days * 24)} old, {len(found)} in all"
    if days > BACKUP_DAYS_OLD:
        yield Finding("warn", "backup", text, "storekeeper backup create says why")
    elif folder.stat().st_dev == settings.ledger.data_dir.stat().st_dev:
        remedy = "a stick or another disk under [ledger] backup_dir outlives this one"
        yield Finding("ok", "backup", f"{text}, on the ledger's own disk", remedy)
    else:
        yield Finding("ok", "backup", text)


def daemon(settings: Settings) -> Iterator[Finding]:
    """Whoever counts holds the lock of the ledger; the pages hold their port."""
    lock = settings.ledger.data_dir / "ledger.lock"
    running = lock.exists() and _is_held(lock)
    if running:
        yield Finding("ok", "daemon", f"running (pid {lock.read_text().strip()})")
    else:
        yield Finding("warn", "daemon", "not running", "sudo systemctl start storekeeper, or storekeeper run")
    port = settings.web.port
    if settings.web.enabled and not running and _is_taken(settings.web.host, port):
        text = f"port {port} is used by {who_listens(port)}; the pages would take the next free one"
        yield Finding("warn", "port", text, "stop that program, or set another port under [web]")


def service(settings: Settings) -> Iterator[Finding]:
    if not Path("/run/systemd/system").is_dir():
        yield Finding("ok", "service", "no systemd here: it runs by hand")
        return
    said = [_systemctl("is-enabled"), _systemctl("is-active")]
    if said == ["enabled", "active"]:
        yield Finding("ok", "service", "starts with the machine, runs now")
    elif said[0] in ("", "not-found"):
        yield Finding("ok", "service", "not installed: it runs by hand")
    else:
        yield Finding("warn", "service", f"{said[0]}, {said[1]}", "sudo systemctl enable --now storekeeper")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    system,
    packages,
    sqlite,
    onnxruntime,
    forecast,
    holidays,
    disk,
    commits,
    ledger,
    backup,
    clock,
    board,
    groups,
    devices,
    broker,
    sync,
    daemon,
    service,
)


def _systemctl(question: str) -> str:
    command = ["systemctl", question, "storekeeper"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()


def _last_reading(wall_us: int | None) -> str:
    if wall_us is None:
        return "runs; nothing read yet"
    return f"runs; last reading {_span((time.time() - wall_us / 1e6) / 3600)} ago"


def _span(hours: float) -> str:
    if hours < 1 / 60:
        return "seconds"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _is_held(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        return probe.connect_ex((host, port)) == 0
