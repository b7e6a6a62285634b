"""A section is added, a value is changed: the rest of the owner's file stays as it is, and nothing wrong is written."""

import os
from pathlib import Path

import pytest

from gateway.config import load
from gateway.settings_file import add_device, change_device, section, with_values

FILE = """# our shop
[shop]
name = "Corner"   # as people say it

[[device]]
name = "left"
driver = "serial_scanner"  # the grey one
mode = "look" # for now
port = "/dev/serial/by-id/left"

[[device]]
name = "right"
driver = "serial_scanner"
port = '/dev/serial/by-id/right # 2'
"""
NEW = {"name": "door", "driver": "serial_scanner", "mode": "sell", "port": "/dev/serial/by-id/door"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return path


def test_a_new_device_follows_the_others_and_nothing_else_changes(config: Path) -> None:
    change = add_device(config, NEW)

    assert change.written
    assert config.read_text() == (
        f'{FILE}\n[[device]]\nname = "door"\ndriver = "serial_scanner"\nmode = "sell"\n'
        'port = "/dev/serial/by-id/door"\n'
    )
    assert [device.name for device in load(config).settings.devices] == ["left", "right", "door"]
    assert sorted(path.name for path in config.parent.iterdir()) == ["config.toml", "settings-in-use.json"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "left"}, "this name is taken"),
        ({"driver": "serial_scaner"}, 'did you mean "serial_scanner"?'),
        ({"baud": 7}, "baud is 7; use 300 to 921600"),
        ({"mode": "buy"}, "mode is"),
        ({"name": 'x"\n[shop]'}, "name is"),
    ],
)
def test_a_device_that_would_not_start_is_not_written(config: Path, wrong: dict[str, str], why: str) -> None:
    change = add_device(config, {**NEW, **wrong})

    assert not change.written
    assert why in change.refused
    assert config.read_text() == FILE


def test_a_file_that_is_broken_already_is_left_to_its_owner(config: Path) -> None:
    config.write_text(f"{FILE}[web\n")

    change = add_device(config, NEW)

    assert change.refused == 'line 15: the closing "]" of the section is missing'
    assert config.read_text() == f"{FILE}[web\n"


def test_a_neighbour_that_is_broken_stops_no_new_device(config: Path) -> None:
    config.write_text(FILE.replace('name = "left"', 'name = "left"\nbaudd = 1'))

    assert add_device(config, NEW).written


def test_a_value_is_changed_in_its_place_and_keeps_its_comment() -> None:
    changed = with_values(FILE, "left", {"mode": "sell"})

    assert changed == FILE.replace('mode = "look" # for now', 'mode = "sell" # for now')


def test_a_value_with_a_hash_in_it_is_changed_whole() -> None:
    changed = with_values(FILE, "right", {"port": "/dev/x"})

    assert changed == FILE.replace("'/dev/serial/by-id/right # 2'", '"/dev/x"')


def test_a_value_that_was_not_there_follows_the_driver() -> None:
    changed = with_values(FILE, "right", {"mode": "sell"})

    assert changed == FILE.replace(
        'driver = "serial_scanner"\nport = \'', 'driver = "serial_scanner"\nmode = "sell"\nport = \''
    )


def test_a_device_that_is_not_there_is_said(config: Path) -> None:
    change = change_device(config, "middle", {"mode": "sell"})

    assert 'no [[device]] with name = "middle"' in change.refused


def test_the_file_keeps_its_rights_and_its_link(config: Path) -> None:
    config.chmod(0o640)
    link = config.with_name("link.toml")
    link.symlink_to(config)

    change = change_device(link, "left", {"mode": "sell"})

    assert change.written
    assert (link.is_symlink(), config.stat().st_mode & 0o777) == (True, 0o640)


def test_where_the_file_may_not_be_written_the_section_to_paste_is_the_answer(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fenced = config.parent / "etc"
    fenced.mkdir()
    config = config.rename(fenced / "config.toml")
    fenced.chmod(0o555)
    if os.geteuid() == 0:  # root writes anywhere: a folder that is none stands for one that is read-only
        config = Path("/proc/config.toml")

    change = add_device(config, NEW)

    assert not change.written
    assert "cannot be written by this program" in change.refused
    assert change.paste == section(NEW)
    fenced.chmod(0o755)
