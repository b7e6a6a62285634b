"""config.toml: what is right is kept, what is wrong is told with its place, and counting goes on."""

import os
import subprocess
import sys
import time
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from drivers.loading import available
from drivers.loading import load as load_driver
from gateway.check import File, check
from gateway.config import KEPT_NAME, Device, Loaded, Mode, Settings, load
from gateway.errors import SettingsInvalid
from gateway.stock.stations import MODES

ROOT = Path(__file__).parents[2]
GOOD = """\
[shop]
name = "Corner"
[[device]]
name = "counter"
driver = "serial_scanner"
port = "/dev/ttyS9"
"""


class Mistake(NamedTuple):
    name: str
    source: str
    line: int
    column: int
    code: str
    said: str


MISTAKES = [
    Mistake(
        "option misspelt",
        "[mqtt]\ntsl = true\n",
        2,
        1,
        "SK-C01",
        '[mqtt]: "tsl" is not an option; did you mean "tls"?',
    ),
    Mistake(
        "section misspelt",
        "\n[shpo]\nname = 'x'\n",
        2,
        1,
        "SK-C01",
        '"shpo" is not a section; did you mean "shop"?',
    ),
    Mistake("option before every section", "port = 8080\n", 1, 1, "SK-C01", '"port" is not a section'),
    Mistake(
        "nested option misspelt",
        "[backoffice]\nport = 1\nbroker = { hsot = 'a' }\n",
        3,
        12,
        "SK-C01",
        '[backoffice.broker]: "hsot" is not an option; did you mean "host"?',
    ),
    Mistake(
        "dotted key out of range",
        "[backoffice]\nbroker.port = 0\n",
        2,
        15,
        "SK-C02",
        "[backoffice.broker] port is 0; use 1 to 65535 (1883 plain, 8883 TLS)",
    ),
    Mistake(
        "number too large",
        "[mqtt]\n  port = 99999 # ?\n",
        2,
        10,
        "SK-C02",
        "[mqtt] port is 99999; use 1 to 65535 (1883 plain, 8883 TLS)",
    ),
    Mistake(
        "number as a word",
        '[web]\nport = "eighty"\n',
        2,
        8,
        "SK-C05",
        '[web] port is "eighty"; use a whole number, 1 to 65535',
    ),
    Mistake(
        "number in quotes",
        '[web]\nport = "8080"\n',
        2,
        8,
        "SK-C05",
        '[web] port is "8080"; use a whole number, 1 to 65535, without quotes',
    ),
    Mistake(
        "flag as a number",
        "[backoffice]\nbroker = { tls = 1 }\n",
        2,
        18,
        "SK-C05",
        "[backoffice.broker] tls is 1; use true or false, without quotes",
    ),
    Mistake(
        "dotted option misspelt",
        "[backoffice]\nbroker . hsot = 'a'\n",
        2,
        10,
        "SK-C01",
        '[backoffice.broker]: "hsot" is not an option; did you mean "host"?',
    ),
    Mistake(
        "yes instead of true",
        "[web]\nenabled = 'jawohl'\n",
        2,
        11,
        "SK-C05",
        '[web] enabled is "jawohl"; use true or false, without quotes',
    ),
    Mistake(
        "number instead of a text",
        "[shop]\nname = 12\n",
        2,
        8,
        "SK-C05",
        '[shop] name is 12; use a text in quotes: "12"',
    ),
    Mistake(
        "value instead of a section",
        "shop = 3\n",
        1,
        8,
        "SK-C05",
        "[shop] is 3; use a section with options of its own",
    ),
    Mistake(
        "word not allowed",
        '[shop]\nexpired = "blok"\n',
        2,
        11,
        "SK-C03",
        '[shop] expired is "blok"; did you mean "block"?',
    ),
    Mistake(
        "no word near",
        '[shop]\nlanguage = "klingon"\n',
        2,
        12,
        "SK-C03",
        '[shop] language is "klingon"; use "en", "de" or "pl"',
    ),
    Mistake(
        "topic level with a blank",
        '[shop]\nstore = "Main Street"\n',
        2,
        9,
        "SK-C10",
        '[shop] store is "Main Street"; use 1 to 32 of a-z, 0-9 and -',
    ),
    Mistake(
        "unknown time zone",
        "[shop]\ntimezone = 'Berlin'\n",
        2,
        12,
        "SK-C10",
        '[shop] timezone is "Berlin"; use a name such as Europe/Berlin, or UTC',
    ),
    Mistake(
        "no rule of that country",
        "[shop]\nrcn_region = 'atlantis'\n",
        2,
        14,
        "SK-C10",
        '[shop] rcn_region is "atlantis"; there are rules for',
    ),
    Mistake(
        "broker without encryption",
        "[mqtt]\nhost = 'broker.example'\n",
        2,
        8,
        "SK-C11",
        '[mqtt] host is "broker.example" without TLS; set tls = true',
    ),
    Mistake(
        "pages for everybody",
        "[web]\nhost = '0.0.0.0'\n",
        2,
        8,
        "SK-C12",
        "[web] pages are for this machine only",
    ),
    Mistake(
        "one bracket",
        "[device]\nname = 'a'\n",
        1,
        1,
        "SK-C05",
        "a device is a section with two brackets: [[device]]",
    ),
    Mistake("no quotes", "[shop]\nname = Corner\n", 2, 8, "SK-C04", "a text needs quotes"),
    Mistake(
        "no equals sign",
        '[shop]\nname "Corner"\n',
        2,
        6,
        "SK-C04",
        'there is no "=" after the name of the option',
    ),
    Mistake("quote not closed", '[shop]\nname = "Corner\n', 2, 15, "SK-C04", "the closing quote is missing"),
    Mistake("option twice", "[shop]\nname = 'a'\nname = 'b'\n", 3, 11, "SK-C04", "stands here a second time"),
    Mistake(
        "section twice", "[shop]\n[web]\n[shop]\n", 3, 6, "SK-C04", "section [shop] stands here a second time"
    ),
]

