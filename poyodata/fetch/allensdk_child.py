"""Runs in AllenSDK's own environment: fetches with AllenSDK what the parent asks for, one JSON line each way.

Nothing of poyodata is there, so this file stands alone. Requests on standard input are ``{"list": key, "to": path}``
and ``{"save": id, "to": path}``; the answer to each is ``{"error": null}``, or what AllenSDK raised.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from typing import Any


def main() -> None:
    """Answer requests until the input ends."""
    setting = json.loads(sys.argv[1])
    # AllenSDK's queries have no time-out of their own.
    socket.setdefaulttimeout(setting["timeout_s"])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print is for people
    api = importlib.import_module("allensdk.api.queries.brain_observatory_api").BrainObservatoryApi(
        base_uri=setting["warehouse"]
    )
    for line in sys.stdin:
        error = None
        try:
            _serve(api, json.loads(line))
        except Exception as failure:  # AllenSDK raises bare Exception too; the parent decides
            error = f"{type(failure).__name__}: {failure}"
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()


def _serve(api: Any, request: dict[str, Any]) -> None:
    if "save" in request:
        api.save_ophys_experiment_data(request["save"], request["to"], strategy="create")
        return
    rows = {
        "EXPERIMENTS": api.get_ophys_experiments,
        "EXPERIMENT_CONTAINERS": api.get_experiment_containers,
        "STIMULUS_MAPPINGS": api.get_stimulus_mappings,
        "CELL_SPECIMENS": lambda: list(api.get_cell_metrics()),
    }[request["list"]]()
    with open(request["to"], "w", encoding="utf-8") as file:  # noqa: PTH123 - nothing but the standard library here
        json.dump(rows, file)


if __name__ == "__main__":
    main()
