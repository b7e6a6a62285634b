"""How far the night is: a small file beside forecast.db, for the page and the command line.

`forecast.progress` is JSON: `pid`, `stage` (catch_up, learn, forecast), `percent` of the whole night, `items` done.
It is taken away when the worker ends; when the worker was killed, its `pid` is gone and nobody believes the file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

SAY_EVERY_S = 0.5
ENDS_AT = {"catch_up": 5, "learn": 60, "forecast": 100}  # percent of the night at the end of each stage


class Progress:
    """Said to stderr and to the file, at most twice a second. A file that cannot be written is no reason to stop."""

    def __init__(self, forecast_db: Path, aloud: bool = True) -> None:
        self.path = forecast_db.with_suffix(".progress")
        self._aloud = aloud
        self._last_s = -SAY_EVERY_S
        self._stage = ""
        self._starts_at = 0.0
        self._ends_at = 0.0

    def stage(self, name: str, share: float = 0.0, items: int = 0) -> None:
        """A new stage begins where the one before was to end; `share` of it was done before the worker was killed."""
        self._starts_at, self._ends_at, self._stage = self._ends_at, ENDS_AT[name], name
        self._last_s = -SAY_EVERY_S
        self.at(share, items)

    def at(self, share: float, items: int = 0) -> None:
        """`share` of the stage is done, 0 to 1."""
        now_s = time.monotonic()
        if now_s - self._last_s < SAY_EVERY_S and share < 1:
            return
        self._last_s = now_s
        percent = round(self._starts_at + (self._ends_at - self._starts_at) * min(share, 1.0))
        found = {"pid": os.getpid(), "stage": self._stage, "percent": percent, "items": items}
        fresh = self.path.with_suffix(".progress.new")
        try:
            fresh.write_text(json.dumps(found))
            fresh.replace(self.path)
        except OSError:
            fresh.unlink(missing_ok=True)
        if self._aloud:
            name, of_items = self._stage.replace("_", " "), f", {items} items" if items else ""
            print(f"{percent:3} %  {name}{of_items}", file=sys.stderr, flush=True)

    def end(self) -> None:
        self.path.unlink(missing_ok=True)
