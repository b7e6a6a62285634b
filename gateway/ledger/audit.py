"""Recompute what the ledger claims: invariants I1 to I6 and the hash chain. Read-only, row by row."""

import sqlite3
from collections import Counter
from dataclasses import dataclass

from gateway.ledger.chain import COLUMNS, FIRST_HASH, row_hash

FINDINGS_MAX = 20  # of one kind: a damaged ledger is not listed row by row
SEQ, KIND, SKU, QTY, SRC, DST, LOT, REVERSES = (
    COLUMNS.index(name) for name in ("seq", "kind", "sku", "qty", "src", "dst", "lot", "reverses")
)
TRIGGERS = {
    "movement_is_never_changed",
    "movement_is_never_deleted",
    "a_reversal_is_never_reversed",
    "a_movement_goes_at_the_end",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the ledger claims. `rule` is I1 ... I6 or "chain"."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Audit:
    movements: int
    last_seq: int
    last_hash: str
    findings: tuple[Finding, ...]


def audit(ledger: sqlite3.Connection) -> Audit:
    """Every movement once, in one read transaction: 1,000,000 rows take some seconds and little memory."""
    ledger.execute("BEGIN")
    try:
        return _audit(ledger)
    finally:
        ledger.execute("ROLLBACK")


def _audit(ledger: sqlite3.Connection) -> Audit:
    findings = _Findings()
    sums: Counter[tuple[str, str, str]] = Counter()
    prev_hash, expected_seq, count = FIRST_HASH, 1, 0
    reversible: dict[int, tuple[object, ...]] = {}
    wanted = {row[0] for row in ledger.execute("SELECT reverses FROM movement WHERE reverses IS NOT NULL")}
    for *row, stored_prev, stored_hash in ledger.execute(
        f"SELECT {', '.join(COLUMNS)}, prev_hash, hash FROM movement ORDER BY seq"
    ):
        seq = row[SEQ]
        count += 1
        if seq != expected_seq:
            findings.add("I2", f"movement {expected_seq} is missing: the next one is {seq}")
        if stored_prev != prev_hash:
            findings.add("chain", f"movement {seq} does not follow the one before it")
        if row_hash(stored_prev, row) != stored_hash:
            findings.add("chain", f"movement {seq} is not what was written")
        prev_hash, expected_seq = stored_hash, seq + 1
        sums[row[SKU], row[SRC], row[LOT]] -= row[QTY]
        sums[row[SKU], row[DST], row[LOT]] += row[QTY]
        if seq in wanted:
            reversible[seq] = tuple(row)
        if row[REVERSES] is not None:
            _check_reversal(row, reversible.get(row[REVERSES]), findings)
    _check_balances(ledger, sums, findings)
    _check_schema(ledger, findings)
    return Audit(count, expected_seq - 1, prev_hash.hex(), findings.all())


def _check_reversal(row: list[object], original: tuple[object, ...] | None, findings: "_Findings") -> None:
    seq = row[SEQ]
    if original is None:
        findings.add("I1", f"movement {seq} reverses {row[REVERSES]}, which is not before it")
    elif original[REVERSES] is not None:
        findings.add("I1", f"movement {seq} reverses a reversal ({row[REVERSES]})")
    elif [original[at] for at in (KIND, SKU, QTY, SRC, DST, LOT)] != [
        row[at] for at in (KIND, SKU, QTY, DST, SRC, LOT)
    ]:
        findings.add("I1", f"movement {seq} is not the inverse of {row[REVERSES]}")


def _check_balances(
    ledger: sqlite3.Connection, sums: "Counter[tuple[str, str, str]]", findings: "_Findings"
) -> None:
    stored: Counter[tuple[str, str, str]] = Counter()
    for sku, location, lot, quantity in ledger.execute("SELECT sku, loc, lot, qty FROM balance"):
        stored[sku, location, lot] = quantity
    for key in sorted({*stored, *sums}):
        if stored[key] != sums[key]:
            where = f"{key[0]} at {key[1]}" + (f", lot {key[2]}" if key[2] else "")
            findings.add("I3", f"balance of {where} is {stored[key]}, its movements say {sums[key]}")
    by_lot: Counter[tuple[str, str]] = Counter()
    for (sku, _, lot), quantity in stored.items():
        by_lot[sku, lot] += quantity
    for (sku, lot), quantity in sorted(by_lot.items()):
        if quantity:
            findings.add(
                "I4", f"{sku}{f', lot {lot}' if lot else ''}: all locations sum to {quantity}, not 0"
            )


def _check_schema(ledger: sqlite3.Connection, findings: "_Findings") -> None:
    there = {name for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    for name in sorted(TRIGGERS - there):
        findings.add("I1", f"the trigger {name} is gone: rows could be changed")
    for rule, what, question in (
        ("I5", "quantity that is no positive integer", "typeof(qty) <> 'integer' OR qty <= 0"),
        ("I6", "empty idempotency key", "idem = ''"),
    ):
        (wrong,) = ledger.execute(f"SELECT count(*) FROM movement WHERE {question}").fetchone()
        if wrong:
            findings.add(rule, f"{wrong} movements with {what}")


class _Findings:
    """What was found, bounded by kind; how many more there are is said."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def add(self, rule: str, text: str) -> None:
        self._counts[rule] += 1
        if self._counts[rule] <= FINDINGS_MAX:
            self._found.append(Finding(rule, text))

    def all(self) -> tuple[Finding, ...]:
        more = [
            Finding(rule, f"and {count - FINDINGS_MAX} more")
            for rule, count in self._counts.items()
            if count > FINDINGS_MAX
        ]
        return (*self._found, *more)
