"""What an RFID tag says, by a table of published tags; a tag that is not GS1's keeps its raw identity."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stock.epc import SCHEMES, Tag, explain

TABLE = Path(__file__).parents[2] / "hw_fixtures" / "epc" / "tags.toml"
TAGS: list[dict[str, Any]] = tomllib.loads(TABLE.read_text())["tag"]


@pytest.mark.parametrize("tag", [pytest.param(tag, id=tag["name"]) for tag in TAGS if "scheme" in tag])
def test_a_gs1_tag_is_named_by_scheme_uris_and_element_string(tag: dict[str, Any]) -> None:
    said = explain(tag["hex"])

    names = ("scheme", "tag_uri", "pure_identity_uri", "gs1_element_string")
    assert [getattr(said, name) for name in names] == [tag.get(name) for name in names]


@pytest.mark.parametrize("tag", [pytest.param(tag, id=tag["name"]) for tag in TAGS if "scheme" not in tag])
def test_a_tag_without_a_gs1_header_keeps_its_raw_identity(tag: dict[str, Any]) -> None:
    said = explain(tag["hex"])

    assert (said.raw, said.scheme, said.gtin) == (tag["raw"], None, None)


def test_an_item_tag_gives_gtin_and_serial() -> None:
    said = explain("3074257bf7194e4000001a85")

    assert (said.gtin, said.serial, said.filter) == ("80614141123458", "6789", 3)


def test_a_serial_with_odd_characters_is_unescaped() -> None:
    assert explain("362579D5D4ADB6172574B98B34C0000000000000000000000000").serial == ".%:.13&"


def test_the_forbidden_partition_is_said_and_the_tag_kept() -> None:
    said = explain("307C257BF7194E4000001A85")

    assert said.raw == "307C257BF7194E4000001A85"
    assert said.note.startswith("not a valid sgtin-96")


@pytest.mark.parametrize("text", ["", "3", "zz", "30" * 65, "30"])
def test_what_is_no_whole_epc_is_no_error(text: str) -> None:
    assert explain(text) == Tag(text.upper(), note=explain(text).note)


@given(header=st.sampled_from(sorted(SCHEMES)), rest=st.binary(max_size=40))
def test_any_bits_behind_a_known_header_never_fail(header: int, rest: bytes) -> None:
    raw = (bytes([header]) + rest).hex().upper()

    assert explain(raw).raw == raw


def test_the_public_door_explains_a_tag() -> None:
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "epc", "explain"]
    ran = subprocess.run([*command, "3074257BF7194E4000001A85", "--json"], capture_output=True, check=True)

    assert json.loads(ran.stdout)["tag_uri"] == "urn:epc:tag:sgtin-96:3.0614141.812345.6789"
