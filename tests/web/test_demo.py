"""The demo strip on the real demo: the plug is pulled from the page, and the page tells what it came to."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from real_shop import free_port, wait_for


def test_pulling_the_plug_on_the_page_loses_nothing_and_the_page_says_so(page: Any, tmp_path: Path) -> None:
    port = free_port()
    line = [sys.executable, "-m", "gateway", "demo", "--folder", str(tmp_path / "demo"), "--port", str(port)]
    demo = subprocess.Popen([*line, "--speed", "4"], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert demo.stdout is not None
        wait_for(lambda: b"counter screen" in demo.stdout.readline(), "the demo")
        page.goto(f"http://127.0.0.1:{port}/counter")
        page.wait_for_selector(".feed .moved")

        page.click('[data-demo="plug"]')
        page.wait_for_selector('[data-part="done"]:not([hidden])', timeout=90_000)

        assert page.inner_text('[data-value="lost"]') == "0"
        assert int(page.inner_text('[data-value="acknowledged_before"]')) > 0
        assert page.inner_text('[data-value="seconds_to_next_scan"]').endswith(" s")
        page.wait_for_selector("#lost", state="hidden", timeout=90_000)
        page.click('[data-demo="unplug"]')
        page.wait_for_selector("text=Plug scanner in")
        page.wait_for_selector("#chip-scanner.warn", timeout=90_000)
    finally:
        os.kill(demo.pid, signal.SIGTERM)
        demo.wait(120)
