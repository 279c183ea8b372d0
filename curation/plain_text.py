"""Safe reading of YAML and JSON: plain mappings, lists, texts, numbers and truth values, with the line of each."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import yaml

from poyodata.errors import DietError

MAX_BYTES = 64 * 1024
MAX_YAML_DEPTH = 100

Path: TypeAlias = tuple[str | int, ...]
"""Where an entry stands in a document: keys and positions."""


class _Loader(yaml.SafeLoader):
    """Composes nodes and nothing more; a bomb is met at its first event, before anything is built."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise DietError(f"line {line}: anchors and aliases (& and *) are not read in a diet; write the value out.")
        if event.tag:
            raise DietError(f"line {line}: tags ({str(event.tag)[:40]!r}) are not read in a diet; write plain values.")
        if self.depth >= MAX_YAML_DEPTH:
            raise DietError(f"line {line}: a diet may be nested {MAX_YAML_DEPTH} levels deep at most.")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(text: str) -> tuple[Any, dict[Path, int]]:
    """Read one YAML document of plain mappings, lists, texts, numbers and truth values.

    Returns
    -------
    value : dict, list or scalar
    lines : dict of path to line number
        Where every entry stands, counted from 1.

    Raises
    ------
    DietError
        Not YAML, above 64 KiB, nested too deeply, or with aliases, tags, dates or keys that stand there twice.
    """
    check_length(text)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DietError(
            f"{where}not YAML ({error.problem or error.context}); check indentation, colons and quotes."
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, DietError):
            raise
        raise DietError("not YAML: the text holds characters that cannot be read; write plain UTF-8 text.") from None
    if root is None:
        raise DietError("the diet is empty; begin with `diet: 1` and `neurons:`.")
    lines: dict[Path, int] = {}
    return _plain(root, (), lines), lines


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    line = lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or not name.isprintable():
                raise DietError(f"line {line}: a key must be a plain word.")
            if name in mapping:
                raise DietError(f"line {key.start_mark.line + 1}: {name!r} stands there twice; keep one.")
            mapping[name] = _plain(value, (*path, name), lines)
            lines[(*path, name)] = key.start_mark.line + 1
        return mapping
    kind = node.tag.rsplit(":", 1)[-1]
    try:
        match kind:
            case "str":
                return node.value
            case "null":
                return None
            case "bool":
                return node.value.casefold() in ("true", "yes", "on")
            case "int":
                return int(node.value.replace("_", ""), 10)
            case "float":
                return float(node.value.replace("_", ""))
    except (ValueError, OverflowError):
        pass
    raise DietError(f"line {line}: {node.value[:40]!r} would be read as a {kind}; set it in quotes if it is a text.")


def read_json(text: str) -> Any:
    """Read one JSON document.

    Raises
    ------
    DietError
        Not JSON, above 64 KiB, or nested too deeply.
    """
    check_length(text)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DietError(f"line {error.lineno}, column {error.colno}: not JSON ({error.msg}).") from None
    except (RecursionError, ValueError):
        raise DietError("not JSON that can be read: a number is too long, or it is nested too deeply.") from None


def check_length(text: str) -> None:
    """Refuse a document above `MAX_BYTES`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise DietError(
            f"a diet is {MAX_BYTES // 1024} KiB at most; name neurons by a rule, or split the diet in several."
        )
