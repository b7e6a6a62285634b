"""`storekeeper doctor`: looks at everything that can be wrong; one line and one remedy each."""

import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import config_option, examples, json_option
from gateway.config import Loaded, find, load
from gateway.errors import SettingsInvalid

if TYPE_CHECKING:
    from gateway.doctor import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
JOURNAL_LINES = 500


@click.command(
    short_help="Look at system, disk, devices and sync; say the remedy.",
    epilog=examples("storekeeper doctor", "storekeeper doctor --bundle doctor.zip"),
)
@config_option
@json_option
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Also write a ZIP to send in; secrets are left out."
)
@click.pass_context
def doctor(ctx: click.Context, config: Path | None, as_json: bool, bundle: Path | None) -> None:
    """Look at the machine, the ledger, the devices and the line. Changes nothing.

    Exit code 1 when something fails. JSON: {ok, findings: [{level, check, text, remedy}]}; level is ok, warn
    or fail.
    """
    from gateway.doctor import examine

    loaded, first = _settings(config)
    findings = [first]
    if not as_json:
        _say(first)
    if loaded:
        for finding in examine(loaded.settings):
            findings.append(finding)
            if not as_json:
                _say(finding)
    if bundle:
        _write_bundle(bundle, findings, loaded)
    if as_json:
        import json

        rows = [asdict(finding) for finding in findings]
        click.echo(json.dumps({"ok": all(row["level"] == "ok" for row in rows), "findings": rows}))
    else:
        _say_sum(findings, bundle)
    ctx.exit(1 if any(finding.level == "fail" for finding in findings) else 0)


def _settings(config: Path | None) -> tuple[Loaded | None, "Finding"]:
    from gateway.doctor import Finding

    remedy = "correct it; storekeeper check shows it again"
    try:
        loaded = load(find(config))
    except SettingsInvalid as refused:
        return None, Finding("fail", "config", str(refused), remedy)
    if loaded.problems:
        return loaded, Finding("fail", "config", loaded.report(), remedy)
    return loaded, Finding("ok", "config", f"{loaded.settings.path} is right")


def _say(finding: "Finding") -> None:
    click.echo(
        f"{click.style(f'{finding.level:<5}', fg=COLOURS[finding.level])} {finding.check:<11} {finding.text}"
    )
    if finding.remedy:
        click.echo(f"{'':17} {finding.remedy}")


def _say_sum(findings: list["Finding"], bundle: Path | None) -> None:
    count = sum(finding.level != "ok" for finding in findings)
    if bundle:
        click.echo(
            f"Written: {bundle} ({', '.join(sorted(zipfile.ZipFile(bundle).namelist()))}), secrets left out."
        )
        return
    details = " Details: storekeeper doctor --bundle doctor.zip" if count else ""
    click.echo(f"{count or 'Nothing'} to look at.{details}")


def _write_bundle(path: Path, findings: list["Finding"], loaded: Loaded | None) -> None:
    """Findings, settings, versions and the log, each without secrets: no password file is ever read."""
    import json
    import subprocess
    from importlib.metadata import distributions

    from gateway.mistakes import SECRET

    versions = sorted(f"{one.metadata['Name']} {one.version}" for one in distributions())
    texts = {
        "findings.json": json.dumps([asdict(finding) for finding in findings], indent=1),
        "versions.txt": "\n".join(versions) + "\n",
        "system.txt": f"{' '.join(os.uname())}\n",
    }
    if loaded:
        texts["config.toml"] = loaded.settings.path.read_text(encoding="utf-8", errors="replace")
    if Path("/run/systemd/system").is_dir():
        journal = ["journalctl", "--unit", "storekeeper", "--lines", str(JOURNAL_LINES), "--no-pager"]
        texts["journal.txt"] = subprocess.run(journal, capture_output=True, text=True).stdout
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(
                name, "".join(SECRET.sub(r"\1...", line) for line in text.splitlines(keepends=True))
            )