DEVICE_MISTAKES = [
    Mistake(
        "driver misspelt",
        'driver = "serial_scaner"\n',
        5,
        10,
        "SK-C03",
        'device "counter": driver is "serial_scaner"; did you mean "serial_scanner"?',
    ),
    Mistake("driver missing", 'mode = "sell"\n', 3, 1, "SK-C06", 'device "counter": "driver" is missing'),
    Mistake(
        "driver's option misspelt",
        'driver = "serial_scanner"\nbuad = 9600\n',
        6,
        1,
        "SK-C01",
        'device "counter": "buad" is not an option; did you mean "baud"?',
    ),
    Mistake(
        "our option misspelt",
        "driver = \"serial_scanner\"\nlocaton = 'a'\n",
        6,
        1,
        "SK-C01",
        'device "counter": "locaton" is not an option; did you mean "location"?',
    ),
    Mistake(
        "driver's number out of range",
        'driver = "serial_scanner"\n\n# slow\nbaud = 96\n',
        8,
        8,
        "SK-C02",
        'device "counter": baud is 96; use 300 to 921600',
    ),
    Mistake(
        "driver's number in quotes",
        'driver = "serial_scanner"\nport = "x"\nbaud = "19200"\n',
        7,
        8,
        "SK-C05",
        'device "counter": baud is "19200"; use a whole number, 300 to 921600, without quotes',
    ),
    Mistake(
        "driver's number as a flag",
        'driver = "serial_scanner"\nport = "x"\nbaud = true\n',
        7,
        8,
        "SK-C05",
        'device "counter": baud is true; use a whole number, 300 to 921600',
    ),
    Mistake(
        "our flag as a text",
        'driver = "serial_scanner"\nport = "x"\nenabled = "yes"\n',
        7,
        11,
        "SK-C05",
        'device "counter": enabled is "yes"; use true or false, without quotes',
    ),
    Mistake(
        "driver's word",
        'driver = "serial_scanner"\nparity = "evn"\n',
        6,
        10,
        "SK-C03",
        'device "counter": parity is "evn"; did you mean "even"?',
    ),
    Mistake(
        "mode",
        'driver = "serial_scanner"\nmode = "sel"\nport = "x"\n',
        6,
        8,
        "SK-C03",
        'device "counter": mode is "sel"; did you mean "sell"?',
    ),
    Mistake(
        "a virtual location",
        'driver = "serial_scanner"\nlocation = "SUPPLIER"\nport = "x"\n',
        6,
        12,
        "SK-C10",
        'device "counter": location is "SUPPLIER"; use the name of a place, not all in capitals',
    ),
    Mistake(
        "after a multi-line list",
        "driver = \"sensor_mqtt\"\ntopics = [\n  'a/#',  # one\n  'b',\n]\nport = 0\n",
        10,
        8,
        "SK-C02",
        'device "counter": port is 0; use 1 to 65535',
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.name)
def test_a_mistake_is_told_with_its_line_column_and_remedy(tmp_path: Path, mistake: Mistake) -> None:
    path = tmp_path / "config.toml"
    path.write_text(mistake.source)

    verdict = check(path)

    problem = verdict.problems[0]
    assert (problem.line, problem.column, problem.code) == (mistake.line, mistake.column, mistake.code), (
        problem
    )
    assert mistake.said in problem.text
    assert verdict.settings is None
    assert path.read_text() == mistake.source


@pytest.mark.parametrize("mistake", DEVICE_MISTAKES, ids=lambda one: one.name)
def test_a_mistake_in_a_device_stops_that_device_only(tmp_path: Path, mistake: Mistake) -> None:
    path = tmp_path / "config.toml"
    fridge = '[[device]]\nname = "fridge"\ndriver = "serial_scanner"\nport = "/dev/ttyS8"\n'
    path.write_text(f'[shop]\nname = "Corner"\n[[device]]\nname = "counter"\n{mistake.source}{fridge}')

    verdict = check(path)

    (problem,) = verdict.problems
    assert (problem.line, problem.column, problem.code) == (mistake.line, mistake.column, mistake.code), (
        problem
    )
    assert mistake.said in problem.text
    assert verdict.settings is not None
    counter, healthy = verdict.settings.devices
    assert mistake.said in counter.problem
    assert healthy.problem == ""
    assert healthy.options["port"] == "/dev/ttyS8"


def test_a_mistake_looks_like_this(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[shop]\n\n[web]\n\n[mqtt]\n\n[[device]]\nname = "counter"\n\ndriver = "hid_scaner"\n')

    (problem,) = check(path).problems

    assert str(problem) == (
        'config.toml:10:10  device "counter": driver is "hid_scaner"; did you mean "hid_scanner"?  [SK-C03]\n'
        '   10 | driver = "hid_scaner"\n'
        "      |          ^"
    )


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[web]\nport = 0\nlna = 1\n[[device]]\nname = "a"\ndriver = "b"\n')

    assert [problem.code for problem in check(path).problems] == ["SK-C02", "SK-C01", "SK-C03"]


def test_a_flag_in_quotes_and_a_number_out_of_range_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'{GOOD}baud = 5\nbytesize = "8"\nenabled = "no"\n')

    assert [(problem.line, problem.code) for problem in check(path).problems] == [
        (7, "SK-C02"),
        (8, "SK-C05"),
        (9, "SK-C05"),
    ]


def test_a_device_without_a_place_is_told_before_it_is_started(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[shop]\n[[device]]\nname = "counter"\ndriver = "serial_scanner"\n')

    (problem,) = check(path).problems

    assert (problem.line, problem.code) == (2, "SK-C06")
    assert problem.text == 'device "counter": "port" is missing; add a line port = "/dev/serial/by-id/..."'


def test_the_second_device_of_a_name_is_not_started(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD + '[[device]]\nname = "counter"\ndriver = "hid_scanner"\npath = "x"\n')

    verdict = check(path)

    assert [problem.code for problem in verdict.problems] == ["SK-C07"]
    assert verdict.settings is not None
    assert [bool(device.problem) for device in verdict.settings.devices] == [False, True]
    assert len({device.name for device in verdict.settings.devices}) == 2


def test_a_password_in_the_file_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[mqtt]\npassword = "canary-7"\n')

    (problem,) = check(path).problems

    assert "canary-7" not in str(problem)
    assert 'did you mean "password_file"?' in problem.text


def test_latin_1_letters_are_told_apart_from_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes('[shop]\nname = "Café Zoë"\n'.encode("latin-1"))

    (problem,) = check(path).problems

    assert (problem.line, problem.column, problem.code) == (2, 12, "SK-C04")


def test_settings_are_kept_and_the_next_start_needs_no_pydantic(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    load(path)

    code = (
        "import sys, time; from pathlib import Path; from gateway.config import load\n"
        f"start = time.process_time(); load(Path({str(path)!r})); took = time.process_time() - start\n"
        "print(took, 'pydantic' in sys.modules)"
    )
    took, pydantic = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    ).stdout.split()

    assert pydantic == "False"
    assert float(took) < 0.005


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    load(path)
    path.write_text(GOOD.replace("Corner", "Harbour"))

    assert load(path).settings.shop.name == "Harbour"


def test_an_updated_driver_package_is_asked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = foreign_driver(tmp_path, monkeypatch, ACME)
    path = tmp_path / "config.toml"
    path.write_text('[[device]]\nname = "door"\ndriver = "acme"\ngrip = 3\n')
    assert load(path).problems == ()
    module.write_text(ACME.replace("grip: int", "hold: int"))

    (problem,) = load(path).problems

    assert problem.text.startswith('device "door": "grip" is not an option; use "hold", "name", "driver"')


@pytest.mark.parametrize("number", ["inf", "nan"])
def test_a_number_that_cannot_be_handed_on_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    foreign_driver(tmp_path, monkeypatch, ACME.replace("grip: int", "grip: int | float"))
    path = tmp_path / "config.toml"
    path.write_text(f'[[device]]\nname = "door"\ndriver = "acme"\ngrip = {number}\n')

    (problem,) = load(path).problems

    assert (problem.line, problem.column, problem.code) == (4, 8, "SK-C02")


def test_a_driver_may_check_what_belongs_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picky = "    def __post_init__(self):\n        raise ValueError('grip and hold exclude each other')\n"
    foreign_driver(tmp_path, monkeypatch, ACME.replace("class AcmeDriver", f"{picky}class AcmeDriver"))
    path = tmp_path / "config.toml"
    path.write_text('[[device]]\nname = "door"\ndriver = "acme"\ngrip = 3\n')

    (problem,) = load(path).problems

    assert (problem.line, problem.code) == (1, "SK-C10")
    assert problem.text == 'device "door": grip and hold exclude each other'


def test_a_spoilt_file_leaves_the_last_good_settings_in_use(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    load(path)
    path.write_text(GOOD + "[web]\nprot = 1\n")
    os.utime(tmp_path / KEPT_NAME, (time.mktime((2026, 11, 14, 18, 2, 0, 0, 0, -1)),) * 2)

    loaded = load(path)

    assert loaded.settings.shop.name == "Corner"
    assert loaded.problems[0].line == 8
    assert loaded.report().splitlines()[-1] == (
        "   The gateway keeps running with the settings of 14 Nov 18:02. Nothing was changed in your file."
    )


def test_a_spoilt_file_at_the_very_first_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[web]\nprot = 1\n")

    with pytest.raises(SettingsInvalid, match='did you mean "port"'):
        load(path)


def test_half_a_kept_file_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    load(path)
    kept = tmp_path / KEPT_NAME
    kept.write_bytes(kept.read_bytes()[:200])

    assert load(path).settings.shop.name == "Corner"


def test_settings_are_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD.replace("[[device]]", '[ledger]\ndata_dir = "/proc/none"\n[[device]]'))

    assert load(path).settings.ledger.data_dir == Path("/proc/none")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_root_keeps_is_still_the_services(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    path = tmp_path / "config.toml"
    path.write_text(GOOD)

    load(path)

    kept = (tmp_path / KEPT_NAME).stat()
    assert (kept.st_uid, kept.st_gid, kept.st_mode & 0o777) == (65534, 65534, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_settings_of_the_service_are_not_for_everybody(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o700)
    path = folder / "config.toml"
    path.write_text(GOOD)
    os.seteuid(65534)
    try:
        (problem,) = check(path).problems
    finally:
        os.seteuid(0)

    assert problem.code == "SK-C08"
    assert "Permission denied; try as the service's user" in problem.text


def test_paths_are_meant_from_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[ledger]\ndata_dir = "shop"\n[mqtt]\npassword_file = "../secret"\n')

    settings = load(path).settings

    assert settings.ledger.data_dir == tmp_path / "shop"
    assert settings.mqtt.password_file == tmp_path / "../secret"


def test_the_service_keeps_its_ledger_in_its_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    monkeypatch.setenv("STATE_DIRECTORY", str(state))

    assert load(path).settings.ledger.data_dir == state
    assert (state / KEPT_NAME).exists()


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD + "[web]\nport = 8080\n")
    load(path)
    monkeypatch.setenv("STOREKEEPER_WEB__PORT", "8099")

    assert load(path).settings.web.port == 8099


def test_a_mistake_in_the_environment_is_told_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    monkeypatch.setenv("STOREKEEPER_WEB__PORT", "99999")

    (problem,) = check(path).problems

    assert problem.file == "environment STOREKEEPER_WEB__PORT"


@pytest.mark.parametrize(
    "dies", ["os._exit(3)", "os.kill(os.getpid(), 11)", "print('{}'); raise ValueError('no')"]
)
def test_a_foreign_driver_that_kills_the_checker_stops_its_own_device_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    foreign_driver(tmp_path, monkeypatch, f"import os\n{dies}\n")
    path = tmp_path / "config.toml"
    path.write_text(GOOD + '[[device]]\nname = "door"\ndriver = "acme"\n')

    loaded = load(path)

    assert [problem.code for problem in loaded.problems] == ["SK-C09"]
    assert [bool(device.problem) for device in loaded.settings.devices] == [False, True]


def test_the_example_is_right_and_names_every_option() -> None:
    path = ROOT / "config.example.toml"
    example = path.read_text()

    verdict = check(path)

    assert verdict.problems == ()
    assert missing_options(example) == []


def test_every_option_of_the_example_has_its_comment() -> None:
    example = (ROOT / "config.example.toml").read_text()
    ours = example.rpartition("[[device]]")[0]

    bare = [
        line for line in ours.splitlines() if " = " in line and line.count("#") < 1 + line.startswith("#")
    ]

    assert bare == []


ACME = """
from dataclasses import dataclass

@dataclass(frozen=True, slots=True)
class AcmeConfig:
    grip: int = 1

class AcmeDriver:
    Config = AcmeConfig
    def open(self, config): ...
    def decoder(self, config): ...
"""


def foreign_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> Path:
    """Somebody's pip package with the driver "acme", as pip would have left it; its module."""
    module = folder / "acme_scanner.py"
    module.write_text(source)
    info = folder / "acme_scanner-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-scanner\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[storekeeper.drivers]\nacme = acme_scanner:AcmeDriver\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return module


def missing_options(example: str) -> list[str]:
    """Options of our dataclasses that are not in the example, a commented-out line counting as there."""
    uncommented = "\n".join(
        line[2:] if line.startswith("# ") and ' = "' in line else line for line in example.splitlines()
    )
    values = tomllib.loads(uncommented)
    shapes: dict[str, Any] = {name: field.annotation for name, field in File.model_fields.items()}
    missing = [f"[{name}]" for name in shapes if name not in values]
    for name, shape in shapes.items():
        missing += missing_of(name, shape, values.get(name, {}))
    ours = [field.name for field in fields(Device) if field.name not in ("options", "target", "problem")]
    return missing + [f"[[device]] {name}" for name in ours if name not in values["device"][0]]


def missing_of(name: str, shape: Any, values: dict[str, Any]) -> list[str]:
    missing = []
    for field in fields(shape):
        if field.name not in values:
            missing.append(f"[{name}] {field.name}")
        elif is_dataclass(field.type):
            missing += missing_of(f"{name}.{field.name}", field.type, values[field.name])
    return missing


def test_the_home_modes_of_the_settings_are_those_of_the_stations() -> None:
    assert set(get_args(Mode)) == set(MODES.values())


def test_no_driver_option_hides_one_of_ours() -> None:
    ours = {field.name for field in fields(Device)}
    for one in available():
        theirs = {field.name for field in fields(load_driver(one.name).Config)}
        assert not ours & theirs, one.name


def test_defaults_alone_are_a_shop() -> None:
    assert Loaded(Settings(Path("config.toml"))).report() == ""
