"""Runs the back office: the consumer on its own line to the broker, and the page beside it."""

import contextlib
import random
import select
import signal
import socket
import threading
import time

from backoffice.consumer import Consumer
from backoffice.store_sqlite import SqliteStore
from gateway.cloud.line import Broker, Line, Received
from gateway.cloud.topics import ALL_STATES, ALL_UP
from gateway.cloud.window import Backoff
from gateway.config import Backoffice

CLIENT_ID = "storekeeper-backoffice"
TICK_S = 1.0
RETRY_MAX_S = 2.0  # one server: nothing to be gained by waiting longer


def run(settings: Backoffice, stop: threading.Event) -> None:
    """Consume until `stop`. A broker that is away is waited for."""
    store = SqliteStore(settings.database)
    consumer = Consumer(store)
    backoff = Backoff(random.Random(), RETRY_MAX_S)
    try:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                _consume(settings, consumer, backoff, stop)
            stop.wait(backoff.next_s())
    finally:
        store.close()


def _consume(settings: Backoffice, consumer: Consumer, backoff: Backoff, stop: threading.Event) -> None:
    """One connection, until it ends."""
    received: list[Received] = []
    broker = settings.broker

    def up(line: Line) -> None:
        backoff.reset()
        consumer.connected(session_present=line.session_present)

    line = Line(
        Broker(
            broker.host,
            broker.port,
            CLIENT_ID,
            broker.tls,
            broker.ca_file,
            broker.username,
            broker.password_file,
            broker.protocol,
        ),
        on_up=up,
        on_message=received.append,
        on_taken=lambda _: None,
        subscribe=[ALL_STATES, ALL_UP],
        manual_ack=True,
    )
    line.connect()
    while not stop.is_set() and line.alive and not line.why_down:
        fd = line.fileno()
        readable, writable, _ = select.select([fd], [fd] if line.wants_write() else [], [], TICK_S)
        if readable:
            line.read()
        if writable and line.alive:
            line.write()
        line.tick()
        if received:
            for one in received:
                consumer.take(one.topic, one.payload, retained=one.retained)
            answers = consumer.settle()
            for one in received:
                line.ack(one)  # only now: what is not durable here stays with the broker
            received.clear()
            for answer in answers:
                line.publish(answer.topic, answer.payload)
        if line.up:
            for command in consumer.commands(time.monotonic()):
                line.publish(command.topic, command.payload)
    line.close()


def serve(settings: Backoffice) -> int:
    """Page and consumer, until SIGTERM or Ctrl-C."""
    import uvicorn

    from backoffice.app import build

    stop = threading.Event()
    consumer = threading.Thread(target=run, args=(settings, stop), name="consumer")
    consumer.start()
    while not settings.database.exists():
        time.sleep(0.01)
    listening = socket.create_server((settings.host, settings.port), reuse_port=False)
    config = uvicorn.Config(build(settings.database), log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, args=([listening],), daemon=True, name="page").start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0) and consumer.is_alive():
        pass
    alive = consumer.is_alive()
    stop.set()
    server.should_exit = True
    consumer.join(5)
    return 0 if alive else 1
