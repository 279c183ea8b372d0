"""A warehouse on loopback: answers queries from a few fabricated rows, serves files, and fails on demand."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import h5py
import numpy as np

from poyodata.fetch import RetryPolicy, Web

LINK = "/api/v2/well_known_file_download/"


@lru_cache
def hdf5_bytes(seed: int, size: int = 40_000) -> bytes:
    """A small HDF5 file that does not compress and differs for every seed."""
    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        file["data"] = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    return target.getvalue()


@dataclass(frozen=True)
class Container:
    """One row of the fabricated world."""

    number: int
    donor: str
    line: str
    area: str
    depth_um: int
    types: str = "A,B,C2"
    failed: bool = False


CONTAINERS = (
    Container(1000, "201", "Sst-IRES-Cre", "VISp", 275),
    Container(2000, "201", "Sst-IRES-Cre", "VISl", 275),
    Container(3000, "202", "Vip-IRES-Cre", "VISp", 175),
    Container(4000, "203", "Cux2-CreERT2", "VISp", 175, "A,B,C"),
    Container(5000, "204", "Cux2-CreERT2", "VISpm", 350, "A,B", failed=True),
)
WITHOUT_FILE = 3003
"""A recording of which the warehouse has no NWB file."""


def rows_of(containers: tuple[Container, ...] = CONTAINERS) -> dict[str, list[dict[str, Any]]]:
    """The warehouse's tables, nested as its answers are; ids count up from the container's."""
    experiments, nested = [], []
    for box in containers:
        specimen = {
            "id": box.number + 500,
            "name": f"{box.line};Ai148-{box.donor}",
            "donor": {
                "external_donor_name": box.donor,
                "date_of_birth": "2016-10-03T00:00:00Z",
                "age": {"name": "P100", "days": 100.0},
                "conditions": [],
                "transgenic_lines": [
                    {"name": "Camk2a-tTA", "transgenic_line_type_name": "driver"},
                    {"name": box.line, "transgenic_line_type_name": "driver"},
                    {"name": "Ai148(TIT2L-GC6f-ICL-tTA2)", "transgenic_line_type_name": "reporter"},
                ],
            },
        }
        structure = {"acronym": box.area, "name": "an area", "id": 385}
        short = []
        for i, kind in enumerate(box.types.split(","), start=1):
            number = box.number + i
            plain = {
                "id": number,
                "name": f"2017_{box.donor}_3Stim{kind}",
                "stimulus_name": f"three_session_{kind}",
                "imaging_depth": box.depth_um,
                "date_of_acquisition": "2017-02-08T21:57:10Z",
                "experiment_container_id": box.number,
                "fail_eye_tracking": False,
            }
            short.append(plain)
            kinds = ["ObservatoryEventsFile", *(["NWBOphys"] if number != WITHOUT_FILE else [])]
            files = [
                {
                    "id": number * 10 + j,
                    "attachable_id": number,
                    "attachable_type": "OphysExperiment",
                    "download_link": f"{LINK}{number * 10 + j}",
                    "well_known_file_type": {"id": j, "name": name},
                }
                for j, name in enumerate(kinds)
            ]
            experiments.append(
                {
                    **plain,
                    "experiment_container": {"id": box.number, "failed": box.failed},
                    "well_known_files": files,
                    "targeted_structure": structure,
                    "specimen": specimen,
                }
            )
        nested.append(
            {
                "id": box.number,
                "failed": box.failed,
                "imaging_depth": box.depth_um,
                "ophys_experiments": short,
                "isi_experiment": {"id": box.number + 900},
                "specimen": specimen,
                "targeted_structure": structure,
            }
        )
    return {
        "OphysExperiment": experiments,
        "ExperimentContainer": nested,
        "ApiCamStimulusMapping": [{"id": 1, "item": "p_dg", "item_type": "M", "level": "R"}],
        "ApiCamCellMetric": [{"cell_specimen_id": i, "experiment_container_id": 1000} for i in range(7)],
        "WellKnownFile": [file for row in experiments for file in row["well_known_files"]],
    }


@dataclass(frozen=True)
class Failure:
    """How one answer goes wrong.

    ``kind``: "status" (with `code`), "truncate" (the connection ends after `after` of the body), "reset" (it is broken
    off there), "silent" and "trickle" (nothing more, or too little, comes), "html" (a page with status 200), "short"
    and "long" (Content-Length is wrong by a tenth), "change" (the file is another one from this answer on),
    "deaf" (a part comes although the file has changed), "shifted" (the part begins elsewhere).
    """

    kind: str
    after: float = 0.5
    code: int = 500
    retry_after: str | None = None


@dataclass
class Loopback:
    """The server; `failures` are used up by GETs of a path, `log` holds every request."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=rows_of)
    files: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    ranges: bool = True
    head: bool = True
    validators: bool = True
    lengths: bool = True
    url: str = ""

    def __post_init__(self) -> None:
        for row in self.tables["WellKnownFile"]:
            if row["well_known_file_type"]["name"] == "NWBOphys":
                self.files[row["download_link"]] = hdf5_bytes(row["attachable_id"])

    def link(self, number: int) -> str:
        """Where the NWB file of a recording is."""
        rows = self.tables["WellKnownFile"]
        return next(
            str(row["download_link"])
            for row in rows
            if row["attachable_id"] == number and row["well_known_file_type"]["name"] == "NWBOphys"
        )

    def content(self, number: int) -> bytes:
        """The NWB file of a recording."""
        return self.files[self.link(number)]

    def fail(self, number: int, *failures: Failure) -> None:
        """Let the next downloads of a recording go wrong."""
        self.failures.setdefault(self.link(number), []).extend(failures)

    def asked(self, text: str, method: str = "GET") -> list[dict[str, str]]:
        """Headers of the requests whose address holds `text`."""
        return [headers for verb, path, headers in self.log if verb == method and text in path]

    def answer(self, query: str) -> tuple[int, dict[str, Any]]:
        """Answer a query as the warehouse does."""
        stages = re.match(r"model::(\w+)(?:,rma::criteria,(.*?))?(?:,rma::include,(.*?))?,rma::options(.*)$", query)
        rows = self.tables.get(stages[1]) if stages else None
        if stages is None or rows is None:
            return 200, {
                "success": False,
                "id": 0,
                "start_row": 0,
                "num_rows": 0,
                "total_rows": 0,
                "msg": "Unknown model",
            }
        wanted = re.search(r"\[(?:attachable_)?id\$(?:eq|in)([\d,]+)\]", stages[2] or "")
        if wanted:
            key = "attachable_id" if "attachable_id" in stages[2] else "id"
            rows = [row for row in rows if str(row[key]) in wanted[1].split(",")]
        kind = re.search(r"well_known_file_type\[name\$eq(\w+)\]", stages[2] or "")
        if kind:
            rows = [row for row in rows if row["well_known_file_type"]["name"] == kind[1]]
        number, start = (re.search(rf"\[{name}\$eq(\d+)\]", stages[4]) for name in ("num_rows", "start_row"))
        first = int(start[1]) if start else 0
        page = rows[first : first + int(number[1])] if number else rows
        return 200, {
            "success": True,
            "id": 0,
            "start_row": first,
            "num_rows": len(page),
            "total_rows": len(page),
            "msg": page,
        }


