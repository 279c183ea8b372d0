"""A web server on loopback whose answers are counted, and can be made wrong."""

from __future__ import annotations

import email.utils
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Web:
    """Files of a folder under `url`.

    ``trouble(path, count, content)`` may give other bytes, a status code, or ``"drop"`` to close the connection in the
    middle of the answer; `count` is how often that path was asked for, from 1.
    """

    folder: Path
    ranges: bool = True
    etags: bool = True
    dates: bool = True  # when a file was changed, where no ETag says it
    trouble: object = None
    asked: list[tuple[str, str, int]] = field(default_factory=list)  # method and path, range, bytes sent

    def __post_init__(self):
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # one packet for head and body
            disable_nagle_algorithm = True

            def do_GET(self):
                self._answer(body=True)

            def do_HEAD(self):
                self._answer(body=False)

            def log_message(self, *_):
                pass

            def _answer(self, body):
                path = web.folder / self.path.split("?")[0].lstrip("/")
                span = self.headers.get("Range", "") if web.ranges else ""
                count = 1 + sum(asked[0] == f"{self.command} {self.path}" for asked in web.asked)
                status = 404 if not path.is_file() else 206 if span else 200
                start, stop = span.removeprefix("bytes=").split("-") if status == 206 else ("", "")
                content, whole = b"", path.stat().st_size if status < 400 else 0
                if status < 400:
                    with path.open("rb") as file:
                        file.seek(int(start or 0))
                        content = file.read(int(stop) + 1 - int(start or 0) if stop else -1)
                changed = web.trouble(self.path, count, content) if web.trouble and body and status < 400 else None
                if isinstance(changed, int):
                    status, content = changed, b""
                elif isinstance(changed, bytes):
                    content = changed
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if status == 206:
                    self.send_header("Content-Range", f"bytes {span.removeprefix('bytes=')}/{whole}")
                if path.is_file() and web.etags:
                    self.send_header("ETag", f"{path.stat().st_ino}-{path.stat().st_mtime_ns}-{whole}")
                elif path.is_file() and web.dates:
                    self.send_header("Last-Modified", email.utils.formatdate(path.stat().st_mtime, usegmt=True))
                self.end_headers()
                sent = content if body else b""
                if changed == "drop":
                    sent = sent[: len(sent) // 2]
                    self.close_connection = True
                web.asked.append((f"{self.command} {self.path}", span, len(sent)))
                self.wfile.write(sent)

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                """A client may leave before it was answered."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def sent(self, part="", method="GET"):
        """Requests and bytes of paths that contain `part`."""
        sizes = [size for what, _, size in self.asked if what.startswith(method) and part in what]
        return len(sizes), sum(sizes)
