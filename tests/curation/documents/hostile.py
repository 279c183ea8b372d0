"""Inputs that try to run code, to exhaust the machine, or to be read for something else than they look like."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from poyodata.curation import Diet, load_diet
from poyodata.curation.documents.problems import find_problems
from poyodata.curation.language.parse import parse_expression, parse_operand
from poyodata.curation.selecting.references import References
from poyodata.errors import DietError

MIB = 2**20
CPU_S = 1.0
MEMORY = 200 * MIB

EXPRESSIONS: dict[str, str] = {
    "import": "__import__('os').system('touch owned')",
    "dunder name": "__builtins__ == 1",
    "dunder attribute": "x.__class__.__bases__[0].__subclasses__() == 1",
    "attribute of a constant": "''.__class__ == 'a'",
    "getattr": "getattr(x, 'y') > 1",
    "eval": "eval('1') == 1",
    "exec in a comparison": "x > exec('import os')",
    "open": "open('/etc/passwd') == 1",
    "method": "x.max() > 1",
    "list comprehension": "x in [y for y in range(10**9)]",
    "generator": "any(y for y in x)",
    "dict comprehension": "x in {y: y for y in [1]}",
    "set comprehension": "x in {y for y in [1]}",
    "lambda": "(lambda: 1)() == 1",
    "walrus": "(y := 3) > x",
    "f-string": "x == f'{open(1)}'",
    "f-string without braces": "x == f'a'",
    "await": "await x > 1",
    "yield": "(yield x) > 1",
    "starred": "abs(*x) > 1",
    "keyword": "abs(x=1) > 1",
    "two keywords": "param(**x) > 1",
    "ternary": "x > 1 if y else z",
    "power tower": "9**9**9 > x",
    "shift": "x > 1 << 10**9",
    "repeated text": "x == 'a' * 10**9",
    "slice": "x[0:10**9] > 1",
    "ellipsis": "x == ...",
    "bytes": "x == b'a'",
    "complex": "x > 1j",
    "none": "x is None",
    "statement": "x > 1; import os",
    "assignment": "x = 1",
    "decorator": "@x\ndef f(): pass",
    "new line": "x > 1\nimport os",
    "form feed": "x > 1\fimport os",
    "comment with a line": "x > 1 # \nimport os",
    "huge integer": "x > " + "9" * 4000,
    "huge integer in hexadecimal": "x > 0x" + "f" * 4000,
    "huge exponent": "x > 1e999999999",
    "million digits": "x > " + "9" * 10**6,
    "million digits after a point": "x > 0." + "9" * 10**6,
    "million terms": " and ".join(["x"] * 10**6),
    "brackets": "(" * 65536,
    "brackets in pairs": "(" * 2000 + "x" + ")" * 2000,
    "lists": "x in " + "[" * 1000 + "]" * 1000,
    "nots": "not " * 1000 + "x",
    "signs": "x > " + "-" * 3000 + "1",
    "tildes": "~" * 4000 + "x",
    "calls": "abs(" * 800 + "x" + ")" * 800 + " > 1",
    "long chain": "x" + " < x" * 1000,
    "chain of at": "@".join("x" * 900) + " > 1",
    "many values": "x in [" + "1," * 2000 + "]",
    "long name": "x" * 4000 + " > 1",
    "look-alike letter": "ѕkewness > 1",
    "look-alike that Python folds": "ｓkewness > 1",
    "mathematical letters": "𝓼kewness > 1",
    "ligature": "ﬁsher > 1",
    "full-width parentheses": "（x > 1）",
    "full-width sign": "x ＞ 1",
    "soft hyphen": "x\xad > 1",
    "zero width space": "x\u200b > 1",
    "right to left": "x == 'a\u202e' ",
    "isolates": "x == '\u2066a\u2069'",
    "null byte": "x > 1\0",
    "null byte in a text": "x == 'a\0b'",
    "null escape": "x == 'a\\x00b'",
    "byte order mark within": "x > 1 \ufeff",
    "surrogate": "x == '\ud800'",
    "surrogate escape": "x == '\\ud800'",
    "unknown escape": "x == '\\d'",
    "named escape": "x == '\\N{RIGHT-TO-LEFT OVERRIDE}'",
    "octal": "x > 0o17 == 017",
    "nan": "x > nan",
    "infinity": "x > 1e400",
    "parameter of a call": "x > param(abs(x), 1)",
    "parameter of no constant": "x > param(a, y)",
    "dunder parameter": "x > param(__class__, 1)",
    "quantile beyond": "x > quantile(x, 10)",
    "quantile of a constant": "x > quantile(1, 0.5)",
    "quantile of a condition": "x > quantile(x > 1, 0.5)",
    "empty": "",
    "blank": " \t\n ",
}

_HEAD = "diet: 1\nneurons: "
YAML: dict[str, str] = {
    "python object": _HEAD + "!!python/object/apply:os.system ['touch owned']",
    "python name": _HEAD + "!!python/name:os.system ''",
    "python new": _HEAD + "!!python/object/new:type {args: [a, [], {}]}",
    "own tag": _HEAD + "!x all",
    "harmless tag": _HEAD + "!!str all",
    "tag of a document": "%TAG ! tag:python.org,2002:\n---\ndiet: 1\nneurons: !object all",
    "binary": _HEAD + "!!binary YWxs",
    "set": "diet: 1\nneurons: !!set {all}",
    "anchor": "diet: 1\nneurons: &a all",
    "alias that holds itself": "diet: 1\nneurons: &a {complement: *a}",
    "alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "merge key": "diet: 1\nneurons: {<<: {where: x > 1}}",
    "merge of an alias": "base: &b {where: x > 1}\ndiet: 1\nneurons: {<<: *b}",
    "deep flow lists": _HEAD + "[" * 65000,
    "deep flow mappings": _HEAD + "{complement: " * 5000 + "all" + "}" * 5000,
    "deep blocks": "diet: 1\nneurons:\n" + "".join(" " * n + "complement:\n" for n in range(1, 340)),
    "deep sequences": "diet: 1\nneurons:\n" + "- " * 32000 + "a",
    "deep complement": _HEAD + "{complement: " * 60 + "all" + "}" * 60,
    "wide union": _HEAD + "{union: [" + "all," * 3000 + "]}",
    "wide list": _HEAD + "[" + "1," * 32000 + "]",
    "wide mapping": _HEAD + "{" + ",".join(f"a{n}: 1" for n in range(6500)) + "}",
    "many unknown keys": "diet: 1\nneurons: all\n" + "".join(f"k{n}: 1\n" for n in range(2500)),
    "many wrong ids": _HEAD + "{ids: [" + "1," * 7000 + "]}",
    "the last of many ids twice": _HEAD + "{ids: [" + ",".join(map(str, [*range(7500), 7499])) + "]}",
    "many ids twice": _HEAD + "{ids: [" + ",".join(map(str, [*range(3700), *range(3700)])) + "]}",
    "too large": "diet: 1\nneurons: all\n#" + "x" * 70000,
    "million terms": _HEAD + "{where: " + " and ".join(["x"] * 10**6) + "}",
    "million digits": _HEAD + "{sample: {of: all, n: " + "9" * 10**6 + "}}",
    "long digits": _HEAD + "{sample: {of: all, n: " + "9" * 60000 + "}}",
    "huge exponent": _HEAD + "{sample: {of: all, n: 1e999999999}}",
    "octal": _HEAD + "{sample: {of: all, n: 017}}",
    "hexadecimal": _HEAD + "{sample: {of: all, n: 0x10}}",
    "binary number": _HEAD + "{sample: {of: all, n: 0b11}}",
    "sexagesimal": _HEAD + "{sample: {of: all, n: 1" + ":59" * 9000 + "}}",
    "sexagesimal fraction": _HEAD + "{sample: {of: all, fraction: 1:30.5}}",
    "infinite": _HEAD + "{sample: {of: all, fraction: .inf}}",
    "not a number": _HEAD + "{sample: {of: all, fraction: .nan}}",
    "date": "diet: 1\nname: 2024-01-01\nneurons: all",
    "time": "diet: 1\nname: 2024-01-01T00:00:00Z\nneurons: all",
    "truth as name": "diet: 1\nname: yes\nneurons: all",
    "truth as version": "diet: yes\nneurons: all",
    "null": _HEAD + "~",
    "key twice": "diet: 1\nneurons: all\nneurons: {where: x > 1}",
    "list as key": "diet: 1\nneurons: all\n? [a]\n: 1",
    "mapping as key": "diet: 1\nneurons: {{a: 1}: 2}",
    "empty key": "diet: 1\nneurons: all\n: 1",
    "two documents": "diet: 1\nneurons: all\n---\ndiet: 1\nneurons: all",
    "directive": "%YAML 9.9\n---\ndiet: 1\nneurons: all",
    "null byte": "diet: 1\nname: a\0b\nneurons: all",
    "escaped null byte": 'diet: 1\nname: "a\\0b"\nneurons: all',
    "byte order mark within": "diet: 1\nname: a\ufeffb\nneurons: all",
    "surrogate": "diet: 1\nname: a\ud800\nneurons: all",
    "escaped surrogate": 'diet: 1\nname: "\\ud800"\nneurons: all',
    "unprintable key": 'diet: 1\nneurons: all\n"a\\x1b[2J": 1',
    "right to left": "diet: 1\nname: a\u202eb\nneurons: all",
    "carriage return within": 'diet: 1\r\nname: "a\\rb"\r\nneurons: all',
    "look-alike key": "diet: 1\nnеurons: all",
    "look-alike colon": "diet： 1\nneurons： all",
    "tab": "diet: 1\n\tneurons: all",
    "half a quote": "diet: 1\nname: 'a\nneurons: all",
    "half a list": "diet: 1\nneurons: {union: [all, all",
    "expression in the name": "diet: 1\nname: ${HOME}\nneurons: {where: '$(touch owned)'}",
    "template": "diet: 1\nneurons: {where: '{{ 7 * 7 }} > x'}",
    "unknown diet of dots": _HEAD + "{diet: '..'}\nstatistics: {window: test}",
    "list of diets": "- diet: 1\n- diet: 1",
    "text": "diet",
    "empty": "",
    "comment": "# nothing",
}

JSON: dict[str, str] = {
    "deep lists": "[" * 65000,
    "deep mappings": '{"diet":1,"neurons":' + '{"complement":' * 3000 + '"all"' + "}" * 3001,
    "quite deep mappings": '{"diet":1,"neurons":' + '{"complement":' * 90 + '"all"' + "}" * 91,
    "key twice": '{"diet":1,"neurons":"all","neurons":{"where":"x > 1"}}',
    "many keys twice": "{" + ",".join(['"a":1'] * 8000) + "}",
    "not a number": '{"diet":1,"neurons":{"sample":{"of":"all","fraction":NaN}}}',
    "infinite": '{"diet":1,"neurons":{"sample":{"of":"all","fraction":-Infinity}}}',
    "huge number": '{"diet":1,"neurons":{"sample":{"of":"all","n":' + "9" * 60000 + "}}}",
    "huge exponent": '{"diet":1,"neurons":{"sample":{"of":"all","n":1e999999999}}}',
    "surrogate": '{"diet":1,"name":"\\ud800","neurons":"all"}',
    "null byte": '{"diet":1,"name":"a\\u0000","neurons":"all"}',
    "comment": '{"diet":1, // no\n"neurons":"all"}',
    "trailing comma": '{"diet":1,"neurons":"all",}',
    "two values": '{"diet":1,"neurons":"all"}{}',
    "too large": '{"diet":1,"neurons":"all","name":"' + "x" * 70000 + '"}',
    "wide": '{"diet":1,"neurons":{"ids":[' + "1," * 30000 + "1]}}",
    "number": "1",
    "empty": "",
}


def _mapping_that_holds_itself() -> Mapping[str, Any]:
    rule: dict[str, Any] = {}
    rule["complement"] = rule
    return {"diet": 1, "neurons": rule}


def _list_that_holds_itself() -> Mapping[str, Any]:
    rules: list[Any] = []
    rules += [rules, rules]
    return {"diet": 1, "neurons": {"union": rules}}


def _shared() -> Mapping[str, Any]:
    rule: Any = {"where": "x > 1"}
    for _ in range(60):
        rule = {"union": [rule, rule]}
    return {"diet": 1, "neurons": rule}


def _deep() -> Mapping[str, Any]:
    rule: Any = {"where": "x > 1"}
    for _ in range(100_000):
        rule = {"complement": rule}
    return {"diet": 1, "neurons": rule}


MAPPINGS: dict[str, Callable[[], Mapping[Any, Any]]] = {
    "holds itself": _mapping_that_holds_itself,
    "list that holds itself": _list_that_holds_itself,
    "shared": _shared,
    "deep": _deep,
    "numbers as keys": lambda: {"diet": 1, "neurons": {1: 2}},
    "nothing as key": lambda: {"diet": 1, "neurons": "all", None: 1},
    "object": lambda: {"diet": 1, "neurons": object()},
    "function": lambda: {"diet": 1, "neurons": {"where": lambda: 1}},
    "huge number": lambda: {"diet": 1, "neurons": {"sample": {"of": "all", "n": 10**10000}}},
    "very many ids, the last twice": lambda: {"diet": 1, "neurons": {"ids": [*map(str, range(200_000)), "199999"]}},
    "text of a class": lambda: {"diet": 1, "name": type("Name", (str,), {"__str__": lambda self: 1 / 0})("\n")},
}


def read_mapping(name: str) -> object:
    return Diet.from_dict(MAPPINGS[name]())


READERS: dict[str, tuple[Mapping[str, Any], Callable[[Any], object]]] = {
    "expression": (EXPRESSIONS, parse_expression),
    "operand": (EXPRESSIONS, parse_operand),
    "where of a diet": (EXPRESSIONS, lambda text: Diet.from_dict({"diet": 1, "neurons": {"where": text}})),
    "YAML": (YAML, Diet.from_yaml),
    "JSON": (JSON, Diet.from_json),
    "mapping": ({name: name for name in MAPPINGS}, read_mapping),
}
"""What reads what; each input must be refused by its reader."""


def outcome(read: Callable[[Any], object], given: Any) -> tuple[str, float]:
    """Name of the error that an input gives ("" when it is read), and the CPU time that it took."""
    begun = time.process_time()
    try:
        read(given)
    except Exception as error:
        return type(error).__name__, time.process_time() - begun
    return "", time.process_time() - begun


def limit_memory(above: int = MEMORY) -> None:
    """Let this process have no more memory than it has now, and `above`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + above
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def make_files(folder: Path) -> dict[str, tuple[Path | str, str]]:
    """Make files that are no diets, or diets that refer to such, each with the error that reading it must give."""
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    with (folder / "sparse.yaml").open("wb") as file:
        file.truncate(10 * 2**30)
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    (folder / "zero.yaml").symlink_to("/dev/zero")
    (folder / "memory.yaml").symlink_to("/proc/self/mem")
    (folder / "latin.yaml").write_bytes(b"diet: 1\nname: \xe4\nneurons: all\n")
    (folder / "wide.yaml").write_bytes("diet: 1\nneurons: all\n".encode("utf-16"))
    for number in range(40):
        part = f"{{diet: bomb{number + 1}.yaml}}" if number < 39 else "all"
        text = f"diet: 1\nneurons: {{union: [{part}, {part}]}}\n"
        (folder / f"bomb{number}.yaml").write_text(text, encoding="utf-8")
    for number in range(10):
        parts = [f"{{diet: other{number + 1}.yaml, with: {{x: {value}{number}}}}}" for value in (1, 2)]
        part = f"{{union: [{', '.join(parts)}]}}" if number < 9 else "all"
        extra = f"intersect: [{{where: 'x > param(x, {number})'}}, {part}]"
        (folder / f"other{number}.yaml").write_text(f"diet: 1\nneurons: {{{extra}}}\n", encoding="utf-8")
    for number in range(1500):
        part = f"{{diet: chain{number + 1}.yaml}}" if number < 1499 else "all"
        (folder / f"chain{number}.yaml").write_text(f"diet: 1\nneurons: {part}\n", encoding="utf-8")
    targets = {
        "itself": "itself.yaml",
        "above": "../../../../../../../../etc/passwd",
        "above with an ending": "../../../../../../../../etc/passwd.yaml",
        "nothing": "absent.yaml",
        "nul": "a\\0b.yaml",
        "device": "/dev/zero",
        "link to a device": "zero.yaml",
        "memory of the process": "/proc/self/mem",
        "pipe": "pipe.yaml",
        "folder": "folder.yaml",
        "sparse": "sparse.yaml",
        "url": "http://localhost:1/a.yaml",
        "long": "a" * 390 + ".yaml",
    }
    for name, target in targets.items():
        file = folder / f"{name}.yaml"
        if not file.exists():
            file.write_text(f'diet: 1\nneurons: {{diet: "{target}"}}\n', encoding="utf-8")
    (folder / "round.yaml").write_text("diet: 1\nneurons: {diet: trip.yaml}\n", encoding="utf-8")
    (folder / "trip.yaml").write_text("diet: 1\nneurons: {complement: {diet: round.yaml}}\n", encoding="utf-8")
    direct: dict[str, tuple[Path | str, str]] = {
        "a pipe": (folder / "pipe.yaml", "UsageError"),
        "a folder": (folder / "folder.yaml", "UsageError"),
        "a sparse file": (folder / "sparse.yaml", "DietError"),
        "a loop of links": (folder / "loop.yaml", "UsageError"),
        "an endless device": (folder / "zero.yaml", "UsageError"),
        "memory": (folder / "memory.yaml", "UsageError"),
        "another encoding": (folder / "latin.yaml", "DietError"),
        "wide characters": (folder / "wide.yaml", "DietError"),
        "a null byte": ("a\0b.yaml", "UsageError"),
        "a surrogate": ("a\ud800b.yaml", "UsageError"),
        "a very long name": ("a" * 100_000 + ".yaml", "UsageError"),
        "a very long path": ("a/" * 100_000 + "b.yaml", "UsageError"),
        "no name": ("", "UsageError"),
        "a very long unknown diet": ("predictabel" * 10_000, "UsageError"),
        "two diets in a circle": (folder / "round.yaml", "DietError"),
        "a bomb of references": (folder / "bomb0.yaml", "DietError"),
        "a bomb of references with other values": (folder / "other0.yaml", "DietError"),
        "a long chain of references": (folder / "chain0.yaml", "DietError"),
    }
    usage = {"above", "above with an ending", "nothing", "device", "link to a device", "memory of the process", "pipe"}
    usage |= {"folder", "url", "long"}
    return direct | {
        f"refers to {name}": (folder / f"{name}.yaml", "UsageError" if name in usage else "DietError")
        for name in targets
        if name not in ("pipe", "folder", "sparse")
    }


