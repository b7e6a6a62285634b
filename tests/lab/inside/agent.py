"""The lab's hands inside the guest: runs what the host asks for over a virtio serial port. For tests only.

A line of JSON each way. {"id", "run": "shell text"} answers {"id", "code", "out"}; {"id", "put": path, "data": base64}
writes a file; {"id", "call": "module.function", "with": {...}} calls a function of a module beside this file, which
spares the second that a new Python takes here, and answers {"id", "gave"}. Each request has a thread of its own.
"""

import base64
import importlib
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

PORT = Path("/dev/virtio-ports/lab")
sys.path += [
    str(Path(__file__).parent),
    *map(str, Path("/opt/storekeeper/venv/lib").glob("python3*/site-packages")),
]


def main() -> None:
    while not PORT.exists():
        time.sleep(0.05)
    port = os.open(PORT, os.O_RDWR)
    writing = threading.Lock()

    def say(answer: dict) -> None:
        data = json.dumps(answer).encode() + b"\n"
        with writing:
            while data:
                data = data[os.write(port, data) :]

    def serve(request: dict) -> None:
        try:
            answer = do(request)
        except BaseException:
            answer = {"failed": traceback.format_exc()}
        say({"id": request["id"], **answer})

    say({"id": 0})
    unread = b""
    while True:
        chunk = os.read(port, 65536)
        if not chunk:  # nobody at the other end
            time.sleep(0.05)
            continue
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            threading.Thread(target=serve, args=(json.loads(line),), daemon=True).start()


def do(request: dict) -> dict:
    if "run" in request:
        done = subprocess.run(
            ["/bin/bash", "-c", request["run"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return {"code": done.returncode, "out": done.stdout.decode(errors="replace")}
    if "put" in request:
        path = Path(request["put"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(request["data"]))
        return {}
    module, _, function = request["call"].rpartition(".")
    return {"gave": getattr(importlib.import_module(module), function)(**request["with"])}


if __name__ == "__main__":
    main()
