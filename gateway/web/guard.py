"""What stands before every page: who may ask, what may be posted, what a browser may load.

There is no login in this part, and none is needed on loopback: whoever can reach 127.0.0.1 sits at the box.
Two strangers still can try, both through the browser of a person who sits there: a page of another site that
posts a form to us (refused by `Origin` and `Sec-Fetch-Site`), and a name that is made to point at 127.0.0.1
(refused by `Host`). The login of the owner's pages goes here: one more question before `self.app`.
"""

import ipaddress

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware: refuses strangers, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = refuse(scope["method"], Headers(scope=scope))
        app = self.app if refusal is None else PlainTextResponse(refusal, 403)
        await app(scope, receive, send_guarded)


def refuse(method: str, headers: Headers) -> str | None:
    """Why this request is not served, or None."""
    host = headers.get("host", "")
    if not is_loopback(host):
        return f"{host!r} is not a name of this box: open it as http://127.0.0.1 or http://localhost"
    if method in ("GET", "HEAD"):
        return None
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "this form was sent by another site: open the page here and press the button again"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return f"this form came from {origin!r}: open the page here and press the button again"
    return None


def is_loopback(host: str) -> bool:
    """`localhost:8080`, `127.0.0.1`, `[::1]:8080`: a name that no other machine can claim."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
