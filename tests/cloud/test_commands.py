"""Commands from above: every way to be refused, each with its reason."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.cloud.commands import UNSIGNED, Standing, decode, refusal

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GOOD = {
    "id": "01935c2e-0000-7000-8000-000000000001",
    "issuer": "backoffice",
    "cmd_seq": 8,
    "gw": "acme/corner/gw1",
    "issued": "2026-11-24T11:59:00Z",
    "expires": "2026-11-24T12:05:00Z",
    "type": "price",
    "body": {"sku": "05000000000012", "price_minor": 249},
}
STANDING = Standing(
    gateway="acme/corner/gw1",
    now_utc=NOON,
    allowed={"backoffice": UNSIGNED | {"adjust"}, "headquarters": frozenset({"count-request"})},
    highest={"backoffice": 7},
    done={},
)


def judged(standing: Standing = STANDING, *, retained: bool = False, **changes) -> str:
    return refusal(decode(json.dumps({**GOOD, **changes}).encode()), standing, retained=retained)


def test_a_fresh_command_for_this_gateway_from_somebody_who_may_is_carried_out():
    assert judged() == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gw": "acme/station/gw1"}, "addressed to acme/station/gw1, this is acme/corner/gw1"),
        ({"cmd_seq": 7}, "out of order: number 7, 7 was carried out already"),
        ({"cmd_seq": 3}, "out of order: number 3, 7 was carried out already"),
        ({"expires": "2026-11-24T12:00:00Z"}, "expired at 2026-11-24T12:00:00+00:00"),
        ({"expires": "2026-11-24T12:30:00+01:00"}, "expired at 2026-11-24T12:30:00+01:00"),
        ({"expires": "2026-11-24T12:05:00"}, "expires has no time zone"),
        ({"issuer": "stranger"}, "stranger may not give this command"),
        ({"issuer": "headquarters"}, "headquarters may not give this command"),
        ({"type": "adjust"}, "signature required: not supported yet"),
        ({"type": "adjust", "sig": "AAAA"}, "signature required: not supported yet"),
        ({"type": "config"}, "backoffice may not give this command"),
    ],
)
def test_a_command_is_refused_with_its_reason(changes, reason):
    assert judged(**changes) == reason


def test_a_command_that_the_broker_kept_is_refused_whatever_it_says():
    assert judged(retained=True).startswith("retained: ")


def test_the_same_command_again_is_answered_with_what_became_of_it():
    standing = replace(STANDING, done={GOOD["id"]: "price of Oat drink is 2.49"})

    assert judged(standing) == "done before: price of Oat drink is 2.49"


def test_while_the_date_is_unknown_only_what_is_safe_without_one_is_carried_out():
    standing = replace(STANDING, now_utc=None)

    assert judged(standing, type="count-request", expires="2020-01-01T00:00:00Z") == ""
    assert judged(standing).startswith("clock-untrusted: ")


def test_an_unknown_command_is_told_which_ones_there_are():
    assert judged(type="reboot").startswith('"reboot" is no command here; known: count-request, drain, ')


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        json.dumps({**GOOD, "cmd_seq": 0}).encode(),
        json.dumps({**GOOD, "cmd_seq": "8"}).encode(),
        json.dumps({**GOOD, "id": "x"}).encode(),
        json.dumps({**GOOD, "issuer": "Back Office"}).encode(),
        json.dumps({**GOOD, "expires": "tomorrow"}).encode(),
        json.dumps({**GOOD, "body": {"x": "y" * 70_000}}).encode(),
        b"[" * 60_000,
    ],
    ids=[
        "nothing",
        "a list",
        "number 0",
        "text for a number",
        "id",
        "issuer",
        "no time",
        "too long",
        "too deep",
    ],
)
def test_what_is_no_command_is_refused_in_words(payload):
    with pytest.raises(ValueError, match=r".+"):
        decode(payload)
