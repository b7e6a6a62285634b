"""`storekeeper check`: is config.toml right, and where not."""

from pathlib import Path

import click

from gateway.cli import examples, json_option
from gateway.config import Verdict, ask_checker, encode, find


@click.command(
    short_help="Check config.toml: line, column and remedy of each mistake.",
    epilog=examples("storekeeper check", "storekeeper check /etc/storekeeper/config.toml --json"),
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
def check(file: Path | None, as_json: bool) -> None:
    """Check FILE (else ./config.toml or /etc/storekeeper/config.toml). Nothing is changed or started.

    Exit code 0: all right; 3: there are mistakes. JSON: {file, ok, problems: [{file, line, column, text,
    code, source, device}], devices: [{name, driver, problem}]}; a problem without a device refuses the file.
    """
    path = find(file)
    verdict = ask_checker(path.absolute())
    if as_json:
        click.echo(encode(_answer(path, verdict)).decode())
    else:
        click.echo(_told(path, verdict))
    if verdict.problems:
        raise SystemExit(3)


def _answer(path: Path, verdict: Verdict) -> dict[str, object]:
    devices = verdict.settings.devices if verdict.settings else ()
    return {
        "file": str(path),
        "ok": not verdict.problems,
        "problems": verdict.problems,
        "devices": [{"name": one.name, "driver": one.driver, "problem": one.problem} for one in devices],
    }


def _told(path: Path, verdict: Verdict) -> str:
    said = [str(problem) for problem in verdict.problems]
    if verdict.settings is None:
        said.append("   The file is refused: a running gateway goes on with its last good settings.")
        return "\n".join(said)
    stopped = [device.name for device in verdict.settings.devices if device.problem]
    if stopped:
        said.append(f"   Would not be started: {', '.join(stopped)}. Everything else would run.")
        return "\n".join(said)
    count = len(verdict.settings.devices)
    return f"{path} is right: {count} device{'' if count == 1 else 's'}."
