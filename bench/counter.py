"""A light subscriber that counts what reaches the broker, and confirms it as a back office would.

For each bunch that arrives it appends `events so far, time` to a file that the bench reads (put it on tmpfs).
Packets by hand, nothing is decoded: it must not be what is measured.

python -m bench.counter PORT FILE TOPIC MARK [ACK_TOPIC]
TOPIC: filter to subscribe to. MARK: bytes that stand in each event once. ACK_TOPIC: where to confirm, if anywhere.
"""

import contextlib
import re
import socket
import sys
import time
from pathlib import Path
from typing import TextIO

from bench.wire_floor import packet, text

LAST = re.compile(rb'"sklast":(\d+)')
HEAD_BYTES = 1_024  # the envelope's own attributes stand before its data


def main(port: int, file: Path, topic: bytes, mark: bytes, ack_topic: bytes = b"") -> None:
    events = 0
    with file.open("w", buffering=1) as log:
        while True:  # the broker may go and come back; our session and what it owes us outlive that
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as line:
                line.settimeout(None)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.sendall(packet(0x10, b"\x00\x04MQTT\x04\x00\x00\x00" + text(b"counter")))
                line.sendall(packet(0x82, b"\x00\x01" + text(topic) + b"\x01"))
                events = count(line, log, events, mark, ack_topic)
            time.sleep(0.02)


def count(line: socket.socket, log: TextIO, events: int, mark: bytes, ack_topic: bytes) -> int:
    """Until the broker goes: how many events it has been by then."""
    pending = b""
    while chunk := line.recv(1 << 20):
        now_s = time.monotonic()
        replies = bytearray()
        last = 0
        packets, pending = split(pending + chunk)
        for head, body in packets:
            if head == 0x90:
                log.write(f"{events} {now_s}\n")
            if head & 0xF0 != 0x30:
                continue
            topic_end = 2 + int.from_bytes(body[:2], "big")
            replies += b"\x40\x02" + body[topic_end : topic_end + 2]
            events += body.count(mark)
            if found := LAST.search(body, topic_end, topic_end + HEAD_BYTES):
                last = int(found[1])
        if last and ack_topic:
            replies += packet(0x30, text(ack_topic) + b'{"epoch":1,"lane":"L","seq":%d}' % last)
        if replies:
            log.write(f"{events} {now_s}\n")
            line.sendall(replies)
    return events


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole packets in `data` as (first byte, body), and the rest."""
    packets, at = [], 0
    while True:
        length, place, shift = 0, at + 1, 0
        while place < len(data) and data[place] & 0x80:
            length |= (data[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
        if place >= len(data):
            return packets, data[at:]
        length |= data[place] << shift
        end = place + 1 + length
        if end > len(data):
            return packets, data[at:]
        packets.append((data[at], data[place + 1 : end]))
        at = end


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *(word.encode() for word in sys.argv[3:]))
