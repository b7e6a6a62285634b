"""The settings of one gateway, as plain values.

What a person writes is `config.toml`; `gateway.check` (pydantic, a short-lived process) proves it and leaves
these values behind, so that no resident process has to hold a validation library. What was proven is kept in
the data directory: the next start needs no check, and a file that was spoilt meanwhile stops nothing.
"""

import contextlib
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from annotated_types import Ge, Le, Predicate, doc

from gateway.errors import SettingsInvalid

PLACES = (Path("config.toml"), Path("/etc/storekeeper/config.toml"), Path("demo-shop/config.toml"))
KEPT_NAME = "settings-in-use.json"
CHECK_SECONDS_MAX = 60.0  # a driver package that hangs while it is imported
ENV_PREFIX = "STOREKEEPER_"  # STOREKEEPER_WEB__PORT=8081 goes before the file
UNTOUCHED = "Nothing was changed in your file."
DATA_DIR = re.compile(r"""^\s*data_dir\s*=\s*["'](.+?)["']""", re.MULTILINE)


def _is_level(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9-]{1,32}", text) is not None


def _is_currency(text: str) -> bool:
    return re.fullmatch(r"[A-Z]{3}", text) is not None


def _is_device_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", text) is not None


def _is_location(text: str) -> bool:
    """Upper case is for the virtual locations: SUPPLIER, CUSTOMER ..."""
    return 0 < len(text) <= 40 and not text.isupper()


def _is_feedback(text: str) -> bool:
    outputs = [part.strip() for part in text.split(",")] if text else []
    return all(re.fullmatch(r"record:.+|sound|gpio:\d{1,4}(@/dev/\S+)?", output) for output in outputs)


def _is_till(text: str) -> bool:
    return text == "" or re.fullmatch(r"serial:/[^@\s]+(@\d{3,6})?|hidg:/\S+|uinput", text) is not None


def _is_country(text: str) -> bool:
    return text == "" or re.fullmatch(r"[A-Z]{2}", text) is not None


def _is_timezone(text: str) -> bool:
    from zoneinfo import available_timezones

    return text in available_timezones()


# The text of `doc` is what a person reads when the value does not fit.
Level = Annotated[str, Predicate(_is_level), doc("1 to 32 of a-z, 0-9 and -")]
Port = Annotated[int, Ge(1), Le(65_535)]


@dataclass(frozen=True, slots=True)
class Shop:
    name: str = "My shop"
    tenant: Level = "shop"  # levels of the MQTT topics, as are store and gateway
    store: Level = "main"
    gateway: Level = "gw1"
    currency: Annotated[str, Predicate(_is_currency), doc("three capital letters, as in EUR")] = "EUR"
    language: Literal["en", "de", "pl"] = "en"
    timezone: Annotated[str, Predicate(_is_timezone), doc("a name such as Europe/Berlin, or UTC")] = "UTC"
    country: Annotated[str, Predicate(_is_country), doc('two capital letters, as in DE, or ""')] = ""
    rcn_region: str = ""  # whose rule reads the weight or price inside an in-store code
    rcn_template: str = ""  # our own rule, when no region fits: "2P IIIII VVVVV C weight 3"
    expired: Literal["warn", "block"] = "warn"  # what happens to a scan of an expired lot


@dataclass(frozen=True, slots=True)
class Ledger:
    data_dir: Path = Path()
    ballast_mb: Annotated[int, Ge(0), Le(1024)] = 16
    backup_dir: Path | None = None  # a stick, another disk; None: the folder `backups` beside the ledger
    backups_kept: Annotated[int, Ge(1), Le(1_000)] = 7

    @property
    def backups(self) -> Path:
        return self.backup_dir or self.data_dir / "backups"


@dataclass(frozen=True, slots=True)
class Web:
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 8080
    lan: bool = False  # HTTPS for the shop's network; its phones are paired by a code shown on the box
    lan_host: str = "0.0.0.0"
    lan_port: Port = 8443


@dataclass(frozen=True, slots=True)
class Broker:
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(1), Le(65_535), doc("1883 plain, 8883 TLS")] = 1883
    tls: bool = False
    ca_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    protocol: Literal["5", "3.1.1"] = "5"


@dataclass(frozen=True, slots=True)
class Mqtt(Broker):
    enabled: bool = False
    compress: bool = False


