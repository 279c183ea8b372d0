"""The JSON Schema of a diet's document, by which editors complete, explain and check diets while they are written.

Written by ``python -m poyodata.curation.documents.schema > docs/diet.schema.json``, or by ``poyodata diet schema``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from poyodata.curation.documents.document_keys import OPERATORS, DietDocument


def diet_schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of diets in YAML and JSON.

    Keys, kinds, ranges, names, and one operator a rule are said. What a schema cannot say, or not simply, the reader
    refuses beside it: characters that cannot be printed, 1.0 for a whole number, shares that add up to more than 1,
    a parameter with two defaults, rules nested too deeply. What expressions mean, and which columns a store has, is
    said by `find_problems`.

    Returns
    -------
    dict

    Examples
    --------
    >>> schema = diet_schema()
    >>> schema["required"], schema["$defs"]["SampleDocument"]["properties"]["fraction"]["anyOf"][0]["maximum"]
    (['diet', 'neurons'], 1)
    """
    schema = _written(DietDocument.model_json_schema(by_alias=True))
    rule = schema["$defs"]["RuleDocument"]
    rule["oneOf"] = [{"required": [word]} for word in OPERATORS]
    rule["dependentRequired"] = {"with": ["diet"]}
    for name, words, least in (
        ("SampleDocument", ("fraction", "n"), True),
        ("WindowSampleDocument", ("fraction", "n"), True),
        ("TermDocument", ("fraction", "share", "n"), False),
    ):
        choices: list[dict[str, Any]] = [{"required": [word]} for word in words]
        schema["$defs"][name]["oneOf"] = choices if least else [*choices, {"not": {"anyOf": choices}}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "poyodata diet", **schema}


_SCALAR_WORDS = ("exclusiveMinimum", "maximum", "minimum", "exclusiveMaximum", "pattern", "minLength", "maxLength")
_LIST_WORDS = ("minItems", "uniqueItems")


def _written(part: Any) -> Any:
    """Tidy what pydantic wrote: no titles, nothing empty, and limits beside the kind that they are of."""
    if isinstance(part, list):
        return [_written(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {word: value for word, value in part.items() if word != "title" or not isinstance(value, str)}
    kinds = [kind for kind in part.get("anyOf", []) if kind != {"type": "null"}]
    kinds = [inner for kind in kinds for inner in (kind.get("oneOf", [kind]) if set(kind) == {"oneOf"} else [kind])]
    if "oneOf" in part and all("required" not in kind for kind in part["oneOf"]):
        kinds += part.pop("oneOf")
    if kinds:
        part.pop("anyOf", None)
        if part.get("default", 0) is None:
            del part["default"]  # left out is not the same as null, which no key takes
        plain = next((str(kind["type"]) for kind in kinds if kind.get("type") in ("integer", "number")), "")
        kinds = [_limited(dict(kind), part, plain) for kind in kinds]
        for word in (*_SCALAR_WORDS, *_LIST_WORDS):
            if len(kinds) > 1 or "$ref" not in kinds[0]:
                part.pop(word, None)
        part |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    elif part.get("type") == "array" and "pattern" in part:
        part["items"] = part["items"] | {"pattern": part.pop("pattern")}
    return {
        word: {name: _written(one) for name, one in value.items()}
        if word in ("properties", "$defs")
        else _written(value)
        for word, value in part.items()
    }


def _limited(kind: dict[str, Any], limits: dict[str, Any], plain: str) -> dict[str, Any]:
    """Give one of several kinds the limits that are of it; a parameter's default those of the number beside it."""
    held = {word: limits[word] for word in _SCALAR_WORDS if word in limits}
    if str(kind.get("$ref", "")).endswith("/ParameterDocument") and held and plain:
        return kind | {"properties": {"default": {"type": plain} | held}}
    if kind.get("type") in ("integer", "number", "string"):
        return kind | {word: limits[word] for word in _SCALAR_WORDS if word in limits}
    if kind.get("type") == "array":
        items = kind.get("items", {})
        if "pattern" in limits:
            items = items | {"pattern": limits["pattern"]}
        return kind | {"items": items} | {word: limits[word] for word in _LIST_WORDS if word in limits}
    return kind


def main() -> None:
    """Print the schema."""
    sys.stdout.write(json.dumps(diet_schema(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
