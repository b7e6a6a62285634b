"""`storekeeper code explain`: what a barcode says, and what else it could mean."""

import re
from decimal import Decimal
from typing import Any

import click

from gateway.cli import examples, json_option
from gateway.errors import SettingsInvalid

SEPARATOR = re.compile(r"\\x1d|\\u001d|<GS>|\{GS\}", re.IGNORECASE)


@click.group(epilog=examples("storekeeper code explain 5901234123457", "storekeeper code explain --help"))
def code() -> None:
    """Explain what a barcode says."""


@code.command(
    epilog=examples(
        "storekeeper code explain '010703206980498810AB{GS}17261231' --aim ]C1",
        "storekeeper code explain 2302148210869 --rcn-region norway --json",
    )
)
@click.argument("text", metavar="CODE")
@click.option("--aim", metavar="]xN", help="Symbology identifier that came with the code, such as ]C1.")
@click.option("--rcn-region", default="", help="Country whose rule reads in-store numbers: norway, de, ...")
@click.option("--rcn-template", default="", help='The shop\'s own rule: "2P IIIII VVVVV C weight 3".')
@json_option
def explain(text: str, aim: str | None, rcn_region: str, rcn_template: str, as_json: bool) -> None:
    """Every meaning that CODE can have: GTIN, lot, dates, serial, weight, price, count.

    The separator GS may be written as it is, or as {GS}, <GS> or \\x1d.
    """
    from gateway.stock import gs1

    try:
        explanation = gs1.explain(SEPARATOR.sub(gs1.GS, text), aim or None, rcn_region, rcn_template)
    except ValueError as error:
        raise SettingsInvalid(str(error)) from error
    row = as_row(explanation, gs1.coded(explanation.data, explanation.aim, rcn_region, rcn_template)[0].code)
    if as_json:
        import json

        click.echo(json.dumps(row, ensure_ascii=False))
        return
    _print(row)


def as_row(explanation: Any, own_code: str) -> dict[str, Any]:
    """The stable keys of docs/doors.md. A field is null when the code does not say, or its candidates differ.

    `own_code` is what would be looked up when nothing else is known: "" when the code is wrong.
    """
    from gateway.stock.gs1 import Meaning

    names = [*Meaning.__dataclass_fields__, "weight_kg"]
    details = ("elements", "dates", "decimals", "value", "kind")
    first = explanation.candidates[0] if explanation.candidates else Meaning("internal", explanation.data)
    agreed = {name: plain(explanation.agreed(name)) for name in names if name not in details}
    return {
        "data": explanation.data,
        "aim": explanation.aim,
        "valid": bool(explanation.candidates),
        "ambiguous": len(explanation.candidates) > 1,
        **agreed,
        "kind": first.kind if explanation.candidates or own_code else None,
        "code": agreed["code"] or (None if explanation.candidates else own_code or None),
        "elements": plain(first.elements),  # of the first candidate: the code read by the letter
        "dates": dict(first.dates),
        "decimals": {ai: str(value) for ai, value in first.decimals},
        "candidates": [
            {name: plain(getattr(one, name)) for name in names}
            | {"dates": dict(one.dates), "decimals": {ai: str(value) for ai, value in one.decimals}}
            for one in explanation.candidates
        ],
        "errors": list(explanation.errors),
        "notes": list(explanation.notes),
    }


def plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return value


def _print(row: dict[str, Any]) -> None:
    hidden = ("value", "elements", "dates", "decimals", "weight_kg", "code")
    for number, candidate in enumerate(row["candidates"], 1):
        if row["ambiguous"]:
            click.echo(f"meaning {number} of {len(row['candidates'])}")
        for name, value in candidate.items():
            if value is not None and name not in hidden:
                click.echo(f"  {name:<12} {value}")
        for ai, value in candidate["elements"]:
            click.echo(f"  ({ai}) {value}")
    if not row["valid"]:
        own = row["code"] is not None
        click.echo(
            "looked up exactly as it is: a code of the shop's own" if own else "nothing would be booked"
        )
    for text in (*row["errors"], *row["notes"]):
        click.echo(f"  {text}", err=True)
