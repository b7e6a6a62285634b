"""Two keyboards made of software (dummy_hcd, configfs): the scanner that we play, and the one that the till sees.

Each has two ends in this guest: /dev/hidgN, where reports are written as the device does, and /dev/input, where the
host's own driver shows what was typed.
"""

import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GADGETS = Path("/sys/kernel/config/usb_gadget")
REPORT_DESCRIPTOR = bytes.fromhex(  # the boot keyboard of the HID specification, appendix B.1
    "05010906a101050719e029e71500250175019508810295017508810395057501050819012905910295017503910395067508"
    "150025650507190029658100c0"
)
KEYBOARD = "/dev/input/by-id/usb-Lab_{}_{}-event-kbd"
ANSWER_WITHIN_S = 20.0
BETWEEN_REPORTS_S = (
    0.003  # a full-speed scanner is asked every 2 to 10 ms; the kernel keeps 64 events for a reader
)


def make() -> None:
    """`till` is /dev/hidg0, `scanner` /dev/hidg1; each with its own vendor, product and serial number."""
    subprocess.run(["modprobe", "-a", "dummy_hcd", "libcomposite"], check=True)
    subprocess.run("rmmod dummy_hcd; modprobe dummy_hcd num=2", shell=True, check=True)
    for number, (name, vendor, product) in enumerate((("Till", 0x1D6B, 0x0104), ("Scanner", 0x05F9, 0x2216))):
        folder = GADGETS / name
        for part in ("strings/0x409", "configs/c.1", "functions/hid.0"):
            (folder / part).mkdir(parents=True)
        said = {
            "idVendor": hex(vendor),
            "idProduct": hex(product),
            "strings/0x409/manufacturer": "Lab",
            "strings/0x409/product": name,
            "strings/0x409/serialnumber": f"SN{number}",
            "functions/hid.0/protocol": "1",
            "functions/hid.0/subclass": "1",
            "functions/hid.0/report_length": "8",
        }
        for file, text in said.items():
            (folder / file).write_text(text)
        (folder / "functions/hid.0/report_desc").write_bytes(REPORT_DESCRIPTOR)
        (folder / "configs/c.1/hid.0").symlink_to(folder / "functions/hid.0")
        (folder / "UDC").write_text(f"dummy_udc.{number}")


class Till:
    """What the till's own keyboard driver shows, as whole codes in its layout.

    A process of its own takes the events, before all others: the kernel keeps 64 of them for a reader, which is one
    code, and what comes then is dropped. A till is never too late for its keyboard; this one shares a processor.
    """

    def __init__(self, layout: str) -> None:
        from drivers.hid_scanner import HidScannerConfig, HidScannerDecoder

        self.codes: list[str] = []
        self.got = threading.Condition()
        self._decoder = HidScannerDecoder(HidScannerConfig(layout=layout, terminator="enter"))
        program = [sys.executable, "/lab/till_keyboard.py", KEYBOARD.format("Till", "SN0")]
        self._keyboard = subprocess.Popen(program, stdout=subprocess.PIPE, bufsize=0)
        assert self._keyboard.stdout is not None
        self._events = self._keyboard.stdout.fileno()
        os.read(self._events, 1)  # it has the keyboard
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, count: int, timeout_s: float) -> bool:
        with self.got:
            return self.got.wait_for(lambda: len(self.codes) >= count, timeout_s)

    def close(self) -> None:
        self._keyboard.kill()
        self._keyboard.wait()
        self._thread.join()
        os.close(self._events)

    def _read(self) -> None:
        while True:
            waits = select.select([self._events], [], [], 0.5)[0]
            typed = os.read(self._events, 65_536) if waits else b""
            if waits and not typed:
                return
            now_s = time.monotonic()
            for reading in self._decoder.feed(typed, now_s) if typed else self._decoder.idle(now_s):
                with self.got:
                    self.codes.append(getattr(reading, "data", repr(reading)))
                    self.got.notify_all()


class Scanner:
    """Types like the scanner."""

    def __init__(self, layout: str) -> None:
        self._layout = layout
        self._fd = os.open("/dev/hidg1", os.O_WRONLY)

    def scan(self, code: str) -> None:
        from drivers.typed_keys import boot_reports, strokes

        for report in boot_reports(strokes(code, self._layout, "enter")):
            time.sleep(BETWEEN_REPORTS_S)
            os.write(self._fd, report)

    def close(self) -> None:
        os.close(self._fd)


def through(codes: list[str], layout: str, echo: bool = False) -> dict:
    """Scan `codes` one after the other: what the till had, and the ms from the scanner's Enter to the till's.

    `echo`: not through the daemon but through a loop of twenty lines.
    """
    program = [sys.executable, "/lab/echo.py", KEYBOARD.format("Scanner", "SN1"), "/dev/hidg0"]
    loop = subprocess.Popen(program, stdout=subprocess.PIPE) if echo else None
    if loop is not None and loop.stdout is not None:
        loop.stdout.readline()
    till, scanner = Till(layout), Scanner(layout)
    took_ms = []
    try:
        for number, code in enumerate(codes, 1):
            scanner.scan(code)
            began_s = time.monotonic()
            if not till.wait_for(number, ANSWER_WITHIN_S):
                break
            took_ms.append(round((time.monotonic() - began_s) * 1000, 1))
    finally:
        scanner.close()
        till.close()
        if loop is not None:
            loop.kill()
            loop.wait()
    return {"codes": till.codes, "took_ms": took_ms}


def through_kills(codes: list[str], layout: str, kills: int, seed: int) -> dict:
    """Scan on while driver and daemon are killed by turns; what was scanned, and what the till had."""
    rng = random.Random(seed)
    till, scanner = Till(layout), Scanner(layout)
    stop = threading.Event()
    sent: list[str] = []

    def scan() -> None:
        while not stop.is_set():
            code = rng.choice(codes)
            sent.append(code)
            scanner.scan(code)
            time.sleep(0.1)

    clerk = threading.Thread(target=scan)
    clerk.start()
    back_s = []
    for number in range(kills):
        time.sleep(random.Random(seed + number).uniform(0.5, 2.0))
        os.kill(main_pid() if number % 2 else driver_pid(), signal.SIGKILL)
        killed_s, had = time.monotonic(), len(till.codes)
        if not till.wait_for(had + 1, 60):
            break
        back_s.append(round(time.monotonic() - killed_s, 2))
    stop.set()
    clerk.join()
    time.sleep(5.0)
    scanner.close()
    till.close()
    return {"sent": sent, "typed": till.codes, "back_s": back_s}


def main_pid() -> int:
    shown = subprocess.run(
        ["systemctl", "show", "-p", "MainPID", "--value", "storekeeper"], capture_output=True
    )
    return int(shown.stdout)


def driver_pid() -> int:
    """Who holds the scanner's keyboard."""
    from keyboards import holders

    while not (found := holders(KEYBOARD.format("Scanner", "SN1"))):
        time.sleep(0.1)
    return found[0]
