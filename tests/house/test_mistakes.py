"""What is wrong in config.toml is told with its line, its column and what would be right."""

from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.check import check

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
        '[web] host is "0.0.0.0"; plain pages are for this machine only: use host = 127.0.0.1, and lan = true',
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
