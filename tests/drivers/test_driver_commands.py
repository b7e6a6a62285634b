"""The commands for integrators: what is wrong is said by name, with the remedy, and the exit code tells."""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.cli.driver import _as_toml

ROOT = Path(__file__).parents[2]
COUNTER = """
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.contract import Garbled, Health, Humidity, Scan, TagRead, Temperature, Weight


@dataclass(frozen=True, slots=True)
class CounterConfig:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 19_200
    beep: bool = True
    rate: Literal[10, 80] = 10
    pause_s: float = 1.0
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    entered: int


class CounterDriver:
    Config = CounterConfig

    def open(self, config): ...

    def decoder(self, config):
        return CounterDecoder(config)


class CounterDecoder:
    def __init__(self, config):
        self.config = config

    def feed(self, chunk, now_s):
        return [eval(chunk, globals() | {"config": self.config})]

    def idle(self, now_s):
        return []
"""
CUT = """
from dataclasses import dataclass

from drivers.contract import garbled


@dataclass(frozen=True, slots=True)
class CutConfig:
    port: str = ""


class CutDriver:
    Config = CutConfig

    def open(self, config): ...

    def decoder(self, config):
        return CutDecoder()


class CutDecoder:
    def __init__(self):
        self.pending = b""

    def feed(self, chunk, now_s):
        *lines, rest = (self.pending + chunk).split(b"\\n")
        self.pending = rest[:4]
        return [garbled("noise", line) for line in lines]

    def idle(self, now_s):
        return []
"""


