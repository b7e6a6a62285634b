"""Every page, in every size, light and dark: readable, reachable, and nothing leaves the box."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from real_shop import RealShop

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE_DARK_RULES = ["color-contrast"]  # names, roles and sizes do not change with the light
AXE_RUN = """async (rules) => {
  const found = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  return found.violations.flatMap((one) =>
    one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 120)} ${node.any[0]?.message}`));
}"""
PAGES = (
    "/counter",
    "/",
    "/stock",
    "/stock?show=short",
    "/stock?show=expiring",
    "/item/oat-drink",
    "/item/yoghurt",
    "/model",
    "/journal",
    "/devices",
    "/devices/add",
    "/devices/add?identity=serial@1.4",
    "/device/counter-1",
    "/device/stockroom",
    "/alerts?show=all",
    "/fix",
    "/unknown",
    "/more",
    "/phones",
    "/help",
    "/help/SK-C04",
    "/not-here",
)
SET_UP = ("/devices/add", "/devices/add?identity=serial@1.4", "/device/counter-1")
GERMAN = ("/counter", "/", "/item/oat-drink", "/model", "/journal", "/unknown", "/devices", *SET_UP)
POLISH = ("/counter", "/", "/model", "/item/oat-drink", "/devices", *SET_UP)
SIZES = ((390, 844), (800, 480), (1280, 800))
KIOSK_SIZES = ((1024, 600), (720, 1280))

# What a reader would see as wrong: text past the edge of the box it belongs to, or half cut off.
TEXT_OUTSIDE = """() => {
  const hidden = (box, text) => {
    for (let outer = box; outer; outer = outer.parentElement) {
      const edge = outer.getBoundingClientRect();
      const gone = text.left >= edge.right || text.top >= edge.bottom;
      if (gone && getComputedStyle(outer).overflow !== "visible") return true;
    }
    return false;
  };
  const wrong = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const box = node.parentElement;
    if (!node.textContent.trim() || !box.checkVisibility({ visibilityProperty: true })) continue;
    if (box.closest(".sr, script, style, .wide, svg, .skip, option, datalist")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const text of range.getClientRects()) {
      if (!text.width) continue;
      if (hidden(box, text)) continue;  // a line that is wholly cut off is no half line
      if (text.right > innerWidth + 1 || text.left < -1) wrong.push(["off the screen", box.innerText]);
      for (let outer = box; outer && outer !== document.body; outer = outer.parentElement) {
        const style = getComputedStyle(outer);
        if (style.webkitLineClamp !== "none") break;  // cut with an ellipsis, on purpose
        const edge = outer.getBoundingClientRect();
        if (style.display === "inline" || style.display === "contents") continue;
        if (text.right > edge.right + 1 || text.left < edge.left - 1) {
          wrong.push([`past <${outer.localName} class="${outer.className}">`, node.textContent.trim()]);
          break;
        }
        if (style.overflowY !== "visible" && style.overflowY !== "auto" && text.bottom > edge.bottom + 2) {
          wrong.push([`cut by <${outer.localName} class="${outer.className}">`, node.textContent.trim()]);
          break;
        }
      }
    }
  }
  return wrong;
}"""
SMALL_TARGETS = """() => [
  ...document.querySelectorAll("a, button, input:not([type=hidden]), select, summary")]
  .filter((one) => one.checkVisibility() && !one.closest(".skip, .sr"))
  .map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
  .filter(([, box]) => box.width < 47.5 || box.height < 47.5)
  .map(([html, box]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${html}`)"""
SMALL_TEXT = """() => [...document.querySelectorAll("body *")]
  .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
  .filter((one) => one.checkVisibility() && !one.closest("script, style, svg, .sr"))
  .filter((one) => parseFloat(getComputedStyle(one).fontSize) < 16)
  .map((one) => one.outerHTML.slice(0, 90))"""
TALL = "() => document.documentElement.scrollHeight"
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def look(page: Any, sizes: tuple[tuple[int, int], ...], path: str) -> list[str]:
    """All that is wrong with the page that is open, in these sizes, light and dark."""
    found: list[str] = []
    page.evaluate(AXE)
    for width, height in sizes:
        where = f"{path} {width}x{height}"
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        found += layout(page, where)
        # axe looks at the page as a whole, so that the bar at the bottom of a phone covers nothing
        page.set_viewport_size({"width": width, "height": max(height, page.evaluate(TALL))})
        found += [f"{where} light: axe {one}" for one in axe(page, AXE_RULES)]
        page.emulate_media(color_scheme="dark")
        found += [f"{where} dark: axe {one}" for one in axe(page, AXE_DARK_RULES)]
    return found


def layout(page: Any, where: str) -> list[str]:
    """What is cut off, too small, or wider than the screen."""
    found = [f"{where}: text {how}: {text}" for how, text in page.evaluate(TEXT_OUTSIDE)]
    found += [f"{where}: small target {one}" for one in page.evaluate(SMALL_TARGETS)]
    found += [f"{where}: small text {one}" for one in page.evaluate(SMALL_TEXT)]
    if wider := page.evaluate(SIDEWAYS):
        found.append(f"{where}: scrolls sideways by {wider} px")
    return found


def axe(page: Any, rules: list[str]) -> list[str]:
    result = page.evaluate(AXE_RUN, rules)
    return list(result)


def open_page(browser: Any, shop: RealShop, path: str, strangers: list[str]) -> Any:
    # still from the start: colours are judged as they stay, not in the middle of a fade
    context = browser.new_context(viewport={"width": 800, "height": 480}, reduced_motion="reduce")
    page = context.new_page()
    ours = urlsplit(shop.address).netloc
    page.on(
        "request",
        lambda request: strangers.append(request.url) if urlsplit(request.url).netloc != ours else None,
    )
    page.goto(shop.address + path)
    page.wait_for_load_state("load")
    return page


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_readable_and_reachable_in_every_size_light_and_dark(
    browser: Any, shop: RealShop, path: str
) -> None:
    strangers: list[str] = []
    page = open_page(browser, shop, path, strangers)
    sizes = SIZES + KIOSK_SIZES if path == "/counter" else SIZES

    found = look(page, sizes, path)

    page.context.close()
    assert found == []
    assert strangers == []


@pytest.mark.parametrize(("path", "lang"), [(p, "de") for p in GERMAN] + [(p, "pl") for p in POLISH])
def test_longer_words_of_another_language_stay_in_their_boxes(
    browser: Any, shop: RealShop, path: str, lang: str
) -> None:
    strangers: list[str] = []
    page = open_page(browser, shop, f"{path}{'&' if '?' in path else '?'}lang={lang}", strangers)
    page.evaluate(AXE)

    found = axe(page, AXE_RULES)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        found += layout(page, f"{path} {lang} {width}x{height}")

    page.context.close()
    assert found == []
    assert strangers == []
