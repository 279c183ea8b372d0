"""Splits that try to exhaust the machine, or to be read for something else than they look like."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from poyodata.splits import SplitSpec, split_spec
from tests.curation.documents.hostile import limit_memory, outcome

HEAD = "split: 1\nname: x\n"
BLOCKS = HEAD + "within: {kind: blocks, folds: 5}\n"
SHARES = HEAD + "within: {kind: %s, fractions: {train: %s, valid: %s, test: %s}}\n"

TEXTS: dict[str, tuple[str, str]] = {
    "deep lists": ("\n" + "[" * 3000, "2:101: a split may be nested 100 levels deep"),
    "deep mappings": (HEAD + "within: " + "{a: " * 3000, "levels deep"),
    "alias bomb": ("a: &a [x,x]\n" + "".join(f"{b}: [*a,*a]\n" for b in "bcd"), "1:4: anchors and aliases"),
    "alias that holds itself": (HEAD + "within: &a {kind: *a}\n", "3:9: anchors and aliases"),
    "python object": (HEAD + "within: !!python/object/apply:os.system ['touch owned']\n", "3:9: tags"),
    "a key given twice": (BLOCKS + "name: y\n", "4:1: 'name' stands there twice"),
    "a nested key given twice": (HEAD + "within: {kind: blocks, folds: 5, folds: 3}\n", "3:34: 'folds' stands there"),
    "wide list": (HEAD + "within: [" + "1," * 30000 + "]\n", "entries at most"),
    "too large": (BLOCKS + "#" + "x" * 70000, "64 KiB at most"),
    "a billion folds": (HEAD + "within: {kind: blocks, folds: 1000000000}\n", "3:24: within.folds: "),
    "a billion segments": (
        HEAD + "within: {kind: movie-segments, folds: 5, segments: 1000000000}\n",
        "within.segments: ",
    ),
    "million digits": (HEAD + "within: {kind: blocks, folds: " + "9" * 10**6 + "}\n", "64 KiB at most"),
    "long digits": (HEAD + "within: {kind: blocks, folds: " + "9" * 60000 + "}\n", "would be read as a int"),
    "many digits": (HEAD + "within: {kind: blocks, folds: " + "9" * 4000 + "}\n", "3:24: within.folds: "),
    "huge guard": (HEAD + "within:\n  kind: blocks\n  folds: 5\n  guard_s: 1e300\n", "6:3: within.guard_s: "),
    "infinite guard": (HEAD + "within: {kind: blocks, folds: 5, guard_s: .inf}\n", "3:43: '.inf' would be"),
    "guard that is no number": (HEAD + "within: {kind: blocks, folds: 5, guard_s: .nan}\n", "3:43: '.nan' would be"),
    "huge cut factor": (HEAD + "within: {kind: movie-segments, folds: 5, cut_factor: 1e300}\n", "within.cut_factor: "),
    "tiny shares": (SHARES % ("blocks", 0.99999999, 5e-9, 5e-9), "within.fractions: a share is 0, or at least 0.001"),
    "tiny shares of trials": (SHARES % ("trials", 0.9999, 5e-5, 5e-5), "a share is 0, or at least 0.001"),
    "tiny shares of repeats": (
        HEAD + "within: {kind: paper-trials, repeats: {train: 0.9999999, valid: 0, test: 1e-7}}\n",
        "within.repeats: a share is 0",
    ),
    "huge seed": (
        HEAD + "across: {seed: " + "9" * 4000 + "}\nwithin: {kind: blocks, folds: 5}\n",
        "3:10: across.seed: ",
    ),
    "negative seed of the paper": (HEAD + "within: {kind: paper-trials, seed: -1}\n", "3:30: within.seed: "),
    "long name": ("name: " + "x" * 60000 + "\nwithin: {kind: blocks, folds: 5}\n", "1:1: name: "),
    "a name like a method": (BLOCKS + "self: 1\n", "4:1: self: unknown key"),
    "dunder": (BLOCKS + "__class__: 1\n", "4:1: __class__: unknown key"),
    "key that is no text": (BLOCKS + "? [a]\n: 1\n", "4:3: a key must be a plain word"),
    "escape in a key": (BLOCKS + '"a\\u202e": 1\n', "4:1: a key must be a plain word"),
    "null byte": (BLOCKS + "a: '\0'\n", "cannot be read"),
    "date": ("name: 2024-01-01\nwithin: {kind: blocks, folds: 5}\n", "1:7: '2024-01-01' would be read as a timestamp"),
    "nothing": ("\n", "the split is empty"),
    "two documents": (BLOCKS + "---\n" + BLOCKS, "4:1: not YAML"),
}
"""Texts, and what the error says of each."""


def make_files(folder: Path) -> dict[str, tuple[str, str]]:
    """Make files that hold no split, each with the error that reading it gives."""
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    with (folder / "sparse.yaml").open("wb") as file:
        file.truncate(10 * 2**30)
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    (folder / "zero.yaml").symlink_to("/dev/zero")
    (folder / "latin.yaml").write_bytes(b"name: \xe4\n")
    errors = {"pipe": "UsageError", "folder": "UsageError", "sparse": "SplitError", "loop": "UsageError"}
    errors |= {"zero": "UsageError", "latin": "SplitError", "absent": "UsageError", "a" * 9000: "UsageError"}
    return {name[:20]: (str(folder / f"{name}.yaml"), error) for name, error in errors.items()}


def said_of(text: str) -> str:
    """What the error says of a text; "" where it is read."""
    try:
        SplitSpec.from_yaml(text)
    except Exception as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    """Try every input under a limit of memory and print what became of each."""
    files = make_files(folder)
    SplitSpec.from_yaml(BLOCKS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit_memory()
    texts = {name: (*outcome(SplitSpec.from_yaml, text), said_of(text)) for name, (text, _) in TEXTS.items()}
    read = {name: (*outcome(split_spec, path), error) for name, (path, error) in files.items()}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"texts": texts, "files": read, "memory": (after - before) * 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