@dataclass(frozen=True, slots=True)
class Backoffice:
    """`storekeeper backoffice`: a program of its own, which may run on another machine with its own file."""

    database: Path = Path("backoffice.db")
    host: str = "127.0.0.1"
    port: Port = 8090
    broker: Broker = Broker()


KeyboardLayout = Literal["us", "de", "fr", "gb", "es", "it", "pl", "se", "ch"]
Mode = Literal["look", "sell", "receive", "waste", "move", "return", "to_supplier"]


@dataclass(frozen=True, slots=True)
class Device:
    """One `[[device]]`: what the shop decides about it, and in `options` what its driver is told."""

    name: Annotated[str, Predicate(_is_device_name), doc("1 to 40 of letters, digits, . _ and -")]
    driver: str
    mode: Mode = "look"  # home mode; a new scanner starts in look-up until it is given a station
    location: Annotated[str, Predicate(_is_location), doc("the name of a place, not all in capitals")] = (
        "counter"
    )
    enabled: bool = True
    bounce_ms: Annotated[int, Ge(0), Le(5_000), doc("0 for a scanner with its own same-code time-out")] = 120
    feedback: Annotated[
        str, Predicate(_is_feedback), doc('"sound", "gpio:17", "record:FILE", several with commas, or ""')
    ] = ""
    forward: Literal["off", "at-once", "after-commit"] = "off"  # pass-through: the till wants the scans too
    forward_to: Annotated[
        str, Predicate(_is_till), doc('"serial:/dev/ttyUSB0@9600", "hidg:/dev/hidg0" or "uinput"')
    ] = ""
    forward_layout: KeyboardLayout = "us"  # of the till
    forward_terminator: Literal["enter", "tab", "none", "crlf", "lf"] = "enter"
    sku: str = ""  # of a scale under a shelf: the one item that stands on it
    container_grams: Annotated[float, Ge(0), Le(1_000_000)] = 0.0  # of what it stands in
    options: dict[str, Any] = field(default_factory=dict)
    target: str = ""  # "module:Class" behind `driver`, found by the check: a start looks through no packages
    problem: str = ""  # why this device is not started; the others are


@dataclass(frozen=True, slots=True)
class Settings:
    path: Path
    shop: Shop = Shop()
    ledger: Ledger = Ledger()
    web: Web = Web()
    mqtt: Mqtt = Mqtt()
    backoffice: Backoffice = Backoffice()
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in config.toml: place, what is, what would be right."""

    file: str
    line: int  # 1-based; 0 when the mistake has no place in the file
    column: int  # of the value
    text: str
    code: str
    source: str = ""  # the line, secrets blanked out
    device: str = ""  # only this device stops; empty: the whole file is refused

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        said = f"{place}  {self.text}  [{self.code}]"
        if not self.source:
            return said
        return f"{said}\n{self.line:5} | {self.source}\n      | {' ' * (self.column - 1)}^"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings to run with, and what is to be said about them."""

    settings: Settings
    problems: tuple[Problem, ...] = ()
    note: str = ""

    def report(self) -> str:
        """For the log and the terminal; empty when all is well."""
        lines = [str(problem) for problem in self.problems]
        return "\n".join([*lines, f"   {self.note}"] if self.note else lines)


