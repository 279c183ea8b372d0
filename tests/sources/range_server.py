"""A server on loopback that serves a folder and understands ranges, and counts what it serves."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Served:
    """Where the folder is served, and how many bytes of it were."""

    def __init__(self) -> None:
        self.url = ""
        self.bytes = 0
        self.ranges = True
        self.etag = True


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve a folder until the block ends."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, *, body: bool) -> None:
            file = folder / self.path.split("?")[0].lstrip("/")
            if not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            first, last = 0, len(content) - 1
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if served.ranges else None
            if wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("Accept-Ranges", "bytes" if served.ranges else "none")
            self.send_header("Content-Length", str(last - first + 1))
            if served.etag:
                self.send_header("ETag", f'"{hash(content):x}"')
            self.end_headers()
            if body:
                served.bytes += last - first + 1
                self.wfile.write(content[first : last + 1])

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client may leave before it was answered."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
