"""Setting devices up: the scanner check card, to print or to scan from the screen."""

import base64
import hashlib

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.stock.check_card import STYLE, card_html

# The card is a file of its own that `devices check-card -o` writes, too: its one style sheet is named by its hash
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


def check_card(request: Request) -> Response:
    return HTMLResponse(card_html(), headers={"content-security-policy": POLICY})


routes = [
    Route("/devices/check-card", check_card),
]
