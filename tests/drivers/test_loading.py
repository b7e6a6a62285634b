"""Drivers are found by name; the listing and the contracts in pyproject.toml stay complete."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from drivers.contract import ByteDriver, ConfigError, EventDriver
from drivers.loading import LoadError, available, load, options_of
from gateway.options import configured

ROOT = Path(__file__).parents[2]
BUNDLED = sorted(one.name for one in available() if one.package == "storekeeper")


def storekeeper(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_finding_one_driver_imports_no_other() -> None:
    code = "import sys; from drivers.loading import load; load('serial_scanner'); print([*sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    modules = ran.stdout
    assert "drivers.serial_scanner" in modules
    assert "drivers.hid_scanner" not in modules
    assert "pydantic" not in modules


def test_a_misspelt_driver_is_told_the_nearest_name() -> None:
    with pytest.raises(LoadError, match='there is no driver "serial_scaner"; did you mean "serial_scanner"'):
        load("serial_scaner")


@pytest.mark.parametrize("name", BUNDLED)
def test_every_driver_works_without_any_setting_and_describes_its_options(name: str) -> None:
    driver = load(name)

    assert isinstance(driver, ByteDriver | EventDriver)
    assert configured(driver, {}) == driver.Config()
    assert not [option.name for option in options_of(driver) if option.required]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_driver_refuses_an_option_that_nobody_reads(name: str) -> None:
    with pytest.raises(ConfigError, match='"no_such_option" is not an option'):
        configured(load(name), {"no_such_option": 1})


@pytest.mark.parametrize("name", BUNDLED)
def test_every_driver_has_its_card(name: str) -> None:
    card = (ROOT / "docs" / "drivers" / f"{name}.md").read_text()

    missing = [option.name for option in options_of(load(name)) if f"`{option.name}`" not in card]
    assert missing == []


def test_the_core_may_import_no_driver_that_is_installed() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = next(one for one in contracts if "concrete driver" in one["name"])["forbidden_modules"]

    targets = {one.target.partition(":")[0] for one in available() if one.package == "storekeeper"}
    assert targets - set(forbidden) == set()


def test_the_listing_shows_each_option_with_its_bounds() -> None:
    rows = json.loads(storekeeper("driver", "list", "--json").stdout)

    scanner = next(row for row in rows if row["name"] == "serial_scanner")
    assert {"name": "baud", "type": "int 300..921600", "default": 9600, "required": False} in scanner[
        "options"
    ]
    assert sorted(row["name"] for row in rows if row["package"] == "storekeeper") == BUNDLED


def test_the_recordings_of_one_driver_are_replayed_in_three_cuttings() -> None:
    ran = storekeeper("driver", "test", "scale-nci", str(ROOT / "hw_fixtures" / "scale"))

    assert (ran.returncode, ran.stdout) == (0, "12 of 12 as expected\n")
