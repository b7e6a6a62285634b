"""A person at the back office asks something of gateways; whoever runs `storekeeper backoffice` gives it to them."""

import json
import sys
import time
from pathlib import Path

from backoffice.store_sqlite import SqliteStore
from gateway.ledger.factor_file import read_factor

LOOK_AGAIN_S = 0.1


def send_factor(
    database: Path,
    file: Path,
    name: str | None,
    *,
    known_ahead: bool,
    to: list[str],
    wait_s: float,
    dry_run: bool,
) -> int:
    """Send a daily series to the gateways `to` (STORE/GATEWAY), or to all; wait for their replies. The exit code.

    Durable from here on: a gateway that is away gets it when it is back.
    """
    try:
        read = read_factor(file, name, known_ahead=known_ahead)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for text in read.wrong:
        print(text, file=sys.stderr)
    if not database.exists():
        print(
            f"{database} is not there: has the back office run yet? storekeeper backoffice", file=sys.stderr
        )
        return 6
    store = SqliteStore(database)
    try:
        known = [one.source for one in store.gateways()]
        sources = [one for one in known if not to or any(f"/{one}".endswith(f"/{wanted}") for wanted in to)]
        strangers = [wanted for wanted in to if not any(f"/{one}".endswith(f"/{wanted}") for one in known)]
        if strangers or not sources:
            heard = ", ".join(known) or "none yet"
            print(f"no gateway {', '.join(strangers) or 'is known'}; heard of: {heard}", file=sys.stderr)
            return 2
        print(
            f"factor {read.name}: {read.days} days in {len(read.rows)} commands, {len(read.wrong)} left out"
        )
        if dry_run:
            return 1 if read.wrong else 0
        bodies = [json.dumps(row) for row in read.rows]
        now_us = time.time_ns() // 1000
        asked = {source: store.ask(source, "factor", bodies, now_us) for source in sources}
        refused = _tell(store, asked, time.monotonic() + wait_s)
    finally:
        store.close()
    return 1 if refused or read.wrong else 0


def _tell(store: SqliteStore, asked: dict[str, list[str]], until_s: float) -> bool:
    """Say of each gateway what it answered, as soon as it has; whether one has refused anything."""
    refused = False
    while asked:
        for source, commands in list(asked.items()):
            replies = store.replies(commands)
            if len(replies) < len(commands):
                continue
            del asked[source]
            reasons = sorted({reason for result, reason in replies.values() if result != "done"})
            refused = refused or bool(reasons)
            print(f"{source}: {'refused: ' + '; '.join(reasons) if reasons else 'done'}", flush=True)
        if asked and time.monotonic() >= until_s:
            break
        time.sleep(LOOK_AGAIN_S if asked else 0)
    for source in asked:
        print(f"{source}: no answer yet; it gets the days when it and the back office are there", flush=True)
    return refused
