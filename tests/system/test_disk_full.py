"""A full disk, a disk that turned read-only: never silent, nothing acknowledged lost, and back by itself."""

import contextlib
import os
import resource
import socket
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import zmq

from drivers.bus import decode_hint
from gateway.addresses import hint_address
from gateway.config import load
from gateway.ledger.writer import Writer
from tests.system.disk import Disk, need_disks, run, small_tmpfs
from tests.system.shop import Shop, open_shop
from tests.system.test_kills import assert_ledger_is_whole

FULL = "not_recording the disk is full: scans are NOT counted."
SOON_S = 60.0  # the counter page says it within this; how soon is printed


class Page:
    """What a page hears from the core."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(hint_address(load(shop.config).settings))

    def hears(self, code: str, text: str, within_s: float) -> float:
        """Seconds until an event of the ledger says so. Fails when none does."""
        began_s = time.monotonic()
        while (left_s := within_s - (time.monotonic() - began_s)) > 0:
            if self._socket.poll(int(left_s * 1000) + 1):
                for event in decode_hint(self._socket.recv()).events:
                    if (event.device, event.code) == ("ledger", code) and text in event.text:
                        return time.monotonic() - began_s
        raise AssertionError(f"the page was not told {code} {text!r} within {within_s} s")

    def shows(self, text: str) -> bool:
        """The counter page itself, as a browser gets it."""
        with contextlib.suppress(OSError):
            address = (self._shop.folder / "web.address").read_text().strip()
            with urlopen(f"{address}/counter?station=counter", timeout=120) as page:
                return text in page.read().decode()
        return False

    def close(self) -> None:
        self._socket.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fill(folder: Path) -> Path:
    """Somebody else's file takes every byte that is left."""
    hog = folder / "somebody-elses.log"
    with hog.open("ab") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), b"x" * 4096)
    with hog.open("ab") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), b"x")
    return hog


def scan_until(shop: Shop, code: str, said: str, at_most: int = 400) -> list[str]:
    """Scan again and again until an answer begins with `said`; all answers."""
    answers = []
    for _ in range(at_most):
        shop.ports["counter"].scan(code)
        answer = shop.ports["counter"].hear()
        assert answer is not None, f"silent after {answers[-3:]}; see {shop.folder}/daemon.log"
        answers.append(answer)
        if answer.startswith(said):
            return answers
    raise AssertionError(f"never {said!r}: {answers[-3:]}")


def booked(answers: list[str]) -> int:
    return sum(answer.split()[0] in ("ok", "low", "negative") for answer in answers)


def test_a_full_disk_refuses_scans_aloud_and_counts_again_by_itself(tmp_path, capsys):
    with (
        small_tmpfs(tmp_path / "disk", 8) as disk,
        open_shop(disk / "shop", web=True, web_port=free_port()) as shop,
    ):
        shop.start()
        (code,) = shop.add_items(1)
        page = Page(shop)
        shop.wait_until(lambda: page.shows("counter"), "the counter page")
        pid = shop.daemon.pid
        answers = scan_until(shop, code, "negative")

        hog = fill(disk)
        answers += scan_until(shop, code, FULL)
        refused_s = time.monotonic()
        page.hears("not_recording", "the disk is full", SOON_S)
        shop.wait_until(lambda: page.shows("the disk is full"), "the counter page says so", SOON_S)
        told_s = time.monotonic() - refused_s
        ballast_was_given_up = not (shop.folder / "ballast").exists()
        on_ballast = booked(answers)
        answers += [*scan_until(shop, code, FULL), *scan_until(shop, code, FULL)]
        refused = len(answers) - booked(answers)

        hog.unlink()
        page.hears("ok", "counting again", 60.0)
        shop.wait_until(lambda: not page.shows("the disk is full"), "the counter page is glad again")
        answers += scan_until(shop, code, "negative")
        page.close()

        assert ballast_was_given_up and on_ballast > 1
        assert shop.rows("SELECT count(*) FROM movement") == [(booked(answers),)]
        assert shop.daemon.pid == pid and shop.daemon.poll() is None
        assert_ledger_is_whole(shop)
        shop.wait_until((shop.folder / "ballast").exists, "the ballast back")
        assert shop.stop() == 0
    with capsys.disabled():
        print(
            f"\n  disk full: {on_ballast} scans booked before and on the ballast, {refused} refused aloud,"
            f" on the counter page {told_s:.2f} s after the first refusal, {booked(answers)} booked = acknowledged"
        )


