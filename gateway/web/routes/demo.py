"""The buttons of the demo strip. The controller that carries them out is another process, on loopback."""

import asyncio
import json
from typing import Any
from urllib.error import URLError
from urllib.request import Request as Ask
from urllib.request import urlopen

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.web.face import Face

BUTTONS = ("scan", "unplug", "warm", "internet", "plug")
ANSWER_WITHIN_S = 5.0
ANSWER_BYTES_MAX = 64 * 1024


async def state(request: Request) -> Response:
    """What the controller says: which buttons are down, and what the last pulled plug came to."""
    return await passed_on(Face.of(request).demo_address + "/state")


async def press(request: Request) -> Response:
    """One button of the strip. Pulling the plug kills this process too: the page asks until it is back."""
    what = request.path_params["what"]
    if what not in BUTTONS:
        return JSONResponse({"error": f"there is no button {what!r}; use {', '.join(BUTTONS)}"}, 404)
    answer = await passed_on(f"{Face.of(request).demo_address}/do/{what}", post=True)
    if "application/json" in request.headers.get("accept", ""):
        return answer
    return RedirectResponse("/", 303)


async def passed_on(address: str, post: bool = False) -> Response:
    try:
        return JSONResponse(await asyncio.to_thread(ask, address, post))
    except (URLError, OSError, ValueError) as error:
        return JSONResponse({"error": f"the demo does not answer: {error}"}, 502)


def ask(address: str, post: bool) -> Any:
    question = Ask(address, data=b"" if post else None, method="POST" if post else "GET")
    with urlopen(question, timeout=ANSWER_WITHIN_S) as answer:
        return json.loads(answer.read(ANSWER_BYTES_MAX))


routes = [
    Route("/demo/state", state),
    Route("/demo/do/{what}", press, methods=["POST"]),
]
