"""config.toml: what is right is kept and used, whatever becomes of the file or of a driver package."""

import os
import subprocess
import sys
import time
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

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
    newer = f"{ACME}# an update\n"  # of another size: Python tells compiled modules apart by second and size
    module.write_text(newer.replace("grip: int", "hold: int"))

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
