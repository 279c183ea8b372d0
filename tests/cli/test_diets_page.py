"""docs/diets.md cannot rot: every diet in it resolves, its Python runs, its commands and limits are those there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml

from poyodata.cli import app
from poyodata.curation import Diet
from poyodata.curation.documents.document_keys import DietDocument
from poyodata.curation.language import expressions, rules
from poyodata.curation.language.rules import Rule
from poyodata.curation.language.window_rule import FRAME_COLUMNS, WINDOW_COLUMNS
from poyodata.curation.resolve import SESSION_COLUMNS
from poyodata.curation.selecting import references
from poyodata.documents import plain_text
from poyodata.splits import SPLITS
from poyodata.store import Store, open_store
from tests.cli.conftest import Program

FOLDER = Path(__file__).resolve().parents[2] / "docs"
PAGE = (FOLDER / "diets.md").read_text(encoding="utf-8")


def blocks(language: str) -> dict[str, str]:
    """Blocks of a language by the line on which each begins."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    return {f"line-{PAGE.count(chr(10), 0, block.start()) + 2}": block[1] for block in found}


def whole(text: str) -> str:
    """A whole diet, where the page shows a part of one."""
    return text if "diet: 1\n" in text else f"diet: 1\n{text}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the blocks that begin with the name of a file."""
    folder = tmp_path_factory.mktemp("diets")
    for text in blocks("yaml").values():
        named = re.match(r"# (\S+\.yaml)\n", text)
        if named:
            (folder / named[1]).write_text(text)
    return folder


@pytest.mark.parametrize("text", [pytest.param(text, id=line) for line, text in blocks("yaml").items()])
def test_every_diet_reads_back_and_resolves(text: str, files: Path, tiny_store: Store) -> None:
    file = files / "shown.yaml"
    file.write_text(whole(text))
    diet = Diet.from_yaml(file)
    assert Diet.from_yaml(diet.to_yaml()) == diet
    assert Diet.from_json(diet.to_json()).digest == diet.digest
    assert len(diet.resolve(tiny_store).neurons)


def test_every_operator_and_function_has_an_example() -> None:
    shown = "\n".join(blocks("yaml").values())
    words = {word.__name__.lower() for word in Rule.__args__} - {"everyone", "reference"}
    assert [word for word in (*sorted(words), "all", "diet", "with", "while") if f"{word}:" not in shown + "all:"] == []
    assert [name for name in expressions.FUNCTIONS if f"{name}(" not in shown] == []


def test_the_python_runs(tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "allen.zarr").symlink_to(tiny_store_path)
    names: dict[str, object] = {}
    for line, text in blocks("python").items():
        exec(compile(text, f"diets.md {line}", "exec"), names)  # noqa: S102 - our own page
    assert (tmp_path / "predictable" / "manifest.json").exists()


def shell_lines() -> list[str]:
    """Commands of the page without what stands in for something of the reader's, loops written out."""
    shown = [re.split(r"\s{3,}", line.strip())[0] for line in PAGE.splitlines() if line.startswith("    ")]
    shown += [
        line for line in re.findall(r"`(poyodata diet [^`]+)`", PAGE) if not re.search(r"\b[A-Z]{3,}\b|\.\.\.", line)
    ]
    lines = []
    for line in shown:
        loop = re.match(r"for (\w+) in (.+); do (.+); done$", line)
        if loop:
            lines += [re.sub(rf"\${loop[1]}\b", value, loop[3]) for value in loop[2].split()]
        elif line.startswith("poyodata "):
            lines.append(line)
    return lines


@pytest.mark.slow
def test_the_lines_of_the_shell_run(
    program: Program, files: Path, tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "allen.zarr").symlink_to(tiny_store_path)
    texts = [whole(text) for text in blocks("yaml").values()]
    (tmp_path / "my.yaml").write_text(texts[0])
    (tmp_path / "sweep.yaml").write_text(next(text for text in texts if "name: sweep" in text))
    for file in files.glob("calm*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    assert len(shell_lines()) > 15
    for line in shell_lines():
        arguments = shlex.split(line)[1:]
        if arguments[:2] == ["diet", "diff"]:
            for folder in arguments[2:]:
                Diet.everyone().resolve(open_store(tiny_store_path)).save(folder)
        status, out, err = program(*arguments[: arguments.index(">") if ">" in arguments else None])
        assert status == 0, f"{line}: {out}{err}"
    assert (tmp_path / "my" / "manifest.json").exists()
    assert len(list((tmp_path / "predictable").glob("draw-*"))) == 20
    assert (tmp_path / "sweep-4").is_dir()


def test_commands_and_options_are_there() -> None:
    group = typer.main.get_command(app).commands["diet"]  # type: ignore[attr-defined]
    shown = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
    shown += re.findall(r"`(poyodata [^`]+)`", PAGE)
    calls = [call for line in shown for call in re.findall(r"poyodata diet (.+)", line)]
    assert {call.split()[0] for call in calls} == set(group.commands)
    for call in calls:
        known = {option for one in group.commands[call.split()[0]].params for option in one.opts}
        assert [option for option in re.findall(r"(?<!\w)--[a-z-]+", call) if option not in known] == [], call


def test_every_name_of_the_language_is_told(tiny_store: Store) -> None:
    names = (
        *tiny_store.neurons.columns,
        *DietDocument.model_fields,
        *SESSION_COLUMNS,
        *WINDOW_COLUMNS,
        *FRAME_COLUMNS,
        *rules.COUNTED,
        *SPLITS,
    )
    assert [name for name in names if f"`{name}" not in PAGE and f" {name}" not in PAGE] == []


def test_limits_are_the_code_s() -> None:
    limits = PAGE[PAGE.index("## Limits") :]
    for number in (
        f"{plain_text.MAX_BYTES // 1024} KiB, nested {plain_text.MAX_YAML_DEPTH} levels",
        f"{expressions.MAX_CHARACTERS:,} characters, {expressions.MAX_NODES} parts, nested {expressions.MAX_DEPTH}",
        f"{rules.MAX_RULES}, nested {rules.MAX_RULE_DEPTH} deep",
        f"levels, {plain_text.MAX_ENTRIES:,} entries",
        f"{references.MAX_REFERENCES}, those that they refer to among them, {references.MAX_CHAIN} deep",
        f"{rules.LONGEST_NAME} characters on one line",
        "below 1,000,000",
        "128 ASCII letters",
    ):
        assert number in limits


def test_the_first_block_is_the_readme_s() -> None:
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    first = next(iter(blocks("yaml").values()))
    assert first in readme
    assert len(yaml.safe_load(first)) == len(first.splitlines())
