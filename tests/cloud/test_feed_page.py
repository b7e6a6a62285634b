"""docs/feed.md says what the code does: every topic has its paragraph, every example is valid."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from gateway.cloud import commands, epcis, topics
from gateway.ledger.feed import digest_of
from tests.cloud.standards import validator

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "feed.md").read_text()
SECTIONS = {
    title: json.loads(example)
    for title, example in re.findall(r"^### `([a-z/]+)`\n.*?^```json\n(.*?)^```", PAGE, re.S | re.M)
}


def test_every_topic_that_the_code_names_has_its_paragraph_with_an_example():
    source = "".join(
        path.read_text()
        for folder in ("gateway/cloud", "backoffice")
        for path in (Path(__file__).resolve().parents[2] / folder).glob("*.py")
    )
    named = set(re.findall(r'"((?:up|down)/[a-z]+)"', source)) | {"state"}
    heard = {f"down/{leaf}" for leaf in re.findall(r'leaf == "([a-z]+)"', source) if leaf != "state"}

    assert named | heard == set(SECTIONS)


@pytest.mark.parametrize("title", [title for title in SECTIONS if title.startswith("up/")])
def test_what_goes_up_is_a_valid_cloudevent(title):
    judge = validator("cloudevents/cloudevents.schema.json")

    assert [error.message for error in judge.iter_errors(SECTIONS[title])] == []


def test_the_ledger_example_is_a_valid_epcis_document():
    judge = validator("gs1-epcis/EPCIS-JSON-Schema.json")

    assert [error.message for error in judge.iter_errors(SECTIONS["up/ledger"]["data"])] == []


@pytest.mark.parametrize(
    ("title", "shape"),
    [
        ("state", topics.State),
        ("down/ack", topics.Ack),
        ("down/replay", topics.Replay),
        ("down/cmd", commands.Command),
    ],
)
def test_plain_examples_have_the_fields_of_the_code_and_no_others(title, shape):
    example = SECTIONS[title]
    fields = {field.encode_name for field in msgspec.structs.fields(shape)}

    msgspec.convert(example, shape)
    assert set(example) <= fields


def test_envelopes_and_bodies_in_the_examples_are_what_the_code_reads():
    for title in ("up/ledger", "up/alert", "up/digest", "up/reply"):
        msgspec.json.decode(json.dumps(SECTIONS[title]), type=topics.Envelope)
    msgspec.convert(SECTIONS["up/digest"]["data"], topics.Digest)
    msgspec.convert(SECTIONS["up/reply"]["data"], topics.Reply)


def test_the_table_has_every_kind_of_movement_with_its_step():
    for kind, (step, _) in epcis.STEPS.items():
        row = next(line for line in PAGE.splitlines() if line.startswith("|") and kind in line.split("|")[1])
        assert step in row, kind


def test_every_signed_command_is_named():
    for name, kind in commands.KINDS.items():
        if kind.signed or kind.clock_safe:
            assert f"`{name}`" in PAGE


def test_the_digest_of_the_example_is_right():
    """printf '[["05000000000012","",-1]]' | sha256sum"""
    [location] = SECTIONS["up/digest"]["data"]["locations"]

    [digest] = digest_of([("counter", *row) for row in location["held"]])
    assert digest.sha256 == location["sha256"]
