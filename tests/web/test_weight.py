"""What a first visit loads: at most 150 KB compressed, nothing twice, nothing from outside."""

import gzip
import re
from urllib.request import Request, urlopen

import pytest
from real_shop import RealShop

FIRST_LOAD_BYTES_MAX = 150 * 1024
LINKED = re.compile(r'(?:src|href)="(/static/[^"]+)"')


def load(shop: RealShop, path: str) -> tuple[bytes, bytes]:
    """(as sent, unpacked)"""
    asked = Request(shop.address + path, headers={"accept-encoding": "gzip"})
    with urlopen(asked) as answer:
        sent = answer.read()
    return sent, gzip.decompress(sent) if sent[:2] == b"\x1f\x8b" else sent


@pytest.mark.parametrize("path", ["/counter", "/", "/item/oat-drink", "/journal"])
def test_a_first_visit_is_light(shop: RealShop, path: str) -> None:
    sent, html = load(shop, path)
    linked = sorted(set(LINKED.findall(html.decode())))

    total = len(sent) + sum(len(load(shop, one)[0]) for one in linked)

    print(f"{path}: {total / 1024:.0f} KB compressed in {1 + len(linked)} requests")
    assert linked != []
    assert total <= FIRST_LOAD_BYTES_MAX


def test_what_a_page_links_to_may_be_kept_for_ever_because_its_name_follows_its_content(
    shop: RealShop,
) -> None:
    (style,) = [one for one in LINKED.findall(load(shop, "/")[1].decode()) if "shop.css" in one]

    with urlopen(shop.address + style) as answer:
        kept = answer.headers["cache-control"]
    with urlopen(shop.address + style.partition("?")[0]) as answer:
        asked_again = answer.headers["cache-control"]

    assert "immutable" in kept
    assert asked_again == "no-cache"
