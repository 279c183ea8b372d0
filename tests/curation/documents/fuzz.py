"""Random inputs: mutations of valid expressions and documents, tokens at random, and bytes at random.

Run as ``python -m tests.curation.documents.fuzz COUNT SEED``, which prints what became of them as JSON.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

from poyodata.curation import Diet
from poyodata.curation.documents.problems import find_problems
from poyodata.curation.language.expressions import to_text
from poyodata.curation.language.parse import parse_expression, parse_operand
from tests.curation.documents.hostile import limit_memory

EXPRESSIONS = (
    "skewness <= 3.51 and kurtosis <= 22.62",
    "0 < skewness@drifting_gratings <= param(max_skewness, 3.51) or not valid_roi",
    "cre_line in ['Sst-IRES-Cre', 'Vip-IRES-Cre'] and depth_um not in [175, 275]",
    "abs(log10(kurtosis)) > quantile(skewness, 0.9) and zscore(mean) < -1e-07",
    "isnan(reliability) or rank(skewness) >= 0.5",
    "x == 'it\\'s # \"here\"' and (a or (b and not c))",
)
EVERYTHING = """diet: 1
name: everything
description: |
  Two
  lines.
splits: blocks-5fold
statistics: {window: train, reference: all}
missing: include
neurons:
  difference:
    - top: {of: {balance: {of: all, by: [cre_line, area], n: 10, seed: 3}}, k: 5, by: abs(skewness), within: area}
    - match: {to: {diet: predictable, with: {max_skewness: 3.0}}, from: all, on: [depth_um, windows], draw: 2}
    - sample: {of: {ids: ['1_2', '3_4']}, fraction: {param: part, default: 0.5}}
    - mix: [{of: all, name: first}, {of: {complement: {where: 'x > 1'}}, share: 0.3, seed: 1}]
windows:
  where: stimulus == 'drifting_gratings' and not blank
  while: running_cm_s < 1
  min_length_s: 1.9
  sample: {n: 4, seed: 1, roles: [train, valid]}
disjoint: [{from: inhibitory, by: cell}]
"""
PRESET_FILES = sorted(files("poyodata.curation").joinpath("presets").iterdir(), key=lambda file: file.name)
DOCUMENTS = (*(file.read_text(encoding="utf-8") for file in PRESET_FILES), EVERYTHING)
TOKENS = (
    *"()[]{}<>=!&|~+-*/%^@.,:;?#'\"`\\$ \n\t\r_0159aexXλ",
    *("and", "or", "not", "in", "is", "if", "else", "lambda", "await", "yield", "for", "import", "None", "True", "nan"),
    *("skewness", "abs(", "quantile(", "param(", "zscore(", "__class__", "x.y", "1e9", "9**9", "0x1f", "1_000", "1j"),
    *("diet: 1", "neurons:", "where:", "union:", "mix:", "of:", "- ", "  ", "!!python/object:os.system", "&a ", "*a "),
    *("<<: ", "---\n", "...", "%YAML 1.1\n", "{", "}", "|\n", ">-\n", "? ", "~", "null", ".inf", "2024-01-01", "1:30"),
    *("\0", "\x07", "\x85", "\xa0", "\u2028", "\u202e", "\ufeff", "\ud800", "ﬁ", "ѕ", "😀", "\U0010ffff"),
)


def mutated(text: str, rng: random.Random) -> str:
    """Change a text in one to six places."""
    for _ in range(rng.randint(1, 6)):
        start = rng.randint(0, len(text))
        stop = min(len(text), start + rng.choice((0, 1, 2, 5, 20)))
        piece = text[start:stop]
        new = rng.choice(
            (
                "",
                rng.choice(TOKENS),
                piece * rng.choice((2, 3, 50)),
                rng.choice(TOKENS) * rng.choice((1, 1, 1, 5, 300)),
                piece[::-1],
                chr(rng.choice((rng.randrange(128), rng.randrange(0x110000)))),
                rng.choice(EXPRESSIONS),
                str(rng.choice((10**20, -1, 0.5, 1e308, 2**63))),
            )
        )
        text = text[:start] + new + text[stop:]
    return text


def inputs(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield what reads an input, and the input."""
    rng = random.Random(seed)  # noqa: S311 - nothing here is secret
    canonical = [Diet.from_yaml(text).to_json() for text in DOCUMENTS]
    for _ in range(count):
        kind = rng.randrange(7)
        if kind <= 1:
            yield "expression", mutated(rng.choice(EXPRESSIONS), rng)
        elif kind == 2:
            yield "expression", " ".join(rng.choice(TOKENS) for _ in range(rng.choice((3, 10, 30, 600))))
        elif kind <= 4:
            yield "yaml", mutated(rng.choice(DOCUMENTS), rng)
        elif kind == 5:
            yield "json", mutated(rng.choice(canonical), rng)
        else:
            noise = rng.randbytes(rng.choice((5, 50, 2000)))
            decoded = noise.decode(rng.choice(("latin-1", "utf-8", "utf-16")), "replace")
            mixed = "".join(rng.choice((decoded, rng.choice(TOKENS), rng.choice(DOCUMENTS))) for _ in range(3))
            yield rng.choice(("expression", "yaml", "json")), mixed


def read_expression(text: str) -> None:
    """Read an expression; what is read must be written and read again."""
    for read in (parse_operand, parse_expression):
        try:
            node = read(text)
        except ValueError:
            if read is parse_expression:
                raise
        else:
            again = read(to_text(node))
            if again != node:
                raise AssertionError(f"{to_text(again)!r} was {to_text(node)!r}")


def read_yaml(text: str) -> None:
    """Read YAML as a diet, and gather its problems: there are some exactly where it cannot be read."""
    try:
        diet = Diet.from_yaml(text)
    except ValueError as error:
        if "\n" in text and len(getattr(error, "problems", ())) == 0:
            raise AssertionError(f"{error!r} does not say where") from error
        raise
    if Diet.from_yaml(diet.to_yaml()) != diet:
        raise AssertionError(f"{diet.to_yaml()!r} is another diet")
    if "\n" in text:
        find_problems(text)


READERS: dict[str, Callable[[str], Any]] = {"expression": read_expression, "yaml": read_yaml, "json": Diet.from_json}


def main(count: int, seed: int) -> None:
    """Read every input under a limit of memory."""
    for text in DOCUMENTS:
        find_problems(text)
        Diet.from_json(Diet.from_yaml(text).to_json())
    read_expression(EXPRESSIONS[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit_memory()
    outcomes: Counter[str] = Counter()
    wrong: list[tuple[str, str, str]] = []
    slowest = (0.0, "", "")
    for kind, text in inputs(count, seed):
        begun = time.process_time()
        try:
            READERS[kind](text)
            error = "read"
        except Exception as raised:
            error = type(raised).__name__
            if error != "DietError":
                wrong.append((kind, text[:2000], repr(raised)[:300]))
        slowest = max(slowest, (time.process_time() - begun, kind, text[:2000]))
        outcomes[error] += 1
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    found = {"outcomes": outcomes, "wrong": wrong[:20], "slowest": slowest, "memory": memory}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
