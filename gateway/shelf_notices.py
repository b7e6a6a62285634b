"""What scales under shelves come to as notices: what left a shelf and nobody scanned."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from gateway.config import Device
from gateway.ledger import queries
from gateway.shelf_evidence import ShelfEvidence, evidence
from gateway.watch import Notice

AGREES_WITHIN_ERRORS = 2.0  # standard errors between weight and ledger
REMOVAL = "unscanned_removal"


def notices(weighed: Iterable[Device], data_dir: Path, now_us: int) -> list[Notice]:
    """Beside the ledger. A file that cannot be read just now is read at the next look."""
    try:
        with (
            closing(queries.connect(data_dir / "ledger.db")) as ledger,
            closing(queries.connect(data_dir / "telemetry.db")) as telemetry,
        ):
            known = queries.alerts(ledger, ("open", "ack", "closed"), limit=-1)
            said = [one for one in known if one.kind == REMOVAL]
            found = [evidence(ledger, telemetry, device, now_us) for device in weighed]
    except sqlite3.Error:
        return []
    return [notice for one in found for notice in of_shelf(one, said)]


def of_shelf(shelf: ShelfEvidence, said: list[queries.Alert]) -> list[Notice]:
    """Each removal that nobody scanned, once; closed when the ledger agrees with the weight again."""
    subject = f"{shelf.sku}@{shelf.location}"
    own = [one for one in said if one.subject == subject]
    told_s = max((float(one.data.get("at_s", 0)) for one in own), default=0.0)
    count = shelf.by_weight
    by_weight = count.units if count else None
    notices = [
        Notice(
            REMOVAL,
            subject,
            "warning",
            f"{shelf.sku} at {shelf.location}: {one.reason}",
            {
                "device": shelf.device,
                "sku": shelf.sku,
                "location": shelf.location,
                "at_s": one.at_s,
                "units": one.units,
                "grams": one.grams,
                "unit_grams": shelf.unit.grams,
                "by_weight_units": by_weight,
                "by_ledger_units": shelf.by_ledger_units,
            },
        )
        for one in shelf.removals
        if one.at_s > told_s
    ]
    agrees = count is not None and (
        abs(count.estimate_units - shelf.by_ledger_units)
        <= max(0.5, AGREES_WITHIN_ERRORS * count.standard_error_units)
    )
    if not notices and agrees and any(one.state != "closed" for one in own):
        notices.append(Notice(REMOVAL, subject))
    return notices
