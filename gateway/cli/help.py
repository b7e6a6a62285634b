"""`storekeeper help SK-C03`: what a message code means and what to do, without internet."""

from pathlib import Path

import click

from gateway.cli import did_you_mean, examples

PAGES = Path(__file__).parent.parent / "help"  # one text a code; the web face shows the same


@click.command(
    short_help="The page of a message code, such as SK-C03.",
    epilog=examples("storekeeper help", "storekeeper help SK-C03"),
)
@click.argument("code", required=False)
def help(code: str | None) -> None:
    """Explain the message code CODE; without one, list them all."""
    pages = {path.stem: path for path in sorted(PAGES.glob("SK-*.md"))}
    if code is None:
        for name, path in pages.items():
            click.echo(f"{name}  {_title(path)}")
        return
    wanted = code.strip("[]").upper()
    if wanted not in pages:
        raise click.UsageError(f"there is no page {code!r}{did_you_mean(wanted, pages)}")
    click.echo(pages[wanted].read_text(encoding="utf-8").rstrip())


def _title(path: Path) -> str:
    """`# SK-C03 Not one of the words` -> `Not one of the words`."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix(f"# {path.stem} ")
