"""A stranger's driver: its own pip package, a fresh environment, found, run, misconfigured, crashed."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRASHES = '''"""A scale whose decoder has a bug, and one whose package does not import."""

from drivers.contract import Transport
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CrashConfig:
    port: str = ""


class CrashDriver:
    Config = CrashConfig

    def open(self, config: CrashConfig) -> Transport:
        raise NotImplementedError

    def decoder(self, config: CrashConfig) -> "CrashDecoder":
        return CrashDecoder()


class CrashDecoder:
    def feed(self, chunk: bytes, now_s: float) -> list[object]:
        return [1 // 0]

    def idle(self, now_s: float) -> list[object]:
        return []
'''


class Environment:
    """A fresh virtual environment that sees this one's libraries, and nothing from a registry."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "of_storekeeper.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")

    def install(self, wheel: Path) -> None:
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, str(wheel)], check=True, timeout=120)

    def storekeeper(
        self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        command = [str(self.python), "-c", "from gateway.cli import main; main()", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=120, cwd=cwd)


def built(package: Path, into: Path) -> Path:
    """The package's wheel, by its own build system, without a registry."""
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(into)], cwd=package, capture_output=True, text=True, check=True
    )
    return into / ran.stdout.split()[-1]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """An environment with two foreign packages: one made by `driver new`, one that is broken."""
    folder = tmp_path_factory.mktemp("stranger")
    environment = Environment(folder / "venv")
    made = environment.storekeeper("driver", "new", "acme-scale", cwd=folder)
    assert made.returncode == 0, made.stderr
    environment.install(built(folder / "acme_scale", folder))
    broken = folder / "broken"
    broken.mkdir()
    (broken / "acme_broken.py").write_text(CRASHES)
    (broken / "pyproject.toml").write_text(
        (folder / "acme_scale" / "pyproject.toml")
        .read_text()
        .replace('acme_scale = "acme_scale:AcmeScaleDriver"', BROKEN_LINES)
        .replace("acme_scale.py", "acme_broken.py")
        .replace("storekeeper-acme-scale", "storekeeper-acme-broken")
    )
    environment.install(built(broken, folder))
    return environment, folder


BROKEN_LINES = """acme_crash = "acme_broken:CrashDriver"
acme_absent = "acme_not_there:Driver"
acme_nothing = "acme_broken:CrashConfig\""""


def test_it_is_found_and_listed_with_its_package_and_settings(stranger: tuple[Environment, Path]) -> None:
    rows = json.loads(stranger[0].storekeeper("driver", "list", "--json").stdout)

    row = next(row for row in rows if row["name"] == "acme_scale")
    assert row["package"] == "storekeeper-acme-scale"
    assert row["about"].startswith("Acme scale:")
    assert [option["name"] for option in row["options"]] == ["port", "baud"]


def test_it_runs_through_the_same_door_as_a_bundled_driver(stranger: tuple[Environment, Path]) -> None:
    ran = stranger[0].storekeeper(
        "driver", "decode", "acme_scale", "--chunk", "1", "-", stdin=b"1.250 kg\rx\r"
    )

    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        {"type": "weight", "value": "1.250", "unit": "kg", "stable": True},
        {"type": "garbled", "error": "no line of this scale", "raw_hex": "78"},
    ]


def test_its_own_recording_passes_and_a_wrong_expectation_does_not(
    stranger: tuple[Environment, Path],
) -> None:
    environment, folder = stranger
    recordings = folder / "acme_scale" / "hw_fixtures" / "acme_scale"
    good = environment.storekeeper("driver", "test", "acme-scale", str(recordings))
    expected = recordings / "first.toml"
    expected.write_text(expected.read_text().replace("0.005", "0.006"))
    bad = environment.storekeeper("driver", "test", "acme-scale", str(recordings))

    assert (good.returncode, good.stdout) == (0, b"3 of 3 as expected\n")
    assert (bad.returncode, bad.stdout.splitlines()[-1]) == (1, b"0 of 3 as expected")


def test_a_mistake_in_its_settings_is_named(stranger: tuple[Environment, Path]) -> None:
    ran = stranger[0].storekeeper("driver", "decode", "acme_scale", "--set", "bauds=9600")

    assert ran.returncode == 3
    assert b'driver acme_scale: "bauds" is not an option; did you mean "baud"?' in ran.stderr


def test_its_bug_ends_its_process_with_the_place(stranger: tuple[Environment, Path]) -> None:
    ran = stranger[0].storekeeper("driver", "decode", "acme_crash", "-", stdin=b"x")

    assert ran.returncode == 1
    assert b"acme_broken.py" in ran.stderr and b"ZeroDivisionError" in ran.stderr


def test_a_package_that_does_not_import_stops_only_itself(stranger: tuple[Environment, Path]) -> None:
    environment = stranger[0]
    rows = {
        row["name"]: row for row in json.loads(environment.storekeeper("driver", "list", "--json").stdout)
    }
    ran = environment.storekeeper("driver", "decode", "acme_absent")

    assert "No module named 'acme_not_there'" in rows["acme_absent"]["error"]
    assert "is no driver" in rows["acme_nothing"]["error"]
    assert "error" not in rows["serial_scanner"]
    assert (ran.returncode, b"of storekeeper-acme-broken) does not load" in ran.stderr) == (3, True)


def test_a_name_that_is_taken_is_not_overwritten(stranger: tuple[Environment, Path]) -> None:
    environment, folder = stranger
    ran = environment.storekeeper("driver", "new", "acme_scale", cwd=folder)

    assert ran.returncode == 2
    assert b"exists already; nothing was written" in ran.stderr


def test_what_driver_new_writes_is_clean_by_our_own_rules(stranger: tuple[Environment, Path]) -> None:
    file = stranger[1] / "acme_scale" / "acme_scale.py"
    strict = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(file)]
    ran = subprocess.run(strict, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert ran.returncode == 0, ran.stdout
