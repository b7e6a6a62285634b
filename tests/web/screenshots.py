"""Takes the pictures of docs/screenshots from a running demo: python tests/web/screenshots.py ADDRESS

Before it: storekeeper demo, and storekeeper model train on its config.toml, so that there is a forecast.
"""

import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent.parent.parent / "docs" / "screenshots"
MILK, MILK_SKU = "9520000001025", "09520000001025"  # whole milk of the demo's catalogue
CHROMIUM_ARGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
PICTURES = (
    # name, path, width, height, scheme
    ("today-phone-light", "/", 390, 844, "light"),
    ("today-phone-dark", "/", 390, 844, "dark"),
    ("today-800x480", "/", 800, 480, "light"),
    ("item", f"/item/{MILK_SKU}", 1280, 860, "light"),
    ("item-phone-dark", f"/item/{MILK_SKU}", 390, 844, "dark"),
    ("stock-phone-light", "/stock", 390, 844, "light"),
    ("devices", "/devices", 1280, 640, "dark"),
)


def press(address: str, what: str, **form: str) -> None:
    asked = Request(f"{address}/do/{what}", urlencode(form).encode(), {"accept": "application/json"})
    urlopen(asked, timeout=120).close()


def sell_a_milk_of_twelve(address: str) -> None:
    press(address, "count", sku=MILK_SKU, location="shop", quantity="12")
    press(address, "scan", code=MILK, station="counter")


def take(page: Any, name: str, after_ms: float = 500) -> None:
    page.wait_for_timeout(after_ms)
    page.screenshot(path=FOLDER / f"{name}.png")


def main(address: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=list(CHROMIUM_ARGS))
        for name, scheme in (("counter", "light"), ("counter-dark", "dark")):
            page = browser.new_context(
                viewport={"width": 800, "height": 480}, color_scheme=scheme, reduced_motion="reduce"
            ).new_page()
            page.goto(address + "/counter?station=counter")
            sell_a_milk_of_twelve(address)
            page.wait_for_function("() => document.querySelector('.left b')?.innerText === '11'")
            take(page, name, 20)
        for name, path, width, height, scheme in PICTURES:
            page = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            ).new_page()
            page.goto(address + path)
            take(page, name)
        page = browser.new_context(viewport={"width": 800, "height": 480}).new_page()
        page.goto(address + "/counter?station=counter")
        page.click('[data-demo="plug"]')
        page.wait_for_selector('[data-part="done"]:not([hidden])', timeout=90_000)
        take(page, "plug-pulled")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
