"""The desk of the pages: everything that a person does goes over the bus as a reading, and is answered."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drivers.bus import Outlet
from drivers.contract import Document, Outcome

ANSWER_WITHIN_S = 5.0
ANSWERS_KEPT = 256


class Desk:
    """One outlet in one thread of its own: a zmq socket belongs to the thread that made it."""

    def __init__(self, bus_address: str) -> None:
        self._address = bus_address
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="desk")
        self._outlet: Outlet | None = None
        self._answered: dict[str, Outcome] = {}  # by document id, the oldest first

    async def ask(self, kind: str, body: dict[str, Any], external_id: str = "") -> Outcome:
        """Send a document and wait until it is on disk. Raises TimeoutError when the core does not answer."""
        document = Document(kind=kind, external_id=external_id or uuid.uuid4().hex, body=body)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, document)

    def _ask(self, document: Document) -> Outcome:
        """A form that is sent twice (a double click, a reload) is one document, and has one answer."""
        if document.external_id in self._answered:
            return self._answered[document.external_id]
        if self._outlet is None:
            self._outlet = Outlet(self._address, "web", uuid.uuid4().hex)
        outcome = self._outlet.ask(document, ANSWER_WITHIN_S)
        if outcome.code == "not_recording":
            return outcome  # nothing happened: the same form sent again is another try
        self._answered[document.external_id] = outcome
        while len(self._answered) > ANSWERS_KEPT:
            del self._answered[next(iter(self._answered))]
        return outcome

    def close(self) -> None:
        self._thread.submit(self._hang_up)
        self._thread.shutdown(wait=True)

    def _hang_up(self) -> None:
        if self._outlet is not None:
            self._outlet.close()