@contextmanager
def serve(loopback: Loopback) -> Iterator[Loopback]:
    """Run the server on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"world": loopback}))
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class QuickWeb(Web):
    """A web that notes its pauses instead of making them."""

    def __init__(self, timeout_s: float = 10.0, retries: int = 5) -> None:
        self.pauses: list[float] = []
        self.notices: list[str] = []
        super().__init__(
            timeout_s=timeout_s,
            policy=RetryPolicy(retries=retries),
            sleep=self.pauses.append,
            notice=self.notices.append,
        )


class _Handler(BaseHTTPRequestHandler):
    world: Loopback
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.world.log.append(("HEAD", self.path, dict(self.headers)))
        body = self.world.files.get(self._place())
        if not self.world.head:
            self._send(405, b"")
        elif body is None:
            self._send(404, b"")
        else:
            self._send(200, b"", {"Content-Length": str(len(body))})

    def do_GET(self) -> None:
        self.world.log.append(("GET", self.path, dict(self.headers)))
        place = self._place()
        pending = self.world.failures.get(place) or []
        failure = pending.pop(0) if pending else None
        if place == "/api/v2/data/query.json":
            query = urllib.parse.unquote(urllib.parse.urlsplit(self.path).query.removeprefix("q="))
            code, content = self.world.answer(query)
            self._body(code, json.dumps(content).encode(), {"Content-Type": "application/json"}, failure)
        elif place in self.world.files:
            self._file(place, failure)
        else:
            self._send(404, b"no such file")

    def _place(self) -> str:
        return urllib.parse.urlsplit(self.path).path

    def _file(self, place: str, failure: Failure | None) -> None:
        kind = failure.kind if failure else ""
        if kind in ("change", "deaf"):
            self.world.files[place] = hdf5_bytes(
                int.from_bytes(hashlib.sha256(self.world.files[place]).digest()[:4], "big")
            )
        content = self.world.files[place]
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()[:13]}"'
        headers = {"ETag": etag, "Last-Modified": "Wed, 08 Feb 2017 21:57:10 GMT"} if self.world.validators else {}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        valid = self.headers.get("If-Range") in (None, etag, "Wed, 08 Feb 2017 21:57:10 GMT") or kind == "deaf"
        if asked and self.world.ranges and valid:
            start = int(asked[1]) + (7 if kind == "shifted" else 0)
            stop = int(asked[2]) + 1 if asked[2] else len(content)
            if start >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            self._body(206, content[start:stop], headers, failure)
        else:
            self._body(200, content, headers, failure)

    def _body(self, code: int, body: bytes, headers: dict[str, str], failure: Failure | None) -> None:
        kind = failure.kind if failure else ""
        cut = int(len(body) * failure.after) if failure else 0
        length = len(body)
        if failure and kind == "status":
            extra = {"Retry-After": failure.retry_after} if failure.retry_after is not None else {}
            self._send(failure.code, b'{"success": false, "msg": "out of order"}', extra)
            return
        if kind == "html":
            self._send(200, b"<!DOCTYPE html><html>Sorry</html>", {"Content-Type": "text/html"})
            return
        if kind == "short":
            length -= length // 10
            body = body[:length]
        if kind == "long":
            length += length // 10
        if not self.world.lengths and code == 200 and kind not in ("short", "long"):
            self._send(code, None, {**headers, "Transfer-Encoding": "chunked"})
            half = body[: cut or len(body)]
            self.wfile.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")
            if not cut:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True
            return
        self._send(code, None, {**headers, "Content-Length": str(length)})
        if kind in ("truncate", "reset", "silent", "trickle"):
            self.wfile.write(body[:cut])
            self._break(kind, body[cut:])
        else:
            self.wfile.write(body)
        if kind:
            self.close_connection = True

    def _break(self, kind: str, rest: bytes) -> None:
        self.wfile.flush()
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        try:
            if kind == "silent":
                self.connection.settimeout(2)
                self.connection.recv(1)
            for i in range(200 if kind == "trickle" else 0):
                self.connection.sendall(rest[i : i + 1])
                time.sleep(0.02)
        except OSError:
            pass  # the client has left

    def _send(self, code: int, body: bytes | None, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if body is not None and "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)
