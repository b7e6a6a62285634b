"""The hash chain: each row's hash covers the one before it, so a changed, lost or forked row shows."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

FORM = 1  # version of the canonical bytes; stands in every row
FIRST_HASH = bytes(32)  # what the first row of a ledger follows

COLUMNS = (
    "seq",
    "epoch",
    "id",
    "idem",
    "kind",
    "sku",
    "qty",
    "src",
    "dst",
    "lot",
    "expiry",
    "serial",
    "reason",
    "doc",
    "reverses",
    "device",
    "actor",
    "occurred_us",
    "occurred_q",
    "wall_us",
    "mono_ns",
    "boot_id",
    "clock_q",
    "hlc",
    "value_minor",
    "basket",
    "line",
    "origin",
    "qty_src",
    "form",
)
ID, BOOT_ID = COLUMNS.index("id"), COLUMNS.index("boot_id")
_canonical = msgspec.json.Encoder().encode  # a JSON array: UTF-8, no spaces (form 1)


def row_hash(prev_hash: bytes, row: Sequence[object]) -> bytes:
    """The hash of a row as it stands in the ledger. `row` is in COLUMNS order, without the two hashes."""
    values = list(row)
    for at in (ID, BOOT_ID):
        blob = values[at]
        assert isinstance(blob, bytes)
        values[at] = blob.hex()
    return hash_of(prev_hash, values)


def hash_of(prev_hash: bytes, values: Sequence[object]) -> bytes:
    """SHA-256 over the previous row's hash and this row's canonical bytes: COLUMNS in order, blobs in hex."""
    return sha256(prev_hash + _canonical(values)).digest()
