"""The commands under ``train``: what they print, how they end, and what they say to bad input."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poyodata.cli import training
from poyodata.curation import Manifest, c, load_diet
from poyodata.models.recipes import TrainingRecipe, known_recipes, load_recipe
from poyodata.models.training import TrainConfig, loggers, stages
from poyodata.models.training.lesson import Lesson
from poyodata.store import StoreWriter, open_store
from tests.cli.conftest import Program

SMALL = ("--set", "train.steps=2", "--set", "batch_size=8", "--set", "model.dim=16", "--set", "model.dim_head=8")
QUIET = ("--logger", "none", "--accelerator", "cpu")


@pytest.fixture(scope="module")
def eaten(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of all neurons of the world `tiny` during gratings."""
    folder = tmp_path_factory.mktemp("eaten") / "all"
    load_diet("all").during(c.stimulus == "drifting_gratings").resolve(open_store(tiny_store_path)).save(folder)
    return folder


@pytest.mark.slow
def test_the_road_by_single_commands(program: Program, eaten: Path, tiny_store_path: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "pretrained", tmp_path / "tuned"
    status, out, err = program("train", "pretrain", "all", tiny_store_path, "--out", first, *SMALL, *QUIET, "--json")
    assert status == 0
    facts = json.loads(out)
    assert (facts["steps"], facts["stage"]) == (2, "pretrain")
    # A diet that says nothing of time is resolved on the recipe's stimulus: here what the manifest says by itself.
    assert facts["lineage"][0]["manifest_digest"] == Manifest.load(eaten).digest
    # The recipe is printed in full, and is the one that the run keeps.
    printed = err[err.index("training: 1") : err.index("# the model")]
    kept = TrainingRecipe.from_yaml(first / "stages" / "0-pretrain" / "recipe.yaml")
    assert TrainingRecipe.from_yaml(printed) == kept == load_recipe("small-pretrain", [s for s in SMALL if "=" in s])
    status, out, _ = program(
        "train", "finetune", eaten, tiny_store_path, "--from", first, "--out", second, *SMALL, *QUIET
    )
    assert status == 0
    assert f"poyodata train evaluate {second}" in out
    status, out, _ = program("train", "evaluate", second, tiny_store_path, "--accelerator", "cpu", "--json")
    assert status == 0
    facts = json.loads(out)
    assert [entry["name"] for entry in facts["lineage"]] == ["pretrain", "finetune", "evaluate"]
    assert facts["leaks"]["ok"] is True
    assert any("chose among 1, 2, 4, 8 and 16" in line for line in facts["remarks"])
    status, out, _ = program("train", "evaluate", second, tiny_store_path, "--accelerator", "cpu", "--bins", "3")
    assert status == 0
    for word in ("chance", "linear", "accuracy", "Results:"):
        assert word in out
    assert "the means of 3 parts of each window" in " ".join(out.split())
    status, out, _ = program("train", "finetune", "--resume", second, "--accelerator", "cpu", "--json")
    assert status == 0
    assert json.loads(out)["steps"] == 2


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(
    program: Program, eaten: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    status, out, _ = program("train", "pretrain", eaten, tiny_store_path, "--out", tmp_path / "r", *SMALL, "--dry-run")
    assert status == 0
    assert not (tmp_path / "r").exists()
    for part in ("training: 1", "learns from", "parameters", "steps", "tokens", "memory", "validation", "no leak"):
        assert part in out
    status, out, _ = program("train", "pretrain", eaten, tiny_store_path, *SMALL, "--dry-run", "--json")
    assert status == 0
    facts = json.loads(out)
    assert facts["plan"]["steps"] == 2
    assert facts["recipe"]["model"]["dim"] == facts["model"]["dim"] == 16
    assert {row["verdict"] for row in facts["leaks"]} <= {"ok", "nothing to check"}


def test_the_paper_is_planned_without_being_allocated(program: Program, eaten: Path, tiny_store_path: Path) -> None:
    arguments = ("train", "pretrain", eaten, tiny_store_path, "--recipe", "legacy-pretrain", "--dry-run", "--json")
    status, out, _ = program(*arguments)
    assert status == 0
    plan = json.loads(out)["plan"]
    # 327,911,982 without rows of neurons and recordings, which are 1,024 wide.
    assert plan["parameters"] - plan["embeddings"] == pytest.approx(327_911_982, abs=1024)
    assert plan["steps"] == 50 * plan["batches"]


def test_recipes_are_listed(program: Program) -> None:
    status, out, _ = program("train", "pretrain", "--list")
    assert status == 0
    assert all(name in out for name in known_recipes())
    status, out, _ = program("train", "finetune", "--list", "--json")
    assert [row["recipe"] for row in json.loads(out)] == list(known_recipes())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["pretrain"], "say what to learn from", id="nothing"),
        pytest.param(["pretrain", "MANIFEST", "STORE"], "--out is missing", id="no-out"),
        pytest.param(
            ["pretrain", "MANIFEST", "STORE", "--out", "r", "--recipe", "small-pretrane"],
            "did you mean 'small-pretrain'",
            id="unknown-recipe",
        ),
        pytest.param(
            ["pretrain", "MANIFEST", "STORE", "--out", "r", "--recipe", "no.yaml"], "no.yaml", id="no-recipe-file"
        ),
        pytest.param(
            ["pretrain", "MANIFEST", "STORE", "--out", "r", "--set", "train.stepps=2"],
            "--set: train.stepps: unknown key; did you mean 'steps'",
            id="misspelt-key",
        ),
        pytest.param(
            ["pretrain", "MANIFEST", "STORE", "--out", "r", "--set", "train.lr=fast"],
            "expected a number",
            id="kind-of-a-value",
        ),
        pytest.param(["pretrain", "predictabel", "STORE", "--out", "r"], "did you mean", id="unknown-diet"),
        pytest.param(["pretrain", "MANIFEST", "nowhere.zarr", "--out", "r"], "nowhere.zarr", id="no-store"),
        pytest.param(["pretrain", "MANIFEST", "STORE", "--out", "r", "--fold", "1"], "leave out", id="fold"),
        pytest.param(
            ["pretrain", "MANIFEST", "STORE", "--out", "r", "--recipe", "small-finetune"],
            "is of stage finetune",
            id="recipe-of-the-other-stage",
        ),
        pytest.param(["pretrain", "MANIFEST", "STORE", "--out", "FULL"], "is not empty", id="folder-holds-something"),
        pytest.param(
            ["pretrain", "MANIFEST", "STORE", "--out", "r", "--logger", "tensorbord"],
            "did you mean 'tensorboard'",
            id="logger",
        ),
        pytest.param(["finetune", "MANIFEST", "STORE", "--from", "r", "--out", "t"], "holds no run", id="from-nothing"),
        pytest.param(["pretrain", "--resume", "nowhere"], "holds no run", id="resume-of-nothing"),
        pytest.param(["pretrain", "--resume", "r", "--out", "t"], "and --out came with it", id="resume-and-out"),
        pytest.param(
            ["pretrain", "MANIFEST", "STORE", "--resume", "r"], "give nothing beside it", id="resume-and-diet"
        ),
        pytest.param(
            ["finetune", "--resume", "r", "--recipe", "small-finetune"], "and --recipe came", id="resume-and-recipe"
        ),
        pytest.param(
            ["pretrain", "--resume", "r", "--devices", "1", "--nodes", "1", "--fold", "0", "--set", "seed=1"],
            "--set, --fold, --devices, --nodes came with it",
            id="resume-and-the-usual-values",
        ),
        pytest.param(["finetune", "--resume", "r", "--from", "t"], "and --from came", id="resume-and-from"),
        pytest.param(["evaluate", "nowhere", "STORE"], "holds no run", id="evaluate-nothing"),
        pytest.param(["evaluate", "nowhere", "STORE", "--fold", "1"], "--on", id="evaluate-fold"),
    ],
)
def test_wrong_calls(
    program: Program,
    eaten: Path,
    tiny_store_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    places = {"STORE": tiny_store_path, "MANIFEST": eaten, "FULL": "full"}
    status, out, err = program("train", *(places.get(word, word) for word in arguments))
    assert status == 2
    assert said in " ".join(err.split())
    assert "Traceback" not in err
    assert not out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(["model.tasks=[running]"], "task 'running' reads 'running'", id="missing-target"),
        pytest.param(["stimulus=natural_movie_one"], "has windows of drifting_gratings", id="stimulus"),
        pytest.param(["loader.windows.window_s=400"], "window", id="no-window-fits"),
        pytest.param(["train.monitor=accuracy"], "no 'accuracy' to monitor", id="monitor"),
    ],
)
def test_what_does_not_fit_ends_with_one(
    program: Program, eaten: Path, tiny_store_path: Path, tmp_path: Path, settings: list[str], said: str
) -> None:
    given = [word for setting in settings for word in ("--set", setting)]
    status, out, err = program("train", "pretrain", eaten, tiny_store_path, "--out", tmp_path / "r", *given)
    assert status == 1
    assert said in err
    assert "Traceback" not in err
    assert not out
    assert not (tmp_path / "r").exists()
    assert program("train", "pretrain", eaten, tiny_store_path, "--dry-run", *given)[0] == 1


