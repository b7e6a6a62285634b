"""One guest under QEMU: started, asked, plugged into, killed. No KVM, one processor, 1 GiB.

Three unix sockets reach it: the monitor (QMP), the agent inside (tests/lab/inside/agent.py) and, for each serial
device, the far end of its line.
"""

import base64
import contextlib
import json
import queue
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab.image import Image

MEMORY_MB = 1024
BOOTS_WITHIN_S = 400
KERNEL = "root=/dev/vda rw console=ttyS0 quiet mitigations=off panic=-1"
STOREKEEPER = "/opt/storekeeper/venv/bin/storekeeper"
CONFIG = "/etc/storekeeper/config.toml"


class GuestFailed(Exception):
    """A command in the guest ended badly, or the guest did."""


class Guest:
    """`folder` holds sockets and the console's log; `ledger_disk` is mounted on /var/lib/storekeeper."""

    def __init__(self, image: Image, folder: Path, ledger_disk: Path, *more: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._image = image
        self.ledger_disk = ledger_disk
        self._more = more
        self._root = folder / "root.qcow2"  # what this guest changed; the image stays as it is
        self._process: subprocess.Popen[bytes] | None = None
        backing = ("-b", str(image.disk), "-F", "raw")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(self._root)], check=True)

    def start(self) -> float:
        """Boot; seconds until the agent answers."""
        started_s = time.monotonic()
        self._power_on()
        self._agent.wait_for_hello(BOOTS_WITHIN_S)
        return time.monotonic() - started_s

    def _power_on(self, *more: str) -> None:
        for name in ("monitor", "agent"):
            (self.folder / name).unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["nice", "-n", "19", *self._command(), *more],
            stdin=subprocess.DEVNULL,
            stderr=(self.folder / "qemu.log").open("ab"),
        )
        self._monitor = Monitor(self._connect("monitor"))
        self._agent = Agent(self._connect("agent"))

    def wait_for_boot(self) -> None:
        """After a reboot from inside: the agent is there again."""
        self._agent.wait_for_hello(BOOTS_WITHIN_S)

    def _command(self) -> list[str]:
        socket_at = f"{self.folder}/{{}}"
        return [
            *("qemu-system-x86_64", "-accel", "tcg,tb-size=512", "-cpu", "Nehalem", "-smp", "1"),
            *("-m", str(MEMORY_MB), "-machine", "q35", "-nodefaults", "-display", "none"),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append", KERNEL),
            *("-serial", f"file:{self.folder}/console.log"),
            *("-qmp", f"unix:{socket_at.format('monitor')},server=on,wait=off"),
            *("-drive", f"if=virtio,format=qcow2,file={self._root},cache=writeback"),
            *("-drive", f"if=virtio,format=raw,file={self.ledger_disk},cache=writeback"),
            *("-device", "virtio-serial"),
            *("-chardev", f"socket,id=agent,path={socket_at.format('agent')},server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=lab"),
            *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
            *("-device", "qemu-xhci,id=usb"),
            *self._more,
        ]

    def _connect(self, name: str) -> socket.socket:
        return connect(self.folder / name)

    # -- the agent

    def run(self, command: str, timeout_s: float = 120.0) -> str:
        """What it printed. Raises GuestFailed when it ended badly."""
        code, out = self.try_run(command, timeout_s)
        if code:
            raise GuestFailed(f"{command}: exit {code}\n{out}")
        return out

    def try_run(self, command: str, timeout_s: float = 120.0) -> tuple[int, str]:
        answer = self._agent.ask({"run": command}, timeout_s)
        return answer["code"], answer["out"]

    def put(self, path: str, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        self._agent.ask({"put": path, "data": base64.b64encode(data).decode()}, 60)

    def call(self, function: str, timeout_s: float = 120.0, **arguments: Any) -> Any:
        return self._agent.ask({"call": function, "with": arguments}, timeout_s)["gave"]

    def storekeeper(self, arguments: str, timeout_s: float = 240.0) -> str:
        """A command of ours, as the user of the service."""
        return self.run(f"runuser -u storekeeper -- {STOREKEEPER} {arguments} -c {CONFIG}", timeout_s)

    def rows(self, question: str, *values: Any) -> list[list[Any]]:
        """From the guest's ledger, by a connection of its own."""
        return self.call("ledger.rows", question=question, values=values)

    def configure(self, text: str) -> None:
        """Write config.toml and have the service start with it; back when its devices are known."""
        self.put(CONFIG, text)
        self.run(f"chown root:storekeeper {CONFIG}; chmod 640 {CONFIG}; systemctl restart storekeeper", 240)

    # -- the monitor

    def monitor(self, command: str, **arguments: Any) -> Any:
        return self._monitor.ask(command, arguments)

    def plug(self, driver: str, name: str, **properties: Any) -> None:
        arguments = {key.replace("_", "-"): value for key, value in properties.items()}
        self.monitor("device_add", driver=driver, id=name, bus="usb.0", **arguments)

    def unplug(self, name: str) -> None:
        self._monitor.forget("DEVICE_DELETED")
        self.monitor("device_del", id=name)
        self._monitor.wait_for("DEVICE_DELETED", 20)

    # -- a moment that can be had again

    def save(self, name: str) -> None:
        """Memory and disks as they are now, for `restore`; nothing may be plugged in. The guest goes on."""
        self.monitor("migrate", uri=f"exec:cat > {self.folder}/{name}.memory")
        wait_until(lambda: self.monitor("query-migrate").get("status") == "completed", "memory saved", 300)
        for disk in (self._root, self.ledger_disk):
            subprocess.run(["cp", "--sparse=always", str(disk), f"{disk}.{name}"], check=True)
        self.monitor("cont")

    def restore(self, name: str) -> None:
        """Go on from what `save` kept."""
        for disk in (self._root, self.ledger_disk):
            subprocess.run(["cp", "--sparse=always", f"{disk}.{name}", str(disk)], check=True)
        self._power_on("-incoming", f"exec:cat {self.folder}/{name}.memory")
        wait_until(lambda: self.monitor("query-status")["running"], "memory restored", 300)
        self.run("true")

    # -- its end

    def power_off(self, timeout_s: float = 120) -> None:
        """In good order."""
        assert self._process is not None
        with contextlib.suppress(GuestFailed, OSError):
            self._agent.ask({"run": "systemctl poweroff --no-block"}, 20)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._hang_up()

    def kill(self) -> None:
        """The plug is pulled: SIGKILL to QEMU."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._hang_up()

    def _hang_up(self) -> None:
        self._monitor.close()
        self._agent.close()

    def console(self, lines: int = 30) -> str:
        return "\n".join((self.folder / "console.log").read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def running(guest: Guest) -> Iterator[Guest]:
    """Booted now, gone at the end, whatever happens between."""
    try:
        guest.start()
        yield guest
    finally:
        guest.kill()


class Agent:
    """Questions and answers by number; several may be under way."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._asked = 0
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {0: queue.SimpleQueue()}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_for_hello(self, timeout_s: float) -> None:
        try:
            self._answers[0].get(timeout=timeout_s)
        except queue.Empty:
            raise GuestFailed(f"the guest did not boot within {timeout_s} s") from None

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        with self._lock:
            self._asked += 1
            number = self._asked
            self._answers[number] = queue.SimpleQueue()
            self._line.sendall(json.dumps({"id": number, **request}).encode() + b"\n")
        try:
            answer = self._answers[number].get(timeout=timeout_s)
        except queue.Empty:
            raise GuestFailed(f"no answer within {timeout_s} s to {request}") from None
        finally:
            del self._answers[number]
        if "failed" in answer:
            raise GuestFailed(answer["failed"])
        return answer

    def close(self) -> None:
        self._line.close()

    def _listen(self) -> None:
        for answer in json_lines(self._line):
            waiting = self._answers.get(answer["id"])
            if waiting is not None:
                waiting.put(answer)


class Monitor:
    """QEMU's own door."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._events: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.ask("qmp_capabilities", {})

    def ask(self, command: str, arguments: dict[str, Any]) -> Any:
        self._line.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        answer = self._answers.get(timeout=30)
        if "error" in answer:
            raise GuestFailed(f"{command} {arguments}: {answer['error']['desc']}")
        return answer["return"]

    def forget(self, event: str) -> None:
        self._events = [one for one in self._events if one != event]

    def wait_for(self, event: str, timeout_s: float) -> None:
        wait_until(lambda: event in self._events, f"{event} from QEMU", timeout_s, 0.005)

    def close(self) -> None:
        self._line.close()

    def _listen(self) -> None:
        for message in json_lines(self._line):
            if "event" in message:
                self._events.append(message["event"])
            elif "QMP" not in message:
                self._answers.put(message)


class Line:
    """The far end of a serial line in the guest; what a scanner or scale sends and hears."""

    def __init__(self, guest: Guest, name: str) -> None:
        self.name = name
        address = {"type": "unix", "data": {"path": str(guest.folder / name)}}
        (guest.folder / name).unlink(missing_ok=True)
        backend = {"type": "socket", "data": {"addr": address, "server": True, "wait": False}}
        guest.monitor("chardev-add", id=name, backend=backend)
        self._socket = connect(guest.folder / name)
        self._heard = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, timeout_s: float) -> bytes:
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return b""
        return self._socket.recv(65536)

    def hear(self, timeout_s: float = 20.0) -> str | None:
        """The next line that the driver sent, or None."""
        deadline_s = time.monotonic() + timeout_s
        while b"\r\n" not in self._heard:
            left_s = deadline_s - time.monotonic()
            chunk = self.read(left_s) if left_s > 0 else b""
            if not chunk:
                return None
            self._heard += chunk
        line, self._heard = self._heard.split(b"\r\n", 1)
        return line.decode(errors="replace")

    def close(self) -> None:
        self._socket.close()


def connect(path: Path, within_s: float = 20.0) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            line.connect(str(path))
            return line
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def json_lines(line: socket.socket) -> Iterator[dict[str, Any]]:
    unread = b""
    with contextlib.suppress(OSError):
        while chunk := line.recv(65536):
            *lines, unread = (unread + chunk).split(b"\n")
            yield from map(json.loads, lines)


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0, look_s: float = 0.2) -> Any:
    """What the condition gave when it first held."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(look_s)
    return found
