"""The other road: AllenSDK itself asks and downloads, in its own environment; poyodata checks what came."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from poyodata.allensdk.interpreter import clean_environ
from poyodata.errors import SourceError
from poyodata.fetch import allensdk_child
from poyodata.fetch.completeness import is_complete
from poyodata.fetch.download import Status
from poyodata.fetch.experiments import Experiment
from poyodata.fetch.roads import NoFileError
from poyodata.fetch.warehouse import WAREHOUSE
from poyodata.fetch.web import Web, WebError


class AllenSDKRoad:
    """AllenSDK as the road; one file at a time, no resuming, sizes unknown beforehand.

    A context: AllenSDK's process lives as long as the block. A file takes its name only when it is whole, as on the
    plain road; AllenSDK alone would keep what a broken connection left.

    Parameters
    ----------
    python : Path
        Interpreter of an environment that has AllenSDK: see `poyodata.allensdk`.
    web : Web
        Its bounds are kept for AllenSDK's attempts too.
    warehouse : str
    """

    connections = 1

    def __init__(self, python: Path, web: Web, warehouse: str = WAREHOUSE) -> None:
        self._command = [str(python), "-I", str(Path(allensdk_child.__file__))]
        self._setting = json.dumps({"warehouse": warehouse.rstrip("/"), "timeout_s": web.timeout_s})
        self.web = web
        self._child: subprocess.Popen[str] | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> AllenSDKRoad:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def rows(self, key: str) -> Iterable[Mapping[str, Any]]:
        """One of the lists of AllenSDK's cache, by its key there."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "list.json"

            def attempt() -> list[dict[str, Any]]:
                self._ask({"list": key, "to": str(path)})
                answer = json.loads(path.read_text(encoding="utf-8"))
                if not isinstance(answer, list):  # AllenSDK hands on the sentence of a refusal as if it were the list
                    raise WebError(f"the warehouse refuses AllenSDK's query: {answer}", passing=False)
                return answer

            return self.web.persist(f"list {key}", attempt)

    def size_bytes(self, experiment: Experiment) -> int | None:  # noqa: ARG002 - AllenSDK has no way to ask
        """None: AllenSDK has no way to ask."""
        return None

    def save(self, experiment: Experiment, target: Path, held: Callable[[int], None]) -> tuple[Status, int]:
        """Put a recording's file in place, whole."""
        if is_complete(target):
            return "already here", target.stat().st_size
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            path = Path(folder) / target.name

            def attempt() -> None:
                self._ask({"save": experiment.session_id, "to": str(path)})
                if not is_complete(path):
                    raise WebError("what AllenSDK brought is cut off, or is no HDF5 file")

            self.web.persist(target.name, attempt)
            damaged = target.exists()
            path.replace(target)
        size = target.stat().st_size
        held(size)
        return "replaced" if damaged else "downloaded", size

    def _ask(self, request: Mapping[str, Any]) -> None:
        with self._guard:
            child = self._started()
            try:
                if child.stdin is None or child.stdout is None:
                    raise SourceError("AllenSDK's process has no pipes.")
                child.stdin.write(json.dumps(request) + "\n")
                child.stdin.flush()
                line = child.stdout.readline()
            except OSError:
                line = ""
            if not line:
                self.__exit__(None, None, None)
                raise SourceError(
                    f"AllenSDK's process ended without an answer; does `{self._command[0]} -c 'import allensdk'` work?"
                )
        error = json.loads(line)["error"]
        if error is None:
            return
        if "has no data file" in error:
            raise NoFileError(f"the warehouse has no NWB file of recording {request.get('save')}")
        raise WebError(f"AllenSDK says {error}")

    def _started(self) -> subprocess.Popen[str]:
        if self._child is None:
            self._child = subprocess.Popen(
                [*self._command, self._setting],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=clean_environ(),
                text=True,
                encoding="utf-8",
            )
        return self._child
