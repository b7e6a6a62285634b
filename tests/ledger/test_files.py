"""The ballast: space held back, that must really be there on the day the disk is full."""

import pytest

from gateway.ledger.files import Ballast

MIB = 1024 * 1024


@pytest.mark.parametrize("left", [b"", b"half", bytes(MIB // 2)])
def test_a_ballast_that_a_power_cut_left_unfinished_is_put_back_whole(tmp_path, left):
    (tmp_path / "ballast").write_bytes(left)
    ballast = Ballast(tmp_path / "ballast", MIB)

    assert ballast.missing
    ballast.put_back()

    assert not ballast.missing
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= MIB  # allocated, not only promised
    assert [file.name for file in tmp_path.iterdir()] == ["ballast"]


def test_an_empty_ballast_is_nothing_to_give_up(tmp_path):
    ballast = Ballast(tmp_path / "ballast", MIB)
    (tmp_path / "ballast").touch()

    assert not ballast.release()
    ballast.put_back()
    assert ballast.release()
    assert list(tmp_path.iterdir()) == []
