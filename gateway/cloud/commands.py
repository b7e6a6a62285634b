"""Commands from above, judged: pure. What is accepted becomes a reading on the bus, like everything else.

A command is carried out at most once, and only if it is addressed to this gateway, fresh, in order, allowed to
its issuer and, where it could do harm, signed. Every refusal has a reason, which is the answer (invariant I14).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

BODY_BYTES_MAX = 64 * 1024


class Command(msgspec.Struct, frozen=True):
    """`down/cmd`."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f-]{36}$")]  # UUIDv7
    issuer: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,32}$")]
    cmd_seq: Annotated[
        int, msgspec.Meta(ge=1, lt=2**53)
    ]  # grows by at least 1 with each command of the issuer
    gw: str  # tenant/store/gateway
    issued: datetime
    expires: datetime
    type: str
    body: dict[str, Any] = {}
    sig: str = ""  # Ed25519, base64


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of one type of command."""

    signed: bool = False  # could do harm: only with a signature
    clock_safe: bool = False  # may run while this machine does not know the date


KINDS = {
    "count-request": Kind(clock_safe=True),  # somebody please count this
    "drain": Kind(clock_safe=True),  # send what waits, now
    "price": Kind(),
    "block-sku": Kind(),
    "factor": Kind(),  # days of a named series, for the forecast
    "adjust": Kind(signed=True),
    "config": Kind(signed=True),
    "model-offer": Kind(signed=True),
    "update": Kind(signed=True),
}
UNSIGNED = frozenset(name for name, kind in KINDS.items() if not kind.signed)


@dataclass(frozen=True, slots=True)
class Standing:
    """What this gateway knows when a command comes."""

    gateway: str  # tenant/store/gateway
    now_utc: datetime | None  # None: the clock is not to be trusted
    allowed: Mapping[str, frozenset[str]]  # issuer -> types
    highest: Mapping[str, int]  # issuer -> command sequence that was carried out last
    done: Mapping[str, str]  # id -> what became of it


def decode(payload: bytes) -> Command:
    """Raises ValueError with what is wrong in words."""
    if len(payload) > BODY_BYTES_MAX:
        raise ValueError(f"{len(payload)} bytes; at most {BODY_BYTES_MAX}")
    try:
        return msgspec.json.decode(payload, type=Command)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def refusal(command: Command, standing: Standing, *, retained: bool) -> str:
    """Why it is not carried out; "" when it is."""
    if retained:
        return "retained: a command is for now, not for whoever connects next"
    if command.gw != standing.gateway:
        return f"addressed to {command.gw}, this is {standing.gateway}"
    if command.id in standing.done:
        return f"done before: {standing.done[command.id]}"
    kind = KINDS.get(command.type)
    if kind is None:
        return f'"{command.type}" is no command here; known: {", ".join(KINDS)}'
    if command.type not in standing.allowed.get(command.issuer, frozenset()):
        return f"{command.issuer} may not give this command"
    if kind.signed:
        return "signature required: not supported yet"
    highest = standing.highest.get(command.issuer, 0)
    if command.cmd_seq <= highest:
        return f"out of order: number {command.cmd_seq}, {highest} was carried out already"
    return _too_late(command, kind, standing.now_utc)


def _too_late(command: Command, kind: Kind, now_utc: datetime | None) -> str:
    if now_utc is None:
        return "" if kind.clock_safe else "clock-untrusted: this machine does not know yet what time it is"
    if command.expires.tzinfo is None:
        return "expires has no time zone"
    if command.expires <= now_utc:
        return f"expired at {command.expires.isoformat()}"
    return ""
