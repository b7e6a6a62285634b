"""`storekeeper epc explain`: what an RFID tag says."""

import click

from gateway.cli import examples, json_option


@click.group(
    epilog=examples(
        "storekeeper epc explain 3074257BF7194E4000001A85",
        "storekeeper epc explain E2005037590701270270EDAF --json",
    )
)
def epc() -> None:
    """Explain what an RFID tag says."""


@epc.command(
    epilog=examples(
        "storekeeper epc explain 3074257BF7194E4000001A85",
        "storekeeper epc explain E2005037590701270270EDAF --json",
    )
)
@click.argument("text", metavar="HEX")
@json_option
def explain(text: str, as_json: bool) -> None:
    """Scheme, URIs, GTIN and serial of the EPC in HEX; a tag that is not GS1's keeps its raw identity."""
    from dataclasses import asdict

    from gateway.stock.epc import explain as explained

    row = asdict(explained(text))
    if as_json:
        import json

        click.echo(json.dumps(row))
        return
    for name, value in row.items():
        if value not in (None, ""):
            click.echo(f"{name:<20} {value}")
