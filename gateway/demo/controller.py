"""The strip's other end: a small HTTP server on loopback, in the process that survives the pulled plug."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gateway.demo.play import Play


def serve(play: Play) -> ThreadingHTTPServer:
    """GET /state, POST /do/{scan|unplug|internet|warm|plug}; a free port. Stop with `shutdown`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, play.state()) if self.path == "/state" else self._answer(404, {})

        def do_POST(self) -> None:
            try:
                self._answer(200, play.press(self.path.removeprefix("/do/")))
            except KeyError:
                self._answer(404, {"error": f"there is no button {self.path}"})

        def _answer(self, status: int, body: dict[str, object]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