def test_another_store_is_refused(program: Program, eaten: Path, tmp_path: Path) -> None:
    StoreWriter(tmp_path / "other.zarr").close()
    status, _, err = program("train", "pretrain", eaten, tmp_path / "other.zarr", "--out", tmp_path / "r")
    assert status == 1
    assert "store" in err
    assert "Traceback" not in err
    assert not (tmp_path / "r").exists()


def test_a_recipe_with_problems_ends_with_one_and_names_every_line(
    program: Program, eaten: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    text = known_recipes()["small-pretrain"].replace("batch_size:", "batch_siz:").replace("steps: 500", "steps: many")
    file.write_text(text)
    status, out, err = program("train", "pretrain", eaten, tiny_store_path, "--recipe", file, "--dry-run")
    assert status == 1
    assert not out
    assert "did you mean 'batch_size'" in err
    assert "expected a whole number, got 'many'" in err
    assert err.count("mine.yaml:") >= 2


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("number", "status"), [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="TERM")]
)
def test_a_run_that_is_stopped_says_how_to_go_on(
    program: Program,
    eaten: Path,
    tiny_store_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    status: int,
) -> None:
    step, folder = Lesson.training_step, tmp_path / "r"

    def stopped(self: Lesson, *batch: Any) -> Any:
        if self.course.step == 2:
            signal.raise_signal(number)
        return step(self, *batch)

    monkeypatch.setattr(Lesson, "training_step", stopped)
    small = [*SMALL, "--set", "train.steps=5", "--set", "train.log_every=1"][2:]
    found, out, err = program("train", "pretrain", eaten, tiny_store_path, "--out", folder, *small, *QUIET)
    assert (found, out) == (status, "")
    assert err.endswith(f"poyodata: stopped; go on with: poyodata train pretrain --resume {folder}\n")
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + 3
    monkeypatch.setattr(Lesson, "training_step", step)
    # Whoever is told may change: here one whose package this machine lacks.
    config = json.loads((folder / "config.json").read_text())
    config["train"]["loggers"] = ["wandb"]
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setitem(loggers._PACKAGES, "wandb", "no_such_package")
    found, _, err = program("train", "pretrain", "--resume", folder, "--accelerator", "cpu")
    assert found == 1
    assert "the logger 'wandb' needs no_such_package" in err
    found, out, _ = program("train", "pretrain", "--resume", folder, "--json", *QUIET)
    assert found == 0
    assert json.loads(out)["steps"] == 5


def test_who_interrupts_before_there_is_a_run_begins_anew(
    program: Program, eaten: Path, tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: stages.Prepared) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages.Prepared, "model", interrupted)
    status, _, err = program("train", "pretrain", eaten, tiny_store_path, "--out", tmp_path / "r", *SMALL, *QUIET)
    assert status == 130
    assert "Run the same command again" in err
    assert not (tmp_path / "r").exists()


def test_of_several_processes_the_first_reports(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(config=TrainConfig(devices=2, accelerator="cpu"))
    done: Any = SimpleNamespace(run=run, facts={"steps": 2}, text=lambda: "2 steps")
    for rank, said in (("1", ""), ("0", "2 steps\n")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        training._report(done, as_json=False)
        assert capsys.readouterr().out == said


@pytest.mark.parametrize("command", ["pretrain", "finetune", "evaluate"])
def test_help_has_an_example(program: Program, command: str) -> None:
    status, out, _ = program("train", command, "--help")
    assert status == 0
    assert f"Example: poyodata train {command}" in " ".join(out.split())
