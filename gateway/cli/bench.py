"""`storekeeper bench`: how fast and how small the daemon is on this machine."""

from pathlib import Path

import click

from gateway.cli import examples

CARD = Path("storekeeper-card.json")


@click.command(epilog=examples("storekeeper bench", "storekeeper bench --card --folder /var/lib/storekeeper"))
@click.option("--card", is_flag=True, help=f"Write {CARD}, to be sent in: figures, machine, kernel, storage.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True, writable=True),
    default=Path(),
    help="Measure the storage of this folder; default: here. It is left as it was.",
)
def bench(card: bool, folder: Path) -> None:
    """Measure the daemon on this machine; --card for a file to send in.

    It starts a daemon of its own with three scanners on ptys, which takes two minutes and touches no shop.
    """
    import json
    import tempfile

    from gateway.errors import Trouble
    from gateway.measure import card as measured

    click.echo(
        "A daemon with three scanners is started, killed, fed and left alone: two minutes ...", err=True
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix="storekeeper-bench-") as room:
        try:
            told = measured.card(Path(room).absolute())
        except (OSError, TimeoutError, RuntimeError) as error:
            raise Trouble(f"cannot be measured here: {error}") from error
    for name, value in {**told, **told["figures"]}.items():
        if name != "figures":
            click.echo(f"{name:<28} {value}")
    if card:
        CARD.write_text(json.dumps(told, indent=1) + "\n")
        click.echo(f"written: {CARD.absolute()}", err=True)
