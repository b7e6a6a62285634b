"""The recordings of hw_fixtures: what a device sent (`.bytes`), and what it must mean (`.toml` beside it)."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from drivers.contract import AnyReading
from drivers.loading import load
from gateway.options import configured

FIXTURES = Path(__file__).parents[2] / "hw_fixtures"
encode = msgspec.json.Encoder(decimal_format="string").encode


def recordings(*families: str) -> list[Path]:
    """Every recording of these families (all of them when none is named)."""
    found = sorted(
        path for path in FIXTURES.glob("*/*.bytes") if not families or path.parent.name in families
    )
    return [path for path in found if path.with_suffix(".toml").exists()]


def about(recording: Path) -> dict[str, Any]:
    return tomllib.loads(recording.with_suffix(".toml").read_text())


def plain(reading: AnyReading) -> dict[str, Any]:
    """A reading as the door prints it, without the evidence."""
    row: dict[str, Any] = msgspec.json.decode(encode(reading))
    row.pop("raw_hex", None)
    return row


def readings(recording: Path, chunk_bytes: int) -> list[dict[str, Any]]:
    """What the driver of a recording makes of it, cut in pieces (reports and messages stay whole)."""
    from gateway.cli.driver import readings_of

    facts = about(recording)
    driver = load(facts["driver"])
    config = configured(driver, facts.get("settings", {}))
    return [plain(one) for one in readings_of(driver, config, recording.read_bytes(), chunk_bytes)]
