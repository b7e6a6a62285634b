"""Keeps the children alive: a process per driver, the pump, the pages. One sick device never stops the shop.

A child that dies is started again with back-off from its first failure (a respawn without it became a fork
storm here); one that stops giving signs of life, or eats memory, is killed and started again.
"""

import contextlib
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.ledger.telemetry import Telemetry
from gateway.nursery import Born, Nursery, Spawn

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 30.0
ENDS_KEPT = 16
STEADY_AFTER_S = 10.0  # a child that ran this long has earned a fresh back-off
SILENT_AFTER_S = 15.0  # three heartbeats
DEAF_AFTER_S = 3.0  # a core that did not look for messages for so long cannot say who is silent
RSS_BYTES_MAX = 250 * 1024 * 1024
LOOK_EVERY_S = 10.0  # for silence and memory
LEAVE_WITHIN_S = 1.0
CONFIG_ERROR = 3  # the child's own word: a person must change a setting first
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Child:
    """What is wanted of one child, and how it is."""

    order: Spawn
    more: Callable[[], list[Any]] = (
        list  # arguments that are known when it is started, after those of `order`
    )
    driver: str = ""  # "" for the pump and the pages
    pid: int = 0
    started_s: float = 0.0
    heard_s: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S
    start_at_s: float | None = 0.0  # None: not to be started
    ended_s: deque[float] = field(default_factory=lambda: deque(maxlen=ENDS_KEPT))
    being_born: bool = False  # ordered, and its process id not known yet
    leaving: bool = False  # told to go
    successor: "Child | None" = None  # what is wanted in its place; None: nothing


class Supervisor:
    """`listened_s` tells when the core last looked for signs of life (time.monotonic)."""

    def __init__(
        self,
        nursery: Nursery,
        telemetry: Telemetry,
        listened_s: Callable[[], float],
        *,
        silent_after_s: float = SILENT_AFTER_S,
        deaf_after_s: float = DEAF_AFTER_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._nursery = nursery
        self._telemetry = telemetry
        self._listened_s = listened_s
        self._silent_after_s = silent_after_s
        self._deaf_after_s = deaf_after_s
        self._look_every_s = look_every_s
        self._children: dict[str, Child] = {}
        self._wishes: queue.SimpleQueue[Child | str] = queue.SimpleQueue()

    def want(self, order: Spawn, driver: str = "", more: Callable[[], list[Any]] = list) -> None:
        """From now on this child is kept running; one that runs by another order is started anew. Any thread.

        `more` gives, at each start, the arguments that follow those of the order.
        """
        self._wishes.put(Child(order, more, driver))

    def drop(self, name: str) -> None:
        """From now on this child is not wanted. Any thread."""
        self._wishes.put(name)

    def heartbeat(self, name: str) -> None:
        """A sign of life, from another thread."""
        if child := self._children.get(name):
            child.heard_s = time.monotonic()

    def failures(self, name: str, within_s: float) -> int:
        """How often a child ended by itself lately. Any thread."""
        child = self._children.get(name)
        since_s = time.monotonic() - within_s
        return sum(ended_s >= since_s for ended_s in tuple(child.ended_s)) if child else 0

    def run(self, stop: threading.Event) -> None:
        """The loop of the thread `supervisor`. Raises EOFError when the nursery is dead."""
        look_s = 0.0
        while not stop.is_set():
            self._heed_wishes()
            now_s = time.monotonic()
            for child in self._children.values():
                if child.start_at_s is not None and child.pid == 0 and now_s >= child.start_at_s:
                    child.start_at_s = None
                    child.being_born = True
                    order = child.order
                    self._nursery.spawn(replace(order, args=[*order.args, *child.more()]))
            for news in self._nursery.news(self._sleep_s(now_s)):
                if isinstance(news, Born):
                    self._born(self._children[news.name], news.pid)
                else:
                    for child in [one for one in self._children.values() if one.pid == news.pid]:
                        child.pid = 0
                        if not stop.is_set():
                            self._died(child, news.status)
            self._excuse(now_s)
            if now_s - look_s >= self._look_every_s:
                look_s = now_s
                self._look_after(now_s)
        self._leave()

    def _heed_wishes(self) -> None:
        while not self._wishes.empty():
            wish = self._wishes.get()
            name = wish if isinstance(wish, str) else wish.order.name
            known = self._children.get(name)
            if known and known.being_born:
                self._wishes.put(wish)
                return
            if isinstance(wish, Child) and known and known.order == wish.order and not known.leaving:
                continue
            if known and known.pid:  # what is wanted instead begins when it has gone
                _signal(known.pid, signal.SIGTERM)
                known.leaving = True
                known.successor = wish if isinstance(wish, Child) else None
            elif isinstance(wish, Child):
                self._children[name] = wish
            else:
                self._children.pop(name, None)

    def _sleep_s(self, now_s: float) -> float:
        due = [child.start_at_s for child in self._children.values() if child.start_at_s is not None]
        return max(0.0, min([1.0, *(at_s - now_s for at_s in due)]))

    def _born(self, child: Child, pid: int) -> None:
        child.pid = pid
        child.being_born = False
        child.started_s = child.heard_s = time.monotonic()

    def _died(self, child: Child, status: int) -> None:
        now_s = time.monotonic()
        if child.leaving:
            del self._children[child.order.name]
            if child.successor:
                self._children[child.order.name] = child.successor
            return
        if status == CONFIG_ERROR and child.driver:
            return  # it has said why; starting it again would not help
        child.ended_s.append(now_s)
        if now_s - child.started_s > STEADY_AFTER_S:
            child.backoff_s = BACKOFF_FIRST_S
        child.start_at_s = now_s + child.backoff_s
        if child.driver:
            why = f"signal {-status}" if status < 0 else f"status {status}"
            text = f"its driver ended ({why}); starting it again"
            self._telemetry.device(child.order.name, child.driver, "waiting", text)
        child.backoff_s = min(2 * child.backoff_s, BACKOFF_MAX_S)

    def _excuse(self, now_s: float) -> None:
        """While the core is busy with a slow disk or a long import it hears nobody: that is no silence."""
        if now_s - self._listened_s() > self._deaf_after_s:
            for child in self._children.values():
                child.heard_s = now_s

    def _look_after(self, now_s: float) -> None:
        for child in self._children.values():
            if child.pid == 0:
                continue
            silent = child.driver and now_s - child.heard_s > self._silent_after_s
            if silent or _rss_bytes(child.pid) > RSS_BYTES_MAX:
                _signal(child.pid, signal.SIGKILL)

    def ask_to_leave(self) -> None:
        """From any thread, once `run` was told to stop: the children go at once, and wake it by that."""
        for child in list(self._children.values()):
            if child.pid:
                _signal(child.pid, signal.SIGTERM)

    def _leave(self) -> None:
        """Ask everybody to go, wait a moment, then insist."""
        self.ask_to_leave()
        alive = {child.pid for child in self._children.values() if child.pid}
        deadline_s = time.monotonic() + LEAVE_WITHIN_S
        with contextlib.suppress(EOFError):
            while alive and (left_s := deadline_s - time.monotonic()) > 0:
                alive -= {news.pid for news in self._nursery.news(left_s) if not isinstance(news, Born)}
        for pid in alive:
            _signal(pid, signal.SIGKILL)
        self._nursery.close()


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