class Place:
    """A folder to stand in, where the drivers "counter" and "cut" are installed as pip would leave them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site"
        info = site / "foreign-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "counter_driver.py").write_text(COUNTER)
        (site / "cut_driver.py").write_text(CUT)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[storekeeper.drivers]\ncounter = counter_driver:CounterDriver\ncut = cut_driver:CutDriver\n"
        )

    def driver(
        self, *arguments: str, stdin: str = "", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "driver", *arguments]
        found = os.pathsep.join([str(self.folder / "site"), str(ROOT)])
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=cwd or self.folder,
            env=os.environ | {"PYTHONPATH": found},
        )

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Nonsense(NamedTuple):
    made: str
    said: str


NONSENSE = [
    Nonsense("None", "no reading: None: make one of those in drivers.contract"),
    Nonsense("Count(entered=12)", "no reading: Count(entered=12): make one of those in drivers.contract"),
    Nonsense("{'type': 'scan', 'data': '1'}", "make one of those in drivers.contract"),
    Nonsense("Scan(data=12)", "Expected `str`, got `int` - at `$.data`"),
    Nonsense("Scan(data=b'12')", "data is a bytes, not a str"),
    Nonsense("Scan(data=chr(0xDC80))", "surrogates not allowed"),
    Nonsense("TagRead(epc='e2', antenna='1')", "Expected `int | null`, got `str` - at `$.antenna`"),
    Nonsense("Weight(value=Decimal('NaN'), unit='kg')", "value is NaN: use a finite number"),
    Nonsense("Weight(value=Decimal('-Infinity'), unit='kg')", "value is -Infinity: use a finite number"),
    Nonsense("Weight(value=1.5, unit='kg')", "value is a float, not a Decimal"),
    Nonsense("Weight(value=Decimal(1), unit='kg', stable='yes')", "Expected `bool | null`, got `str`"),
    Nonsense("Temperature(celsius=float('nan'))", "celsius is nan: use a finite number"),
    Nonsense("Humidity(humidity=None)", "Expected `float`, got `null` - at `$.humidity`"),
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda one: one.made)
def test_what_is_no_reading_is_refused_by_name(place: Place, nonsense: Nonsense) -> None:
    ran = place.driver("decode", "counter", stdin=nonsense.made)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "the driver made something that is no reading" in ran.stderr
    assert nonsense.said in ran.stderr


def test_a_whole_number_of_degrees_is_a_reading(place: Place) -> None:
    ran = place.driver("decode", "counter", stdin="Temperature(celsius=21)")

    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"type": "temperature", "celsius": 21})


def test_nonsense_in_a_recording_ends_the_test_of_it(place: Place) -> None:
    place.write("here/a.bytes", "Weight(value=Decimal('NaN'), unit='kg')")
    place.write("here/a.toml", 'driver = "cut"\n[[readings]]\ntype = "weight"\n')
    place.write("here/b.bytes", "1")
    place.write("here/b.toml", 'driver = "counter"\n[[readings]]\ntype = "weight"\n')

    ran = place.driver("test", "counter", "here")

    assert ran.returncode == 1
    assert "the driver made something that is no reading: 1:" in ran.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("baud=9600", 9600),
        ("beep=false", False),
        ("beep=False", False),
        ("rate=80", 80),
        ("pause_s=2", 2.0),
        ("port=7", "7"),
        ('zones=["door", "till"]', ("door", "till")),
    ],
)
def test_a_setting_of_the_command_line_becomes_what_the_driver_takes(
    place: Place, setting: str, value: object
) -> None:
    name = setting.partition("=")[0]
    ran = place.driver("decode", "counter", "--set", setting, stdin=f"Health(status=repr(config.{name}))")

    assert json.loads(ran.stdout)["status"] == repr(value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("baud=5", "driver counter: baud is 5; use 300 to 115200"),
        ("baud=fast", 'driver counter: baud is "fast"; use a whole number, 300 to 115200'),
        ("beep=yes", 'driver counter: beep is "yes"; use true or false, without quotes'),
        ("rate=20", 'driver counter: rate is 20; use "10" or "80"'),
        ("bep=true", 'driver counter: "bep" is not an option; did you mean "beep"?'),
        ("baud", "--set baud: write --set key=value"),
    ],
)
def test_a_wrong_setting_is_told_as_check_tells_it(place: Place, setting: str, said: str) -> None:
    ran = place.driver("decode", "counter", "--set", setting)

    assert ran.returncode in (2, 3)
    assert said in ran.stderr


def test_two_wrong_settings_are_told_at_once(place: Place) -> None:
    ran = place.driver("decode", "counter", "--set", "baud=5", "--set", "beep=1")

    assert "baud is 5; use 300 to 115200" in ran.stderr
    assert "beep is 1; use true or false" in ran.stderr


def test_a_number_in_quotes_beside_a_recording_is_told_with_its_file(place: Place) -> None:
    place.write("here/a.bytes", "")
    place.write("here/a.toml", 'driver = "cut"\nreadings = []\n')
    place.write("here/b.bytes", "1")
    place.write("here/b.toml", 'driver = "counter"\nsettings = { baud = "9600" }\nreadings = []\n')

    ran = place.driver("test", "counter", "here")

    assert ran.returncode == 3
    assert 'here/b.toml: settings: baud is "9600"; use a whole number, 300 to 115200' in ran.stderr


def test_evidence_that_depends_on_the_cutting_is_told_though_the_expectation_leaves_it_out(
    place: Place,
) -> None:
    place.write("here/long.bytes", "xxxxxxxxxx\n")
    place.write("here/long.toml", 'driver = "cut"\n[[readings]]\ntype = "garbled"\nerror = "noise"\n')

    ran = place.driver("test", "cut", "here")

    assert ran.returncode == 1
    assert "here/long.bytes in pieces of 1: the cutting changes it: reading 1 is" in ran.stdout
    assert '"raw_hex":"78787878"' in ran.stdout
    assert ran.stdout.splitlines()[-1] == "1 of 3 as expected"


def test_evidence_that_the_expectation_names_must_be_right(place: Place) -> None:
    place.write("here/short.bytes", "x\n")
    expected = 'driver = "cut"\n[[readings]]\ntype = "garbled"\nerror = "noise"\nraw_hex = "{}"\n'
    sheet = place.write("here/short.toml", expected.format("78"))
    good = place.driver("test", "cut", "here")
    sheet.write_text(expected.format("79"))
    bad = place.driver("test", "cut", "here")

    assert (good.returncode, good.stdout) == (0, "3 of 3 as expected\n")
    assert (bad.returncode, bad.stdout.splitlines()[-1]) == (1, "0 of 3 as expected")


def test_a_reading_too_few_and_one_too_many_are_told(place: Place) -> None:
    noise = '[[readings]]\ntype = "garbled"\nerror = "noise"\n'
    place.write("here/few.bytes", "x\n")
    place.write("here/few.toml", f'driver = "cut"\n{noise}{noise}')
    place.write("here/many.bytes", "x\nx\n")
    place.write("here/many.toml", f'driver = "cut"\n{noise}')

    said = place.driver("test", "cut", "here").stdout

    assert 'few.bytes in pieces of 1: reading 2 is missing, expected {"type":"garbled"' in said
    assert "many.bytes in pieces of 1: reading 2 is" in said
    assert "expected no more" in said


def test_the_settings_beside_a_new_recording_are_those_that_driver_test_takes() -> None:
    settings = {"port": "/dev/ttyUSB0", "baud": 9600, "beep": False, "zones": ("door",)}

    facts = tomllib.loads(_as_toml("counter", settings, []))

    assert facts["settings"] == {"baud": 9600, "beep": False, "zones": ["door"]}
    assert facts["readings"] == []


def test_a_driver_that_is_not_there_is_told_with_the_one_that_was_meant(place: Place) -> None:
    ran = place.driver("test", "countr")

    assert ran.returncode == 3
    assert 'there is no driver "countr"; did you mean "counter"?' in ran.stderr


@pytest.mark.parametrize("folder", ["acme", "acme/hw_fixtures", "acme/hw_fixtures/cut"])
def test_the_folder_may_be_the_package_or_its_recordings(place: Place, folder: str) -> None:
    place.write("acme/hw_fixtures/cut/a.bytes", "")
    place.write("acme/hw_fixtures/cut/a.toml", 'driver = "cut"\nreadings = []\n')

    ran = place.driver("test", "cut", folder)

    assert (ran.returncode, ran.stdout) == (0, "3 of 3 as expected\n")


class Sheet(NamedTuple):
    name: str
    files: dict[str, str]
    said: str


SHEETS = [
    Sheet("no .toml", {"a.bytes": ""}, "here/a.toml is missing: say there what a.bytes must mean"),
    Sheet(
        "no .bytes",
        {"a.toml": 'driver = "cut"\nreadings = []\n', "b.bytes": "", "b.toml": 'driver = "counter"\n'},
        "here/a.bytes is missing: the bytes of which a.toml tells",
    ),
    Sheet(
        "broken .toml",
        {"a.bytes": "", "a.toml": 'driver = "cut"\n[[readings]\n'},
        'here/a.toml:2:11  the closing "]]" of the section is missing',
    ),
    Sheet("no driver", {"a.bytes": "", "a.toml": "readings = []\n"}, 'here/a.toml: "driver" is missing'),
    Sheet(
        "no readings",
        {"a.bytes": "", "a.toml": 'driver = "cut"\n'},
        "here/a.toml: it must say which readings the bytes mean; write a section [[readings]]",
    ),
    Sheet(
        "another's only",
        {"a.bytes": "", "a.toml": 'driver = "counter"\nreadings = []\n'},
        "no recordings of cut in here (there are some of counter); say another folder",
    ),
    Sheet("nothing", {}, "no recordings of cut in here; say another folder, or make one with"),
]


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda one: one.name)
def test_a_recording_that_cannot_be_used_says_which_file_and_what_to_write(
    place: Place, sheet: Sheet
) -> None:
    (place.folder / "here").mkdir()
    for name, text in sheet.files.items():
        place.write(f"here/{name}", text)

    ran = place.driver("test", "cut", "here")

    assert ran.returncode == 1
    assert sheet.said in ran.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("class", '"class" is a word of Python; take another, such as class_scale'),
        ("json", '"json" is a word of Python; take another, such as json_scale'),
        ("My-Scale", '"My-Scale": a driver is named like a module'),
        ("My-Scale", "use my_scale"),
        ("MyScale", "use my_scale"),
        ("9lives", "use lives"),
        ("größe", "use gr_e"),
        (
            "",
            '"": a driver is named like a module, lower-case letters, digits and underscores; as in my_scale',
        ),
    ],
)
def test_a_name_that_no_driver_can_have_is_refused_with_one_that_it_can(
    place: Place, name: str, said: str
) -> None:
    ran = place.driver("new", name)

    assert ran.returncode == 2
    assert said in ran.stderr
    assert [path.name for path in place.folder.iterdir()] == ["site"]


def test_the_next_steps_lead_to_a_folder_where_the_recordings_are(place: Place) -> None:
    ran = place.driver("new", "acme-scale", "-o", "my drivers/acme")

    assert ran.stderr == (
        "next: cd 'my drivers/acme' && pip install -e . && storekeeper driver test acme_scale\n"
    )
    folder = shlex.split(ran.stderr)[2]
    assert (place.folder / folder / "hw_fixtures" / "acme_scale" / "first.bytes").exists()


def test_the_driver_of_the_template_reads_the_same_however_long_lines_are_cut(place: Place) -> None:
    place.driver("new", "acme_scale", "-o", "site")
    points = place.folder / "site" / "foreign-1.0.dist-info" / "entry_points.txt"
    points.write_text("[storekeeper.drivers]\nacme_scale = acme_scale:AcmeScaleDriver\n")
    lines = ["x" * 200, " " * 200, " " * 80 + "a", " " * 57 + "1.250 kg!", "NaN kg", "1_0 kg", "1.250 kg", ""]

    whole, *cut = [
        place.driver("decode", "acme_scale", "--chunk", size, stdin="\r".join(lines)).stdout
        for size in ("4096", "1", "7")
    ]

    assert cut == [whole, whole]
    assert [json.loads(line)["type"] for line in whole.splitlines()] == ["garbled"] * 4 + ["weight"]