def read_references(source: Path | str) -> object:
    """Read a diet and all that it refers to."""
    return References(load_diet(source)).documents


def large_diets(folder: Path) -> dict[str, Path | str]:
    """Diets that are dear to validate on a store of very many names."""
    names = [f"'neuron_{number}'" for number in range(400)]
    listed = "".join(
        f"  - where: neuron_id in [{', '.join(names[start : start + 100])}]\n" for start in range(0, 400, 100)
    )
    clauses = " or ".join(f"neuron_id == {name}" for name in names[:120])
    bomb = folder / "other0.yaml"
    many = "".join(f"  - {{diet: other1.yaml, with: {{x: {number}}}}}\n" for number in range(490))
    (folder / "many.yaml").write_text(f"diet: 1\nneurons:\n  union:\n{many}", encoding="utf-8")
    return {
        "lists of wrong texts": f"diet: 1\nneurons:\n  union:\n{listed}",
        "clauses of wrong texts": f"diet: 1\nneurons:\n  where: {clauses}\n",
        "many wrong ids": f"diet: 1\nneurons:\n  ids: [{', '.join(names)}]\n",
        "a bomb of references": bomb,
        "many bombs of references": folder / "many.yaml",
    }


def validated(source: Path | str) -> object:
    """Find the problems of a diet on a store of 40,000 neurons; there must be some."""
    if not find_problems(source, large_store()):
        raise AssertionError("nothing is wrong")
    raise DietError("something is wrong")


