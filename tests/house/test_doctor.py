"""The doctor names each fault and its remedy. The faults are real ones, made on purpose."""

import fcntl
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from gateway import doctor
from gateway.config import Device, Ledger, Mqtt, Settings, Web
from gateway.doctor import Finding
from gateway.ledger.recovery import create
from gateway.ledger.telemetry import SCHEMA as TELEMETRY_SCHEMA
from gateway.ledger.writer import Writer

STOREKEEPER = str(Path(sys.executable).parent / "storekeeper")
DAY_S = 86_400


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    """A shop whose daemon has run, and is not running now."""
    Writer(tmp_path, ballast_mb=1).close()
    path = tmp_path / "config.toml"
    path.write_text('[shop]\nname = "Corner"\n')
    return Settings(path, ledger=Ledger(tmp_path, ballast_mb=1))


def only(findings: Iterator[Finding], level: str) -> Finding:
    (found,) = [finding for finding in findings if finding.level == level]
    return found


def run_doctor(shop: Settings, *options: str, python_path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": python_path}
    return subprocess.run(
        [STOREKEEPER, "doctor", "-c", str(shop.path), *options],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_healthy_shop_has_nothing_that_fails(shop: Settings) -> None:
    answer = run_doctor(shop, "--json")

    findings = json.loads(answer.stdout)["findings"]
    assert answer.returncode == 0, answer.stdout
    assert [one for one in findings if one["level"] == "fail"] == []
    assert {"config", "system", "packages", "sqlite", "disk", "commits", "ledger", "clock", "daemon"} <= {
        one["check"] for one in findings
    }
    assert all(one["remedy"] for one in findings if one["level"] != "ok")


def test_each_finding_is_a_line_and_each_remedy_the_line_below(shop: Settings) -> None:
    lines = run_doctor(shop).stdout.splitlines()

    assert lines[0] == f"ok    config      {shop.path} is right"
    assert any(line.startswith("warn  daemon      not running") for line in lines)
    assert "                  sudo systemctl start storekeeper, or storekeeper run" in lines


def test_a_wrong_setting_is_shown_with_its_place(shop: Settings) -> None:
    shop.path.write_text("[web]\nport = 0\n")

    answer = run_doctor(shop)

    assert answer.returncode == 1
    assert "config.toml:2:8" in answer.stdout


def test_a_damaged_ledger_is_named(shop: Settings) -> None:
    path = shop.ledger.data_dir / "ledger.db"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)

    assert f"{path} is damaged: " in only(doctor.ledger(shop), "fail").text


def test_a_log_that_never_shrinks_is_named(shop: Settings) -> None:
    os.truncate(os.open(shop.ledger.data_dir / "ledger.db-wal", os.O_RDWR | os.O_CREAT), 100_000_000)

    assert "100 MB" in only(doctor.ledger(shop), "warn").text


def test_a_shop_before_its_first_start_is_told_how_to_begin(shop: Settings, tmp_path: Path) -> None:
    empty = replace(shop, ledger=Ledger(tmp_path / "empty"))

    assert "storekeeper run" in only(doctor.ledger(empty), "warn").remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_nearly_full_disk_is_named(shop: Settings, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        full = only(doctor.disk(replace(shop, ledger=Ledger(small))), "fail")
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        read_only = only(doctor.disk(replace(shop, ledger=Ledger(small))), "fail")
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert full.text == f"0 % used, 8 MB free in {small}"
    assert "read-only" in read_only.text


def test_a_ballast_that_was_given_up_is_named(shop: Settings) -> None:
    (shop.ledger.data_dir / "ballast").unlink()

    assert "disk was full" in only(doctor.disk(shop), "warn").text


def test_commits_are_timed_and_leave_nothing_behind(shop: Settings) -> None:
    before = sorted(shop.ledger.data_dir.iterdir())

    (found,) = doctor.commits(shop)

    assert "p95 of 20" in found.text
    assert sorted(shop.ledger.data_dir.iterdir()) == before


def test_a_package_that_has_one_of_our_names_is_named(shop: Settings, tmp_path: Path) -> None:
    (tmp_path / "foreign" / "models").mkdir(parents=True)
    (tmp_path / "foreign" / "models" / "__init__.py").write_text("")

    answer = run_doctor(shop, python_path=str(tmp_path / "foreign"))

    assert answer.returncode == 1
    assert "another package has our name" in answer.stdout


def test_a_library_that_drivers_share_and_that_is_broken_is_named(shop: Settings, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "serial.py").write_text("raise ImportError('half an update')")

    answer = run_doctor(shop, python_path=str(tmp_path / "foreign"))

    assert answer.returncode == 1
    assert "serial failed ImportError half an update" in answer.stdout


def test_a_model_library_that_crashes_is_a_warning_since_counting_goes_on(
    shop: Settings, tmp_path: Path
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "onnxruntime.py").write_text("import os; os.kill(os.getpid(), 11)")

    answer = run_doctor(shop, python_path=str(tmp_path / "foreign"))

    assert answer.returncode == 0
    assert "onnxruntime does not load (ended with -11)" in answer.stdout


def test_an_unplugged_scanner_and_a_wrong_one_are_told_apart(shop: Settings) -> None:
    counter = Device("counter", "serial_scanner")
    deli = Device("deli", "scale_mtsics", problem="baud is 96; use 300 to 921600")
    with closing(sqlite3.connect(shop.ledger.data_dir / "telemetry.db", isolation_level=None)) as telemetry:
        telemetry.executescript(TELEMETRY_SCHEMA.read_text())
        telemetry.execute("DELETE FROM device_state")
        row = ("counter", "serial_scanner", "waiting", "unplugged", 0, None, "{}")
        telemetry.execute("INSERT INTO device_state VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    findings = list(doctor.devices(replace(shop, devices=(counter, deli))))

    assert only(iter(findings), "warn").text == "counter: waiting; unplugged"
    assert only(iter(findings), "fail").text == "deli: baud is 96; use 300 to 921600"


def test_a_broker_that_is_away_is_normal_for_a_while(shop: Settings) -> None:
    found = only(doctor.broker(replace(shop, mqtt=Mqtt(enabled=True, port=free_port()))), "warn")

    assert "movements wait on disk" in found.text


def test_a_password_file_that_others_may_read_fails(shop: Settings, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("canary-9\n")
    password.chmod(0o644)

    found = only(doctor.broker(replace(shop, mqtt=Mqtt(enabled=True, password_file=password))), "fail")

    assert found.remedy == f"chmod 600 {password}"
    assert "canary" not in found.text


def test_a_queue_older_than_a_day_is_named(shop: Settings) -> None:
    book_one(shop, int((time.time() - 3 * DAY_S) * 1e6))

    found = only(doctor.sync(replace(shop, mqtt=Mqtt(enabled=True))), "warn")

    assert found.text == "1 movements wait, the oldest for 3 days"


def test_a_ballast_that_holds_nothing_back_is_named(shop: Settings) -> None:
    """A file of the right size with holes in it, as a careless copy of the folder leaves it."""
    ballast = shop.ledger.data_dir / "ballast"
    ballast.unlink()
    with ballast.open("wb") as file:
        file.truncate(1024 * 1024)

    found = only(doctor.disk(shop), "warn")

    assert found.text == "only 0.0 of 1.0 MB are held back for a full disk"
    assert found.remedy == f"make room, and delete {ballast}: the daemon writes it anew"


def test_a_backup_on_the_ledgers_own_disk_is_said_to_die_with_it(shop: Settings) -> None:
    create(shop.ledger.data_dir / "ledger.db", shop.ledger.backups, datetime(2026, 11, 24, 3))

    found = only(doctor.backup(shop), "ok")

    assert found.text.endswith("seconds old, 1 in all, on the ledger's own disk")
    assert "backup_dir" in found.remedy


def test_an_old_backup_is_named(shop: Settings) -> None:
    (shop.ledger.data_dir / "backups").mkdir()
    old = shop.ledger.data_dir / "backups" / "ledger-001-000000000812-20261115T0300.db"
    old.write_bytes(b"")
    os.utime(old, (time.time() - 9 * DAY_S,) * 2)

    assert only(doctor.backup(shop), "warn").text == f"newest {old.name}, 9 days old, 1 in all"


def test_a_country_whose_holidays_nobody_knows_is_named(shop: Settings) -> None:
    shop = replace(shop, shop=replace(shop.shop, country="EN"))

    assert only(doctor.holidays(shop), "warn").text == (
        '[shop] country is "EN": no public holidays are known there, the forecast goes without'
    )


def test_a_forecast_that_is_not_made_any_more_is_named(shop: Settings) -> None:
    forecast = shop.ledger.data_dir / "forecast.db"
    forecast.write_bytes(b"")
    os.utime(forecast, (time.time() - 4 * DAY_S,) * 2)

    assert only(doctor.forecast(shop), "warn").text == "not made anew for 4 days"


def test_the_program_that_has_the_port_is_named(shop: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        findings = list(doctor.daemon(replace(shop, web=Web(port=port))))

    assert f"(pid {os.getpid()})" in findings[-1].text


def test_a_running_daemon_is_seen_by_its_lock(shop: Settings) -> None:
    with (shop.ledger.data_dir / "ledger.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("812\n")
        lock.flush()

        (found,) = doctor.daemon(shop)

    assert found.text == "running (pid 812)"


def test_a_bundle_has_no_secrets_and_says_what_is_in_it(shop: Settings, tmp_path: Path) -> None:
    password = tmp_path / "secret.txt"
    password.write_text("canary-3\n")
    password.chmod(0o600)
    shop.path.write_text(f'[mqtt]\npassword_file = "{password}"\npassword = "canary-4"\n')
    bundle = tmp_path / "doctor.zip"

    answer = run_doctor(shop, "--bundle", str(bundle))

    with zipfile.ZipFile(bundle) as archive:
        content = b"\n".join(archive.read(name) for name in archive.namelist()).decode()
        assert all(name in answer.stdout for name in archive.namelist())
    assert "canary" not in content
    assert "Corner" not in answer.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def book_one(shop: Settings, wall_us: int) -> None:
    """One sale, as the schema wants it; the chain is not looked at here."""
    row = {
        "seq": 1,
        "epoch": 1,
        "id": bytes(16),
        "idem": "a",
        "kind": "sale",
        "sku": "milk",
        "qty": 1,
        "src": "counter",
        "dst": "CUSTOMER",
        "device": "counter",
        "wall_us": wall_us,
        "mono_ns": 0,
        "boot_id": b"",
        "clock_q": "ntp",
        "hlc": 1,
        "origin": "scan",
        "qty_src": "scanned",
        "form": 1,
        "prev_hash": bytes(32),
        "hash": bytes(32),
    }
    with closing(sqlite3.connect(shop.ledger.data_dir / "ledger.db", isolation_level=None)) as connection:
        places = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO movement ({', '.join(row)}) VALUES ({places})", list(row.values()))
