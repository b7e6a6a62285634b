"""`storekeeper sync status`: how far the back office holds what was booked here."""

import json
import subprocess
import sys
from pathlib import Path

from tests.cloud.ledgers import alert, sell, written

REPOSITORY = Path(__file__).resolve().parents[2]


def status(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    config = folder / "config.toml"
    config.write_text(f'[ledger]\ndata_dir = "{folder}"\n')
    command = [sys.executable, "-m", "gateway", "sync", "status", "-c", str(config), *words]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


def test_what_waits_is_told_lane_by_lane(tmp_path):
    with written(tmp_path) as shop:
        sell(shop, 7)
        alert(shop, "oat drink")
        batch = shop.batch()
        batch.cursors["L"] = (1, 4)
        shop.commit(batch)

        told = json.loads(status(tmp_path, "--json").stdout)

    assert told["link"]["state"] == "off"
    movements, alerts = told["lanes"][:2]
    assert (movements["lane"], movements["last_seq"], movements["acked_seq"], movements["waiting"]) == (
        "L",
        7,
        4,
        3,
    )
    assert movements["oldest_waiting_us"] > 1_795_000_000_000_000
    assert (alerts["lane"], alerts["last_seq"], alerts["acked_seq"], alerts["waiting"]) == ("A", 1, 0, 1)


def test_people_read_a_sentence_a_lane(tmp_path):
    with written(tmp_path) as shop:
        sell(shop, 7)

    assert status(tmp_path).stdout.splitlines() == [
        "off: no back office is set up",
        "  movements  0 of 7 held, 7 waiting, oldest 0 min",
    ]


def test_a_folder_without_a_ledger_is_said_to_be_one(tmp_path):
    answer = status(tmp_path)

    assert answer.returncode == 6
    assert "ledger.db cannot be read" in answer.stderr
