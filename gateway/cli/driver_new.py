"""What `storekeeper driver new` writes: a driver that works, its recording, its test and its package."""

from pathlib import Path

DRIVER = '''"""{title}: one line that says what device this is; `storekeeper driver list` shows it.

Say here what the device sends, byte by byte, and where you read it.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated

from annotated_types import Ge, Le

from drivers.contract import AnyReading, Decoder, Transport, Weight, garbled

LINE_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class {kind}Config:
    """Every setting has a default, so that recordings decode without any."""

    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 9600


class {kind}Driver:
    Config = {kind}Config

    def open(self, config: {kind}Config) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(config.port, config.baud)

    def decoder(self, config: {kind}Config) -> Decoder:
        return {kind}Decoder()


class {kind}Decoder:
    """No I/O, no clock: `1.250 kg` CR is a stable weight."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        *lines, rest = (self._pending + chunk).split(b"\\r")
        self._pending = rest[: LINE_BYTES_MAX + 1]  # bounded, and its head: the same reading however cut
        return [meaning_of(line.strip()) for line in lines if line.strip()]

    def idle(self, now_s: float) -> list[AnyReading]:
        return []


def meaning_of(line: bytes) -> AnyReading:
    value, _, unit = line.partition(b" ")
    if len(line) > LINE_BYTES_MAX or unit not in (b"kg", b"g"):
        return garbled("no line of this scale", line)
    try:
        return Weight(value=Decimal(value.decode("ascii")), unit=unit.decode("ascii"), stable=True)
    except (InvalidOperation, UnicodeDecodeError):
        return garbled("no number", line)
'''

RECORDING = b"1.250 kg\rnoise\r0.005 kg\r"

EXPECTED = """\
driver = "{name}"
recorded = "made by hand: replace it with `storekeeper driver record {name}` on a real device"
source = "the template of storekeeper driver new"

[[readings]]
type = "weight"
value = "1.250"
unit = "kg"
stable = true

[[readings]]
type = "garbled"
error = "no line of this scale"

[[readings]]
type = "weight"
value = "0.005"
unit = "kg"
stable = true
"""

TEST = '''"""The recordings of {name} mean what stands beside them, however their bytes are cut."""

import subprocess
import sys
from pathlib import Path


def test_every_recording_decodes_to_what_stands_beside_it() -> None:
    recordings = Path(__file__).parent / "hw_fixtures" / "{name}"
    storekeeper = [sys.executable, "-c", "from gateway.cli import main; main()"]

    ran = subprocess.run([*storekeeper, "driver", "test", "{name}", str(recordings)], capture_output=True)

    assert ran.returncode == 0, (ran.stdout + ran.stderr).decode()
'''

PACKAGE = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "storekeeper-{dashed}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["storekeeper"]

[project.entry-points."storekeeper.drivers"]
{name} = "{name}:{kind}Driver"

[tool.hatch.build.targets.wheel]
include = ["{name}.py"]
"""


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package of driver `name` below `folder`; returns the files. Raises FileExistsError."""
    kind = "".join(word.capitalize() for word in name.split("_"))
    words = {
        "name": name,
        "kind": kind,
        "dashed": name.replace("_", "-"),
        "title": name.replace("_", " ").capitalize(),
    }
    recordings = folder / "hw_fixtures" / name
    contents = {
        folder / "pyproject.toml": PACKAGE.format(**words).encode(),
        folder / f"{name}.py": DRIVER.format(**words).encode(),
        folder / f"test_{name}.py": TEST.format(**words).encode(),
        recordings / "first.bytes": RECORDING,
        recordings / "first.toml": EXPECTED.format(**words).encode(),
    }
    if taken := [path for path in contents if path.exists()]:
        raise FileExistsError(f"{taken[0]} exists already; nothing was written")
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(contents)
