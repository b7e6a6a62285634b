"""What changes while a page is open: hints from the core in, frames to browsers out.

A hint may be lost, so nothing is ever added up from hints. A page's list is read from the ledger each time
something moved; hints only say when to look, and carry what the ledger does not keep (a mode, "not read").
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import msgspec
import zmq
import zmq.asyncio

from drivers.bus import Event, Hint

EVENTS_KEPT = 64
LOOK_EVERY_S = 2.0  # while a page is open, in case a hint was lost
FRAME_GAP_S = 0.04  # at most 25 frames a second to a page, however fast the scans come
ALIVE_EVERY_S = 10.0
decode_hint = msgspec.msgpack.Decoder(Hint).decode


class Hub:
    """One per web process: knows that something happened, and wakes whoever shows it."""

    def __init__(self, hint_address: str, changed: Callable[[], bool]) -> None:
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)  # the newest last
        self.version = 0
        self.pages = 0
        self.opened = 0  # pages since the start: one that was left again at once was there as well
        self.closing = False
        self._hint_address = hint_address
        self._changed = changed  # did the ledger change since this was last asked
        self._moved = asyncio.Condition()

    async def listen(self) -> None:
        """Take hints for as long as the process lives."""
        socket = zmq.asyncio.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(self._hint_address)
        try:
            while True:
                with suppress(msgspec.DecodeError):  # a core of another version: the ledger still tells
                    self.events.extend(decode_hint(await socket.recv()).events)
                await self.move()
        finally:
            socket.close()

    async def look(self) -> None:
        """See for ourselves every two seconds while somebody watches; sleep when nobody does."""
        while True:
            if self.pages == 0:
                async with self._moved:
                    await self._moved.wait_for(lambda: self.pages > 0)
            await asyncio.sleep(LOOK_EVERY_S)
            if self._changed():
                await self.move()

    async def move(self) -> None:
        async with self._moved:
            self.version += 1
            self._moved.notify_all()

    async def close(self) -> None:
        """Let every open page go, so that stopping does not wait for them."""
        self.closing = True
        await self.move()

    async def moved(self, seen: int, timeout_s: float) -> bool:
        """Wait until something happened after version `seen`; False when nothing did."""
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(lambda: self.version != seen or self.closing)
        except TimeoutError:
            return False
        return True

    async def stream(self, frame: Callable[[], dict[str, Any]]) -> AsyncIterator[bytes]:
        """Server-sent events: the whole frame at once, then again each time it came out differently."""
        self.pages += 1
        self.opened += 1
        await self.move()  # wakes `look`
        last = None
        try:
            yield b"retry: 1000\n\n"
            while not self.closing:
                seen = self.version
                now = json.dumps(frame(), ensure_ascii=False, separators=(",", ":"))
                if now != last:
                    last = now
                    yield f"data: {now}\n\n".encode()
                    await asyncio.sleep(FRAME_GAP_S)
                while not self.closing and not await self.moved(seen, ALIVE_EVERY_S):
                    yield b"event: alive\ndata: 1\n\n"
        finally:
            self.pages -= 1