@cache
def large_store() -> Any:
    """What is asked of a store, of 40,000 neurons whose names share nearly all that they are made of."""
    neurons = pd.DataFrame({"neuron_id": [f"nueron_{number:0100d}" for number in range(40_000)]})
    neurons = neurons.assign(session_id="s", valid_roi=True, x=np.arange(40_000.0))
    store = SimpleNamespace(neurons=neurons, sessions=pd.DataFrame({"session_id": ["s"]}))
    store.path = store.statistics_folder = Path("nowhere")
    return store


def main(folder: Path) -> None:
    """Try every input under a limit of memory and print what became of each."""
    files = make_files(folder)
    Diet.from_json(Diet.from_yaml("diet: 1\nneurons: {where: x > 1}\n").to_json())  # what is imported late is there
    load_diet("mixed-30")
    find_problems("diet: 1\nneurons: {where: x > 1}\n", large_store())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit_memory()
    tried = {
        kind: {name: outcome(read, given) for name, given in inputs.items()} for kind, (inputs, read) in READERS.items()
    }
    tried["file"] = {name: outcome(read_references, given) for name, (given, _) in files.items()}
    tried["validated"] = {name: outcome(validated, given) for name, given in large_diets(folder).items()}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    expected = {name: error for name, (_, error) in files.items()}
    sys.stdout.write(json.dumps({"tried": tried, "files": expected, "memory": (after - before) * 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
