"""The desk of the pages: everything that a person does goes over the bus as a reading, and is answered."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drivers.bus import Outlet
from drivers.contract import Document, Outcome

ANSWER_WITHIN_S = 5.0


class Desk:
    """One outlet in one thread of its own: a zmq socket belongs to the thread that made it."""

    def __init__(self, bus_address: str) -> None:
        self._address = bus_address
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="desk")
        self._outlet: Outlet | None = None

    async def ask(self, kind: str, body: dict[str, Any], external_id: str = "") -> Outcome:
        """Send a document and wait until it is on disk. Raises TimeoutError when the core does not answer."""
        document = Document(kind=kind, external_id=external_id or uuid.uuid4().hex, body=body)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, document)

    def _ask(self, document: Document) -> Outcome:
        if self._outlet is None:
            self._outlet = Outlet(self._address, "web", uuid.uuid4().hex)
        return self._outlet.ask(document, ANSWER_WITHIN_S)

    def close(self) -> None:
        self._thread.submit(self._hang_up)
        self._thread.shutdown(wait=True)

    def _hang_up(self) -> None:
        if self._outlet is not None:
            self._outlet.close()
