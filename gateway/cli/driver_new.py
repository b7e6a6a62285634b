"""What `storekeeper driver new` writes: a driver that works, its recording, its test and its package."""

import keyword
import re
import sys
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
DRIVER = '''"""{title}: one line that says what device this is; `storekeeper driver list` shows it.

Say here what the device sends, byte by byte, and where you read it.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from annotated_types import Ge, Le

from drivers.contract import AnyReading, Decoder, Transport, Weight, garbled

LINE_BYTES_MAX = 64
LINE = re.compile(rb"([+-]?[0-9]+(?:[.][0-9]+)?) (kg|g)")


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
        self._pending = rest[: LINE_BYTES_MAX + 1]  # bounded
        heads = [line[: LINE_BYTES_MAX + 1] for line in lines]  # as if it had been pending: however cut
        return [meaning_of(head) for head in heads if head.strip()]

    def idle(self, now_s: float) -> list[AnyReading]:
        return []


def meaning_of(line: bytes) -> AnyReading:
    found = LINE.fullmatch(line.strip())
    if found is None or len(line) > LINE_BYTES_MAX:
        return garbled("no line of this scale", line)
    value, unit = (part.decode("ascii") for part in found.groups())
    return Weight(value=Decimal(value), unit=unit, stable=True)
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


def refusal(name: str) -> str:
    """Why no driver can have this name, with one that it can have; or ""."""
    module = name.replace("-", "_")
    if NAME.fullmatch(module) and not keyword.iskeyword(module) and module not in sys.stdlib_module_names:
        return ""
    near = re.sub("[^a-z0-9]+", "_", re.sub("([a-z0-9])([A-Z])", r"\1_\2", name).lower()).strip("_0123456789")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        return f'"{name}" is a word of Python; take another, such as {module}_scale'
    remedy = f"use {near}" if NAME.fullmatch(near) and near != name else "as in my_scale"
    return f'"{name}": a driver is named like a module, lower-case letters, digits and underscores; {remedy}'


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