def test_a_daemon_that_starts_on_a_full_disk_gives_up_the_ballast_and_counts(tmp_path):
    with small_tmpfs(tmp_path / "disk", 8) as disk, open_shop(disk / "shop") as shop:
        shop.start()
        (code,) = shop.add_items(1)
        scan_until(shop, code, "negative")
        shop.kill()

        fill(disk)
        shop.start()
        answer = scan_until_it_answers(shop, code)

        assert answer.startswith("negative Item 1: -2")
        assert not (shop.folder / "ballast").exists()


def scan_until_it_answers(shop: Shop, code: str) -> str:
    """One scan, and what is said to it; announcements of earlier ones do not count."""
    shop.ports["counter"].scan(code)
    answer = shop.ports["counter"].hear(60)
    while answer is not None and answer.startswith("late"):
        answer = shop.ports["counter"].hear(60)
    assert answer is not None, (shop.folder / "daemon.log").read_text()
    return answer


def remount(disk: Path, how: str) -> None:
    """Read-only as after an error of the card: whoever has files open for writing keeps failing at them."""
    run("mount", "-o", f"remount,{how}", str(disk))


def limit_file_size(pid: int, size_bytes: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


@pytest.fixture
def shop(tmp_path):
    with open_shop(tmp_path / "shop") as shop:
        yield shop.start()


def test_no_file_may_grow_and_scans_are_refused_until_it_may_again(shop):
    """Every write of the ledger fails (the limit of a process, as a card that gives errors does)."""
    (code,) = shop.add_items(1)
    page = Page(shop)

    limit_file_size(shop.daemon.pid, 4096)
    refused = scan_until(shop, code, "not_recording")
    page.hears("not_recording", "NOT counted", SOON_S)
    limit_file_size(shop.daemon.pid, resource.RLIM_INFINITY)
    page.hears("ok", "counting again", 60.0)
    page.close()

    assert booked(refused) == 0
    assert scan_until_it_answers(shop, code).startswith("negative Item 1: -1")
    assert_ledger_is_whole(shop)


def test_a_card_that_dies_under_the_daemon_is_said_at_every_scan(tmp_path):
    """Every write and every flush is an I/O error from now on; what was acknowledged is on the card."""
    need_disks()
    disk = Disk.formatted(tmp_path / "card.img", tmp_path / "card").mount()
    try:
        with open_shop(disk.folder / "shop") as shop:
            shop.start()
            (code,) = shop.add_items(1)
            answers = scan_until(shop, code, "negative")
            page = Page(shop)

            disk.cut_power()
            answers += scan_until(shop, code, "not_recording", at_most=1)
            page.hears("not_recording", "NOT counted", SOON_S)
            answers += scan_until(shop, code, "not_recording", at_most=1)

            page.close()
            assert shop.daemon.poll() is None
    finally:
        after = disk.copy(tmp_path / "after.img", tmp_path / "after")
        disk.unmount()
    after.mount()
    with contextlib.closing(Writer(after.folder / "shop")) as writer:
        assert writer.last_seq == booked(answers) == 1
    after.unmount()


def test_a_daemon_on_a_read_only_disk_says_so_and_what_to_do(tmp_path):
    with small_tmpfs(tmp_path / "disk", 8) as disk, open_shop(disk / "shop") as shop:
        shop.start()
        assert shop.stop() == 0
        for scanner in shop.ports.values():
            scanner.close()

        remount(disk, "ro")
        said = started_in_vain(shop)
        remount(disk, "rw")

    assert said.returncode == 6
    assert said.stderr.startswith(
        f"storekeeper: {disk}/shop cannot be written (Read-only file system): mount the disk writable"
    )
    assert "Traceback" not in said.stderr


def test_a_second_daemon_is_told_to_stop_the_first_one(tmp_path):
    with open_shop(tmp_path / "shop") as shop:
        shop.start()
        (code,) = shop.add_items(1)

        said = started_in_vain(shop)

        assert said.returncode == 6
        assert said.stderr == (
            f"storekeeper: {tmp_path}/shop is used by another storekeeper (pid {shop.daemon.pid}):"
            " stop that one first  [SK-L04]\n"
        )
        assert scan_until_it_answers(shop, code).startswith("negative Item 1: -1")


def started_in_vain(shop: Shop) -> "subprocess.CompletedProcess[str]":
    import sys

    from tests.system.shop import REPOSITORY

    command = [sys.executable, "-m", "gateway", "run", "-c", str(shop.config)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
