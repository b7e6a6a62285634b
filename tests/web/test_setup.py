"""Setting devices up from the pages: what is plugged in and nobody named, and the check card."""

from pathlib import Path
from urllib.request import urlopen

from real_shop import RealShop

from gateway.config import Device
from gateway.plugged import plugged


def keyboard(root: Path, event: str, port: str) -> None:
    node = root / "dev/input" / event
    node.parent.mkdir(parents=True, exist_ok=True)
    node.touch()
    by_path = root / f"dev/input/by-path/platform-usb-0:{port}:1.0-event-kbd"
    by_path.parent.mkdir(exist_ok=True)
    by_path.symlink_to(node)


def test_the_card_is_shown_and_may_load_nothing(shop: RealShop) -> None:
    with urlopen(shop.address + "/devices/check-card") as answer:
        policy, page = answer.headers["content-security-policy"], answer.read().decode()

    assert page.count("<svg") == 3
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_the_devices_page_leads_to_the_card(shop: RealShop) -> None:
    with urlopen(shop.address + "/devices") as answer:
        page = answer.read().decode()

    assert 'href="/devices/check-card"' in page


def test_what_the_settings_name_is_no_stranger(tmp_path: Path) -> None:
    keyboard(tmp_path, "event3", "1.2")
    keyboard(tmp_path, "event4", "1.3")
    left = Device("left", "hid_scanner", options={"path": "/dev/input/event3"})  # by another of its names

    seen = [(found.port, name) for found, name in plugged([left], tmp_path)]

    assert seen == [("1.2", "left"), ("1.3", "")]
