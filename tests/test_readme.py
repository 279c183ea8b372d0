"""What the README shows must run as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from poyodata.curation import Diet, load_diet
from poyodata.store import Store

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


def block(language: str) -> str:
    return next(text for name, text in BLOCKS if name == language)


def test_it_opens_with_exactly_two_commands() -> None:
    first = next(text for name, text in BLOCKS if name == "")
    assert first.split("\n") == ["make demo", "make test", ""]


def test_the_six_lines_are_the_preset(tiny_store: Store) -> None:
    text = block("yaml")
    assert len(text.strip().split("\n")) == 6
    shown = Diet.from_yaml(text).resolve(tiny_store)
    preset = (
        load_diet("predictable").during("stimulus == 'drifting_gratings'").resolve(tiny_store, split="blocks-5fold")
    )
    assert shown.digest == preset.digest


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((Path(__file__).parents[1] / picture).exists() for picture in pictures)


@pytest.mark.slow
def test_the_notebook_code_runs(tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = block("python").replace("demo/store.zarr", str(tiny_store_path)).replace("steps=500", "steps=2")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own README
    assert (tmp_path / "predictable" / "manifest.json").exists()
    assert names["run"].steps == 2  # type: ignore[attr-defined]