@dataclass(frozen=True, slots=True)
class Watched:
    """A file or directory that the proof depends on besides config.toml: a driver's module, site-packages."""

    path: str
    mtime_ns: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `gateway.check` answers. `settings` is None when the file as a whole is refused."""

    settings: Settings | None
    problems: tuple[Problem, ...]
    watched: tuple[Watched, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """A verdict on disk, and what it was about."""

    path: str
    source: str
    environment: dict[str, str]
    verdict: Verdict


def find(path: Path | None = None) -> Path:
    """The config file: as given, else $STOREKEEPER_CONFIG, else the first of the usual places that exists."""
    named = path or os.environ.get("STOREKEEPER_CONFIG")
    if named:
        return Path(named)
    for place in PLACES:
        if _is_there(place):
            return place
    tried = ", ".join(str(place) for place in PLACES)
    raise SettingsInvalid(f"there is no config file (tried {tried}); say which: -c FILE", "SK-C08")


def load(path: Path) -> Loaded:
    """Settings of the file, proven now or earlier; when it is spoilt, the last ones that were good.

    Raises SettingsInvalid when the file is refused and there are no earlier settings.
    """
    path = path.absolute()
    source = _text(path)
    kept_path = _data_dir(path, source) / KEPT_NAME
    kept = _read_kept(kept_path)
    here = (str(path), source, _environment())
    if kept and here == (kept.path, kept.source, kept.environment) and _still_hold(kept.verdict):
        return _loaded(kept.verdict)
    verdict = ask_checker(path)
    if verdict.settings is not None:
        _keep(kept_path, Kept(*here, verdict))
        return _loaded(verdict)
    if kept is None or kept.verdict.settings is None:
        raise SettingsInvalid("\n".join(str(problem) for problem in verdict.problems))
    kept_at = time.localtime(kept_path.stat().st_mtime)
    when = f"{kept_at.tm_mday} {time.strftime('%b %H:%M', kept_at)}"
    note = f"The gateway keeps running with the settings of {when}."
    return Loaded(kept.verdict.settings, verdict.problems, f"{note} {UNTOUCHED}")


def ask_checker(path: Path, distrusted: tuple[str, ...] = ()) -> Verdict:
    """Let a short-lived process prove the file. A driver package that kills or hangs it is left out."""
    import subprocess  # 8 ms that a start with kept settings does not need

    command = [sys.executable, "-P", "-m", "gateway.check", str(path), *distrusted]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=CHECK_SECONDS_MAX
        ).stdout
    except subprocess.TimeoutExpired as late:
        answer = late.stdout or b""
    *_, last = answer.splitlines() or [b""]
    if last.startswith(b"{"):
        verdict: Verdict = decode(last, Verdict)
        return verdict
    if not last.startswith(b"loading ") or last[8:].decode() in distrusted:
        by_hand = " ".join(command)
        raise SettingsInvalid(
            f"the checker of the settings gives no answer; run it by hand to see why: {by_hand}"
        )
    return ask_checker(path, (*distrusted, last[8:].decode()))


def encode(value: Any) -> bytes:
    """JSON of settings, verdicts and problems."""
    return msgspec.json.encode(value, enc_hook=str)


def decode(data: bytes, form: Any) -> Any:
    """The settings, verdict or problem again."""
    return msgspec.json.decode(data, type=form, dec_hook=lambda kind, text: kind(text))


def _loaded(verdict: Verdict) -> Loaded:
    assert verdict.settings is not None
    stopped = ", ".join(f'"{device.name}"' for device in verdict.settings.devices if device.problem)
    if not stopped:
        return Loaded(verdict.settings, verdict.problems)
    note = f"Not started: {stopped}. Everything else runs. {UNTOUCHED}"
    return Loaded(verdict.settings, verdict.problems, note)


def _is_there(place: Path) -> bool:
    """Also when this user may not look at it: then reading it says so."""
    try:
        place.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _text(path: Path) -> str:
    """The file, whatever state it is in: the checker says what is wrong with it."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _data_dir(path: Path, source: str) -> Path:
    """Where the kept settings are. Found without reading TOML: the file may be spoilt."""
    written = DATA_DIR.search(source)
    named = os.environ.get(f"{ENV_PREFIX}LEDGER__DATA_DIR") or (written[1] if written else "")
    return path.parent / (named or os.environ.get("STATE_DIRECTORY", ""))


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(ENV_PREFIX) and "__" in name}


def _still_hold(verdict: Verdict) -> bool:
    return all(watch(Path(one.path)) == one for one in verdict.watched)


def watch(path: Path) -> Watched:
    """How the file or directory is now."""
    try:
        state = path.stat()
    except OSError:
        return Watched(str(path), 0, 0)
    return Watched(str(path), state.st_mtime_ns, state.st_size)


def _read_kept(path: Path) -> Kept | None:
    try:
        kept: Kept = decode(path.read_bytes(), Kept)
    except (OSError, msgspec.MsgspecError):
        return None
    return kept


def _keep(path: Path, kept: Kept) -> None:
    """Whole or not at all. A reader without the right to write goes without: its next start is slower."""
    new = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.touch(0o600)
        with new.open("wb") as file:
            file.write(encode(kept))
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:  # a doctor's visit as root must not shut the service out
            owner = path.parent.stat()
            os.chown(new, owner.st_uid, owner.st_gid)
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
