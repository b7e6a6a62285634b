"""The pump on a real broker: in order, to both windows' rules, through every loss; and what it says about it."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from gateway.demo.processes import answers, find_mosquitto, free_port
from tests.cloud.conftest import eventually
from tests.cloud.ledgers import alert, book, name_items, sale, sell, written
from tests.system.broker import BackOffice

TOPIC = "sk/v1/test/corner/gw1"


@pytest.fixture
def shop(tmp_path):
    with written(tmp_path) as writer:
        yield writer


@pytest.fixture
def ear(broker):
    """Hears all that passes the broker: [(leaf, payload, retained)]."""
    heard: list[tuple[str, dict, bool]] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id="ear")
    client.on_connect = lambda *_: client.subscribe(f"{TOPIC}/#", 1)
    client.on_message = lambda _c, _d, message: heard.append(
        (message.topic.removeprefix(f"{TOPIC}/"), json.loads(message.payload), message.retain)
    )
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    eventually(client.is_connected, "the ear is connected")
    client.heard = heard
    client.said = lambda leaf: [body for at, body, _ in heard if at == leaf]
    client.say = lambda leaf, body, retain=False: client.publish(
        f"{TOPIC}/{leaf}", json.dumps(body), 1, retain
    ).wait_for_publish(60)
    yield client
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def office(tmp_path, broker):
    """`python -m backoffice` on its own file; killed and started at will."""
    config = tmp_path / "office.toml"
    config.write_text(
        f'[backoffice]\ndatabase = "{tmp_path}/backoffice.db"\nport = {free_port(18_900)}\n'
        f"[backoffice.broker]\nport = {broker.port}\n"
    )
    started = BackOffice(SimpleNamespace(config=config, folder=tmp_path)).start()
    yield started
    started.kill()


def seqs(messages: list[dict]) -> list[int]:
    return [event["sk:seq"] for message in messages for event in message["data"]["epcisBody"]["eventList"]]


def office_rows(office: BackOffice, question: str) -> list[tuple]:
    try:
        with closing(sqlite3.connect(f"file:{office.database}?mode=ro", uri=True)) as database:
            return database.execute(question).fetchall()
    except sqlite3.OperationalError:
        return []  # not there yet


def assert_both_ends_are_equal(writer, office) -> None:
    columns = "seq, epoch, kind, sku, qty, src, dst, lot"
    ours = writer.connection.execute(
        f"SELECT {columns}, lower(hex(hash)) FROM movement ORDER BY seq"
    ).fetchall()
    assert ours == office_rows(office, f"SELECT {columns}, hash FROM movement ORDER BY seq")
    balances = "SELECT sku, loc, lot, qty FROM balance WHERE qty <> 0 ORDER BY sku, loc, lot"
    assert writer.connection.execute(balances).fetchall() == office_rows(office, balances)


def test_a_backlog_arrives_in_order_and_in_few_messages_and_a_lone_sale_at_once(
    tmp_path, broker, core, pumps, ear, shop
):
    sell(shop, 250)
    pumps(tmp_path, broker.port, core)
    eventually(lambda: len(seqs(ear.said("up/ledger"))) >= 250, "the backlog")
    assert seqs(ear.said("up/ledger")) == list(range(1, 251))
    assert len(ear.said("up/ledger")) <= 5

    book(shop, sale())

    eventually(lambda: seqs(ear.said("up/ledger"))[-1] == 251, "the lone sale")


def test_the_gateway_says_who_it_is_when_it_comes_and_when_it_goes(tmp_path, broker, core, pumps, ear, shop):
    sell(shop, 3)
    pump = pumps(tmp_path, broker.port, core)
    eventually(lambda: ear.said("state"), "the birth")
    birth = ear.said("state")[0]
    assert (birth["online"], birth["epoch"], birth["seq"]["L"]) == (True, 1, 3)

    assert pump.stop() < 2.0

    eventually(lambda: not ear.said("state")[-1]["online"], "the farewell")


def test_a_gateway_that_dies_is_said_to_be_gone_by_the_broker(tmp_path, broker, core, pumps, ear, shop):
    pump = pumps(tmp_path, broker.port, core, protocol="3.1.1")  # MQTT 5 would wait half a minute
    eventually(lambda: ear.said("state"), "the birth")

    pump.kill()

    eventually(lambda: not ear.said("state")[-1]["online"], "the will")


def test_what_is_confirmed_is_reported_to_the_core_once_it_is_confirmed_and_not_before(
    tmp_path, broker, core, pumps, ear, shop
):
    sell(shop, 5)
    pumps(tmp_path, broker.port, core)
    eventually(lambda: len(seqs(ear.said("up/ledger"))) == 5, "five sales at the broker")
    assert core.acked() == 0  # the broker's PUBACK is no receipt

    ear.say("down/ack", {"epoch": 1, "lane": "L", "seq": 5, "hash": shop.last_hash.hex()})

    eventually(lambda: core.acked() == 5, "the report")


def test_a_back_office_that_holds_another_movement_is_not_believed(tmp_path, broker, core, pumps, ear, shop):
    sell(shop, 5)
    pumps(tmp_path, broker.port, core)
    eventually(lambda: len(seqs(ear.said("up/ledger"))) == 5, "five sales at the broker")

    ear.say("down/ack", {"epoch": 1, "lane": "L", "seq": 5, "hash": "00" * 32})
    ear.say("down/ack", {"epoch": 1, "lane": "L", "seq": 900})

    eventually(lambda: [link for link, _ in core.links()].count("fork") == 2, "both are reported")
    assert core.acked() == 0


def test_what_is_asked_for_again_is_sent_again(tmp_path, broker, core, pumps, ear, shop):
    sell(shop, 9)
    pumps(tmp_path, broker.port, core)
    eventually(lambda: len(seqs(ear.said("up/ledger"))) == 9, "nine sales")

    ear.say("down/replay", {"epoch": 1, "lane": "L", "from": 4, "to": 6})

    eventually(lambda: seqs(ear.said("up/ledger"))[9:12] == [4, 5, 6], "the three again")


def test_names_travel_once_a_connection_and_a_digest_follows_what_it_is_about(
    tmp_path, broker, core, pumps, ear, shop
):
    name_items(shop)
    sell(shop, 6)
    pumps(tmp_path, broker.port, core)
    eventually(lambda: ear.said("up/digest"), "the digest")

    header = ear.said("up/ledger")[0]["data"]["epcisHeader"]["epcisMasterData"]["vocabularyList"][0]
    names = [one["attributes"][0]["attribute"] for one in header["vocabularyElementList"]]
    assert sorted(names) == ["Oat drink", "Rye bread", "Tea <loose>"]
    digest = ear.said("up/digest")[0]["data"]
    assert (digest["seq"], [one["loc"] for one in digest["locations"]]) == (6, ["CUSTOMER", "counter"])
    assert [leaf for leaf, _, _ in ear.heard].index("up/digest") > 1


def test_alerts_overtake_a_backlog(tmp_path, broker, core, pumps, ear, shop):
    sell(shop, 3000)
    alert(shop, "oat drink")

    pumps(tmp_path, broker.port, core)

    eventually(lambda: len(seqs(ear.said("up/ledger"))) >= 3000, "the backlog")
    leaves = [leaf for leaf, _, _ in ear.heard if leaf.startswith("up/")]
    assert leaves.index("up/alert") <= 1
    assert ear.said("up/alert")[0]["data"]["text"] == "oat drink: 2 left"


def test_an_alert_leaves_the_outbox_only_when_the_back_office_has_it(
    tmp_path, broker, core, pumps, office, shop
):
    alert(shop, "oat drink")

    pumps(tmp_path, broker.port, core)

    eventually(lambda: core.acked("A") == 1, "the alert is confirmed")
    assert office_rows(office, "SELECT subject, text FROM alert") == [("oat drink", "oat drink: 2 left")]


def test_whoever_is_killed_in_mid_stream_both_ends_hold_the_same_in_the_end(
    tmp_path, broker, core, pumps, office, shop
):
    pump = pumps(tmp_path, broker.port, core)
    for victim in (broker, pump, office, broker, office, pump):
        sell(shop, 2000)
        eventually(lambda: core.acked() > 0, "the feed flows")
        victim.kill()
        sell(shop, 300)
        victim.start()

    eventually(lambda: core.acked() == 13_800, "all is confirmed")

    assert_both_ends_are_equal(shop, office)
    assert office_rows(office, "SELECT problem FROM gateway") == [("",)]
    eventually(
        lambda: office_rows(office, "SELECT digest_seq FROM gateway") != [(None,)], "a digest was compared"
    )


def test_a_back_office_that_lost_its_books_gets_all_of_them_again(
    tmp_path, broker, core, pumps, office, shop
):
    sell(shop, 1000)
    pumps(tmp_path, broker.port, core)
    eventually(lambda: core.acked() == 1000, "all is confirmed")

    office.kill()
    for name in ("backoffice.db", "backoffice.db-wal", "backoffice.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    office.start()
    sell(shop, 1)

    eventually(lambda: office_rows(office, "SELECT count(*) FROM movement") == [(1001,)], "all of it again")
    assert_both_ends_are_equal(shop, office)


def test_a_broker_that_is_not_there_is_waited_for_in_words(tmp_path, core, pumps, shop):
    port = free_port(19_300)
    pumps(tmp_path, port, core)

    eventually(core.links, "a word about it")

    link, note = core.links()[0]
    assert link == "offline"
    assert note == f"127.0.0.1:{port}: Connection refused"


def test_a_refused_password_is_said_with_its_remedy(tmp_path, core, pumps, shop):
    port = free_port(19_300)
    conf = tmp_path / "closed.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\n")
    program = find_mosquitto() or pytest.skip("mosquitto is not installed")
    closed = subprocess.Popen([program, "-c", str(conf)], stderr=subprocess.DEVNULL)
    try:
        pumps(tmp_path, port, core, username="shop-17")
        eventually(lambda: "refused" in dict(core.links()), "the refusal")
        assert dict(core.links())["refused"] == (
            'the broker refused the password of "shop-17". Selling goes on  [SK-S03]'
        )
    finally:
        closed.kill()
        closed.wait()


def test_a_broker_that_knows_only_mqtt_3_is_spoken_to_in_mqtt_3(tmp_path, core, pumps, shop):
    """The broker here is ten lines: it refuses protocol level 5 as MQTT 3.1.1 brokers do."""
    levels = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while 4 not in levels:
            connection, _ = listening.accept()
            with connection:
                connect = connection.recv(4096)
                levels.append(connect[connect.index(b"MQTT") + 4])
                connection.sendall(b"\x20\x03\x00\x84\x00" if levels[-1] == 5 else b"\x20\x02\x00\x00")

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()

    pumps(tmp_path, listening.getsockname()[1], core)

    eventually(lambda: levels == [5, 4], "the second attempt")
    listening.close()


COMMAND = {
    "id": "01935c2e-0000-7000-8000-000000000001",
    "issuer": "backoffice",
    "cmd_seq": 1,
    "gw": "test/corner/gw1",
    "issued": "2026-01-01T00:00:00Z",
    "expires": "2126-01-01T00:00:00Z",
    "type": "count-request",
    "body": {"sku": "05000000000012"},
}


def test_a_refused_command_is_answered_with_the_reason_and_never_reaches_the_core(
    tmp_path, broker, core, pumps, ear, shop
):
    pumps(tmp_path, broker.port, core)
    eventually(lambda: ear.said("state"), "the birth")

    ear.say("down/cmd", {**COMMAND, "type": "adjust"})

    eventually(lambda: ear.said("up/reply"), "the reply")
    assert ear.said("up/reply")[0]["data"] == {
        "correlation": "01935c2e-0000-7000-8000-000000000001",
        "result": "refused",
        "reason": "backoffice may not give this command",
    }
    assert core.deliveries == []


def test_an_accepted_command_comes_to_the_core_as_a_reading_and_only_once(
    tmp_path, broker, core, pumps, ear, shop
):
    pumps(tmp_path, broker.port, core)
    eventually(lambda: ear.said("state"), "the birth")

    ear.say("down/cmd", COMMAND)
    ear.say("down/cmd", COMMAND)

    eventually(lambda: core.deliveries, "the reading")
    [document] = core.deliveries[0].readings
    assert (document.kind, document.external_id) == ("back_office_command", COMMAND["id"])
    assert document.body["type"] == "count-request"
    eventually(lambda: ear.said("up/reply"), "the second is refused")
    assert ear.said("up/reply")[0]["data"]["reason"] == "out of order: number 1, 1 was carried out already"


def test_a_command_whose_reply_was_lost_is_answered_once_more_with_what_became_of_it(
    tmp_path, broker, core, pumps, ear, shop
):
    with shop.connection:
        shop.connection.execute(
            "INSERT INTO command_seen VALUES (?, 'backoffice', 1, 'counting is asked for', 0)",
            (COMMAND["id"],),
        )
    pumps(tmp_path, broker.port, core)
    eventually(lambda: ear.said("state"), "the birth")

    ear.say("down/cmd", COMMAND)

    eventually(lambda: ear.said("up/reply"), "the reply")
    assert ear.said("up/reply")[0]["data"] == {
        "correlation": COMMAND["id"],
        "result": "done",
        "reason": "counting is asked for",
    }
    assert core.deliveries == []


def test_an_idle_pump_costs_next_to_nothing(tmp_path, broker, core, pumps, ear, shop):
    pump = pumps(tmp_path, broker.port, core)
    eventually(lambda: ear.said("state"), "the birth")

    def cpu_ticks() -> int:
        fields = Path(f"/proc/{pump.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def rests() -> bool:
        before = cpu_ticks()
        time.sleep(4)
        return cpu_ticks() - before <= 2  # hundredths of a second in 4 s

    eventually(rests, "a pump at rest")


def test_a_confirmation_of_alerts_that_were_never_sent_deletes_none(tmp_path, broker, core, pumps, ear, shop):
    alert(shop, "oat drink")
    pumps(tmp_path, broker.port, core)
    eventually(lambda: ear.said("up/alert"), "the alert")

    ear.say("down/ack", {"epoch": 1, "lane": "A", "seq": 18})
    ear.say("down/ack", {"epoch": 1, "lane": "A", "seq": 1})

    eventually(lambda: core.acked("A") > 0, "a confirmation")
    assert core.acked("A") == 1


def test_nothing_goes_to_another_machine_in_plain_text(tmp_path, core, pumps, shop):
    pumps(tmp_path, 1883, core, host="broker.example")

    eventually(core.links, "a word about it")

    assert core.links()[0] == (
        "refused",
        '"broker.example" is another machine: nothing goes there in plain text, set [mqtt] tls = true  [SK-S04]',
    )


def test_a_password_file_that_is_not_there_is_named_and_the_pump_lives(tmp_path, broker, core, pumps, shop):
    secret = tmp_path / "secret"
    pumps(tmp_path, broker.port, core, username="shop-17", password_file=secret)
    eventually(core.links, "a word about it")
    assert core.links()[0] == ("offline", f"{secret}: No such file or directory")

    secret.write_text("open sesame\n")

    eventually(lambda: core.links()[-1][0] == "online", "connected")


@pytest.fixture
def secret_broker(tmp_path):
    """mosquitto behind TLS; its certificate is for "localhost" only, signed by an authority of our own."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the certificates of this test")
    folder = tmp_path / "tls"
    folder.mkdir()
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    for name in ("ours", "foreign"):
        subprocess.run(
            [*make, "-keyout", f"{name}.key", "-out", f"{name}.crt"],
            cwd=folder,
            check=True,
            stderr=subprocess.DEVNULL,
        )
    port = free_port(19_400)
    (folder / "tls.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {folder}/ours.crt\nkeyfile {folder}/ours.key\n"
        + ("user root\n" if os.getuid() == 0 else "")
    )
    program = find_mosquitto() or pytest.skip("mosquitto is not installed")
    process = subprocess.Popen([program, "-c", str(folder / "tls.conf")], stderr=subprocess.DEVNULL)
    yield SimpleNamespace(port=port, folder=folder)
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("host", "ca_file", "link", "words"),
    [
        ("localhost", "ours.crt", "online", "localhost:"),
        ("localhost", "foreign.crt", "offline", "certificate verify failed"),
        ("127.0.0.1", "ours.crt", "offline", "certificate is not valid for '127.0.0.1'"),
    ],
    ids=["ours", "a foreign authority", "another name"],
)
def test_the_certificate_must_be_of_our_authority_and_for_this_name(
    tmp_path, secret_broker, core, pumps, shop, host, ca_file, link, words
):
    assert answers(secret_broker.port, 10)

    pumps(tmp_path, secret_broker.port, core, host=host, tls=True, ca_file=secret_broker.folder / ca_file)

    eventually(core.links, "a word about it")
    assert core.links()[0][0] == link
    assert words in core.links()[0][1]
