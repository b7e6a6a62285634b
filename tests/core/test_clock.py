"""Which machines know the date after a power cut."""

import pytest

from gateway.clock import keeps_the_date

NOVEMBER_2026, AFTER_A_MINUTE = "1795500000\n", "60\n"


@pytest.mark.parametrize(
    ("machine", "device_tree", "hardware_clock", "keeps"),
    [
        ("a Raspberry Pi 4, no network", True, None, False),
        ("a Pi 4 with a clock module", True, NOVEMBER_2026, True),
        ("a Raspberry Pi 5 with its battery", True, NOVEMBER_2026, True),
        ("a Raspberry Pi 5 without", True, AFTER_A_MINUTE, False),
        ("a PC", False, NOVEMBER_2026, True),
        ("a PC whose battery is flat", False, AFTER_A_MINUTE, False),
        ("a sandbox that shows no hardware", False, None, True),
    ],
)
def test_the_last_date_on_the_card_does_not_pass_for_today(
    tmp_path, machine, device_tree, hardware_clock, keeps
):
    if device_tree:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/device-tree").symlink_to("/sys/firmware/hidden")  # as a container on a Pi sees it
    if hardware_clock:
        (tmp_path / "sys/class/rtc/rtc0").mkdir(parents=True)
        (tmp_path / "sys/class/rtc/rtc0/since_epoch").write_text(hardware_clock)

    assert keeps_the_date(tmp_path) is keeps, machine
