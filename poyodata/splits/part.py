"""`Part`: a frozen piece of a specification, whose errors say what is wrong with which entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from poyodata.errors import Problem, SplitError, nearest

_MOST_SHOWN = 60


class Part(BaseModel):
    """A frozen piece of a specification which refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = _problems(error, type(self).model_fields)
            listed = "; ".join(str(problem).removesuffix(".") for problem in problems)
            raise SplitError(f"a split is not well formed: {listed}.", problems) from error


def _problems(error: ValidationError, known: Any) -> tuple[Problem, ...]:
    """All complaints of a validation, those of the parts within it each by itself: place, complaint, what arrived."""
    found: list[Problem] = []
    for item in error.errors(include_url=False):
        # The word after `within` names its kind, and stands at no place of the file.
        path = [str(word) for at, word in enumerate(item["loc"]) if not at or item["loc"][at - 1] != "within"]
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, SplitError):
            found += [replace(one, path=".".join(filter(None, [*path, one.path]))) for one in inner.problems]
            continue
        said = {"missing": "is missing"}.get(item["type"])
        if item["type"] == "extra_forbidden":
            said = f"unknown key: {nearest(path[-1], known)}"
        if said is None:
            given = repr(item["input"])
            shown = given if len(given) <= _MOST_SHOWN else f"{given[:_MOST_SHOWN]}..."
            said = f"{item['msg'].removeprefix('Value error, ')} (got {shown})"
        found.append(Problem(None, None, ".".join(path), said if said.endswith("?") else f"{said.removesuffix('.')}."))
    return tuple(found)
