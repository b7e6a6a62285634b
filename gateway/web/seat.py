"""The technician's seat: one device, or all that are found, listened to for a minute. One at a time in a shop.

The listening itself is `gateway.listening`, a process of its own: foreign drivers are never imported here.
"""

import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.web.live import Hub

ROWS_KEPT = 20
PAIR_S, WATCH_S, CARD_S = 60.0, 100.0, 90.0
SECONDS = {"pair": PAIR_S, "watch": WATCH_S, "card": CARD_S}
LINE_BYTES_MAX = 256 * 1024
LOOK_EVERY_S = 2.0
ALONE_LOOKS_MAX = 4  # the page was left: a scanner that is tested counts again


class Seat:
    """`hub` wakes the open pages and counts them. What was heard stays until somebody listens again."""

    def __init__(self, config: str, hub: Hub) -> None:
        self._config = config
        self._hub = hub
        self._leaving: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.what = ""  # pair, watch or card
        self.name = ""  # of the device; "" for all that are found
        self.rows: deque[dict[str, Any]] = deque(maxlen=ROWS_KEPT)
        self.problem = ""

    @property
    def is_listening(self) -> bool:
        return self._process is not None

    def about(self, what: str, name: str = "") -> bool:
        """Is this what was listened to last?"""
        return (self.what, self.name) == (what, name)

    async def listen(self, what: str, names: list[str], now_us: Callable[[], int]) -> None:
        """From now on; whoever was listened to before is not any more."""
        await self.stop()
        self.what, self.name = what, names[0] if what != "pair" else ""
        self.rows.clear()
        self.problem = ""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.listening", what, self._config, str(SECONDS[what]), *names),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )
        self._task = asyncio.create_task(self._follow(self._process, now_us))
        self._leaving = asyncio.create_task(self._stop_when_left(self._process))

    async def stop(self) -> None:
        """Enough heard. The process is asked to go: it lets the devices go as well."""
        process, task = self._process, self._task
        if process is None or task is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await task

    async def _stop_when_left(self, process: asyncio.subprocess.Process) -> None:
        """Who looked has gone. (A browser without scripts never says that it is there: its time runs out.)"""
        opened = self._hub.opened - self._hub.pages  # whoever is here now counts: the page of the button
        alone = 0
        while self._process is process and alone < ALONE_LOOKS_MAX:
            await asyncio.sleep(LOOK_EVERY_S)
            was_seen = self._hub.opened > opened
            alone = alone + 1 if was_seen and self._hub.pages == 0 else 0
        if self._process is process:
            await self.stop()

    async def _follow(self, process: asyncio.subprocess.Process, now_us: Callable[[], int]) -> None:
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                row = json.loads(line)
                if "problem" in row:
                    self.problem = row["problem"]
                else:
                    self.rows.append({**row, "at_us": now_us()})
                await self._hub.move()
        finally:
            await process.wait()
            self._process = None
            await self._hub.move()
