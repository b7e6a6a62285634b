"""What building and testing need beside Python: installed where that is allowed, and always said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs with an apt-get that only notes what it is asked."""
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\n/bin/echo "$@" >>{tmp_path}/asked\n')
    apt.chmod(0o755)
    return tmp_path


def look_for(uses: list[str], programs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "tools.py"), *uses],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages")
def test_root_gets_what_is_missing_installed(bare: Path) -> None:
    answer = look_for(["test"], bare)

    assert (
        "install -y --no-install-recommends mosquitto chromium systemd strace" in (bare / "asked").read_text()
    )
    assert "installing by apt: mosquitto chromium systemd strace" in answer.stdout


def test_a_missing_compiler_ends_the_build_with_the_remedy(bare: Path) -> None:
    answer = look_for(["build"], bare)

    assert answer.returncode == 1
    assert "missing: gcc (evdev has no wheels; needed). Remedy: sudo apt install gcc" in answer.stdout


def test_a_missing_browser_only_skips_its_tests(bare: Path) -> None:
    answer = look_for(["test"], bare)

    assert answer.returncode == 0
    assert "missing: chromium (the browser of the page tests; its tests will be skipped)" in answer.stdout


def test_nothing_is_said_when_all_is_there(bare: Path) -> None:
    for program in ("mosquitto", "chromium", "systemd-analyze", "strace"):
        (bare / program).symlink_to("/bin/true")

    answer = look_for(["test"], bare)

    assert (answer.returncode, answer.stdout) == (0, "")
