"""What stands before every page: who may ask, what may be posted, what a browser may load.

Loopback needs no login: whoever can reach 127.0.0.1 sits at the box. Two strangers still can try, both through
the browser of a person who sits there: a page of another site that posts a form to us (refused by `Origin` and
`Sec-Fetch-Site`), and a name that is made to point at 127.0.0.1 (refused by `Host`).

The shop's network comes in by HTTPS alone, and sees nothing but the pairing page until its phone was paired.
"""

import ipaddress
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
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


COOKIE = "__Host-phone"  # the prefix: only over HTTPS, only from this very host
FOR_STRANGERS = ("/pair", "/authority.crt")
FOR_STRANGERS_BELOW = "/static/"


class Guard:
    """ASGI middleware: refuses strangers, and puts the security headers on every answer.

    `is_paired` says whether a secret is that of a paired phone, `names` what the box is called in the network.
    """

    def __init__(
        self, app: ASGIApp, is_paired: Callable[[str], bool] = lambda _: False, names: tuple[str, ...] = ()
    ) -> None:
        self.app = app
        self._is_paired = is_paired
        self._names = names

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

        await (self._instead(scope) or self.app)(scope, receive, send_guarded)

    def _instead(self, scope: Scope) -> Response | None:
        """What is answered in place of the page that was asked for."""
        headers = Headers(scope=scope)
        remote = is_remote(scope)
        if refusal := refuse(scope["method"], headers, self._names if remote else None):
            return PlainTextResponse(refusal, 403)
        path = scope["path"]
        if not remote or path in FOR_STRANGERS or path.startswith(FOR_STRANGERS_BELOW):
            return None
        if self._is_paired(secret_in(headers.get("cookie", ""))):
            return None
        if scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", "text/html"):
            return RedirectResponse("/pair", 303)
        return PlainTextResponse("this phone is not paired: open /pair", 401)


def is_remote(scope: Scope) -> bool:
    """Loopback alone is plain; what came encrypted came from the shop's network."""
    return bool(scope["scheme"] == "https")


def secret_in(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def refuse(method: str, headers: Headers, names: tuple[str, ...] | None = None) -> str | None:
    """Why this request is not served, or None. `names`: those of the box, for who comes from the network."""
    host = headers.get("host", "")
    if names is None and not is_loopback(host):
        return f"{host!r} is not a name of this box: open it as http://127.0.0.1 or http://localhost"
    if names is not None and host.rsplit(":", 1)[0].lower() not in names:
        return f"{host!r} is not a name of this box: open it as https://{names[-1] if names else ''}"
    if method in ("GET", "HEAD"):
        return None
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "this form was sent by another site: open the page here and press the button again"
    origin = headers.get("origin")
    if origin is not None and origin != f"{'http' if names is None else 'https'}://{host}":
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
