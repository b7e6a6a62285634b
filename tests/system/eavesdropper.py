"""Listens on the wire beside the back office, all the time, in a process of its own: how often each movement came by.

    python -m tests.system.eavesdropper PORT        until SIGTERM; then one line: movements, deliveries, messages

In a process of its own, so that reading a hundred thousand messages does not hold up the clerk of the test.
"""

import re
import signal
import sys
import threading
from collections import Counter

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

SEQ = re.compile(rb'"sk:seq":(\d+)')


def main(port: int) -> None:
    heard: Counter[bytes] = Counter()
    messages = 0

    def take(client: Client, told: object, message: MQTTMessage) -> None:
        nonlocal messages
        messages += 1
        heard.update(SEQ.findall(message.payload))

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = Client(CallbackAPIVersion.VERSION2, client_id="eavesdropper", clean_session=False)
    client.reconnect_delay_set(1, 1)  # the broker is among the victims; its queue waits for us
    client.on_connect = lambda *_: client.subscribe("sk/v1/+/+/+/up/ledger", 1)
    client.on_message = take
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    stop.wait()
    client.disconnect()
    client.loop_stop()
    print(len(heard), heard.total(), messages, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
