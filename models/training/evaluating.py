"""`evaluate`: a run on windows that no stage of it has seen, beside simple decoders of the same windows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from poyodata.curation.leaks.report import LeakReport
from poyodata.curation.manifest import Manifest
from poyodata.errors import ModelError, UsageError
from poyodata.loaders.loader import Loader
from poyodata.loaders.make import make_loader
from poyodata.loaders.recipe import Recipe, SamplingChoice
from poyodata.loaders.targets.target import make_targets
from poyodata.models.evaluation.answers import compare
from poyodata.models.evaluation.judging import Comparison, Movie, judge, pool
from poyodata.models.evaluation.result import Result
from poyodata.models.evaluation.stitching import Answers
from poyodata.models.tasks import Task
from poyodata.models.training.ancestry import Ancestry
from poyodata.models.training.arguments import PATH, require_kinds, require_whole
from poyodata.models.training.classes import feature_vocabularies, with_classes
from poyodata.models.training.demands import feature_columns
from poyodata.models.training.known import learnt_part, tested_part
from poyodata.models.training.lineage import added, lineage_of, to_json
from poyodata.models.training.past_stages import normalisation_of_stages, shown_by_stages
from poyodata.models.training.preparing import Accelerator
from poyodata.models.training.runs import chosen_checkpoint, load_model
from poyodata.replacing import replacing
from poyodata.splits.movie_segments import cut_movie
from poyodata.splits.within import MovieSegments
from poyodata.store import Store

Role = Literal["test", "valid"]


@dataclass(frozen=True, eq=False)
class Tested:
    """What a test judged: the answers of a model and of its baselines, and what is known of recordings and movie.

    Attributes
    ----------
    comparison : Comparison
    donor : mapping of str to str
        Of every recording of which it is known.
    movie : Movie or None
    """

    comparison: Comparison
    donor: Mapping[str, str]
    movie: Movie | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a test found, and where it was written.

    Attributes
    ----------
    folder : Path
        With ``result.json``, a table for each task (``<task>.csv``) and its answers (``<task>.parquet``; of pictures
        ``<task>.npz``).
    results : mapping of str to Result
        By task.
    facts : dict
        What ``result.json`` holds: the run, its lineage, the leak report and the results.
    leaks : LeakReport or None
    tested : mapping of str to Tested
        What was judged, by task: `pool_folds` judges that of several folds as one.
    """

    folder: Path
    results: Mapping[str, Result]
    facts: Mapping[str, Any]
    leaks: LeakReport | None
    tested: Mapping[str, Tested]

    def table(self) -> pd.DataFrame:
        """All results under one another, with a column ``task``."""
        return pd.concat([one.table.assign(task=name) for name, one in self.results.items()], ignore_index=True)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be known of the numbers: leaks that were allowed first, then the verdict on each task."""
        return tuple(self.facts["remarks"])


def evaluate(
    store: Store,
    manifest: Manifest,
    run: str | Path,
    *,
    role: Role = "test",
    out: str | Path | None = None,
    allow_leakage: str | None = None,
    accelerator: Accelerator = "auto",
    bins: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Test a run on the windows of a role, and write what came of it.

    The model is the run's best checkpoint, where a validation chose one, else the last. Beside it stand chance and the
    baselines of each task, fitted on the training windows of the same manifest as the model saw them, without jitter
    and with all neurons; of held-out animals, on the windows that identify them. Traces are normalised as in training;
    the remarks say so where neurons are new. A picture counts as seen where the train or valid windows of any stage
    showed it.

    Parameters
    ----------
    store : Store
    manifest : Manifest
        What is tested on. Recordings whose neurons no stage trained are left out, and the result says how many.
    run : path
        Folder of the run.
    role : {"test", "valid"}
        Windows of ``valid`` chose the checkpoint: the result says so.
    out : path, optional
        Folder of the result; by default ``results/`` of the run. What an earlier test of the same windows wrote is
        replaced.
    allow_leakage : str, optional
        A reason to go on although a test window was seen.
    accelerator : {"auto", "cpu", "gpu"}
    bins : int, optional
        Parts of a window of which the decoders beside the model read the means. By default training windows choose
        among 1, 2, 4, 8 and 16, task by task, and the result says how many.
    seed : int
        Of the frames that are drawn at random, and of the intervals.

    Returns
    -------
    Evaluation

    Raises
    ------
    UsageError
        An argument is not of its kind, or the manifest has no windows of the role.
    LeakError
        A test window was seen by a stage of the lineage, and no reason is given.
    ModelError
        The folder holds no run that came to its end, no stage trained any neuron that is tested, or the model has no
        answer for a task.
    """
    require_kinds(
        store=(store, Store),
        manifest=(manifest, Manifest),
        run=(run, PATH),
        out=(out, (*PATH, type(None))),
        allow_leakage=(allow_leakage, (str, type(None))),
    )
    if role not in get_args(Role):
        raise UsageError(f"role is {role!r}; only windows of role test or valid are tested, others are learnt from.")
    if accelerator not in get_args(Accelerator):
        raise UsageError(f"accelerator is {accelerator!r}; give auto, cpu or gpu.")
    bins, seed = None if bins is None else require_whole("bins", bins, 1), require_whole("seed", seed, 0)
    ancestry = Ancestry.load(Path(run))
    folder = _folder(Path(run) / "results" / f"{role}-{manifest.digest[:12]}" if out is None else Path(out))
    if role not in manifest.roles:
        raise UsageError(
            f"manifest {manifest.name!r} has no windows of role {role!r}; it has {', '.join(manifest.roles)}."
        )
    leaks = ancestry.check(manifest, allow_leakage=allow_leakage) if role == "test" else None
    model = load_model(run, ancestry, best=True).to(_device(accelerator))
    asked = manifest
    manifest, left_out = tested_part(manifest, role, model)
    recipe = ancestry.stages[-1].recipe
    shown = with_classes(_as_shown(recipe.loader, store, manifest), model.classes)
    columns = feature_columns(model.config.features)
    learning, learnt, of_both = learnt_part(manifest, role)
    windows = learning.windows
    read = set(windows.loc[windows["role"].isin([learnt, role]), "session_id"].astype(str))
    as_before, remark = normalisation_of_stages(store, ancestry, manifest, shown, read)
    load = partial(
        make_loader,
        store,
        learning,
        recipe=shown,
        batch_size=recipe.batch_size,
        seed=seed,
        neuron_columns=columns,
        vocabulary=feature_vocabularies(model.classes, columns),
    )
    train = load(learnt, normalise=as_before)
    tested = load(role, normalise=train.normalisation if shown.normalise else None)
    donor = _donors(store, tested)
    earlier = shown_by_stages(ancestry, manifest, role)
    results: dict[str, Result] = {}
    judged: dict[str, Tested] = {}
    for task in model.tasks:
        found = compare(model, train, tested, task.name, bins=bins, seed=seed, also_shown=earlier)
        movie = _movie(store, manifest, tested, task)
        results[task.name] = judge(found, donor=donor, movie=movie, seed=seed)
        judged[task.name] = Tested(found, donor, movie)
    lineage = added(lineage_of(model), "evaluate", asked.digest, {"role": role, "bins": bins, "seed": seed})
    remarks = [one for one in (left_out, of_both, remark) if one]
    facts = _facts(run, ancestry, asked, role, leaks, allow_leakage, results, remarks) | {"lineage": to_json(lineage)}
    _write(folder, facts, results, {name: one.comparison.answers for name, one in judged.items()})
    return Evaluation(folder, results, facts, leaks, judged)


def pool_folds(folds: Sequence[Evaluation], *, seed: int = 0) -> dict[str, Result]:
    """Judge the tests of several folds as one test of every window, each answered by the model that never saw it.

    Parameters
    ----------
    folds : sequence of Evaluation
        Of runs with the same tasks, one a fold.
    seed : int
        Of the intervals.

    Returns
    -------
    dict of str to Result
        By task. What must be known of a fold (leaks that were allowed, or that it is no test) stands first in the
        sentences of each.

    Raises
    ------
    UsageError
        What is given is no sequence of evaluations.
    ModelError
        There is no fold, folds have different tasks or baselines, or two of them answer the same trial or frame.
    """
    require_kinds(folds=(folds, Sequence))
    for one in folds:
        require_kinds(folds=(one, Evaluation))
    if not folds:
        raise ModelError("there are no folds to pool; give the evaluation of each.")
    tasks = [sorted(one.tested) for one in folds]
    if any(names != tasks[0] for names in tasks):
        raise ModelError(f"folds have different tasks: {tasks}; give evaluations of one recipe.")
    results: dict[str, Result] = {}
    for name, first in folds[0].tested.items():
        parts = [one.tested[name] for one in folds]
        known = {name: donor for one in parts for name, donor in one.donor.items()}
        whole = pool([one.comparison for one in parts])
        result = judge(whole, donor=known, movie=first.movie, seed=seed)
        results[name] = replace(result, sentences=(*_cautions(folds), *result.sentences))
    return results


def _cautions(folds: Sequence[Evaluation]) -> list[str]:
    """What the remarks of folds say beside the verdicts on their tasks."""
    verdicts = {line for one in folds for result in one.results.values() for line in result.sentences}
    return list(dict.fromkeys(line for one in folds for line in one.remarks if line not in verdicts))


def _donors(store: Store, loader: Loader) -> dict[str, str]:
    """Donor of every recording of which it is known."""
    known = store.sessions.set_index("session_id")["donor_id"].reindex(list(loader.session_ids)).dropna()
    return {str(key): str(donor) for key, donor in known.items() if str(donor)}


def _folder(folder: Path) -> Path:
    """Give the folder of a result, before anything is computed for it."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if there.exists() and not there.is_dir():
        raise UsageError(f"{str(there)!r} is a file; name a folder for the result.")
    return folder


def _device(accelerator: str) -> str:
    import torch

    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ModelError("there is no GPU that torch can use here; choose the accelerator cpu or auto.")
    return "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def _as_shown(recipe: Recipe, store: Store, manifest: Manifest) -> Recipe:
    """Give a recipe without what is random, in time order, and with ids of pictures beside pixels."""
    targets = dict(recipe.targets)
    for name, options in recipe.targets.items():
        if options.get("target", name) == "movie":
            (target,) = make_targets({name: options}, manifest.open(store))
            # Frames of a movie or scenes: only the target knows which.
            kind = getattr(target, "kind", "movie_frame")
            targets.setdefault(kind, {option: options[option] for option in ("at", "stimulus") if option in options})
            break
    windows = replace(recipe.windows, random_phase=False) if recipe.windows.mode == "fixed" else recipe.windows
    still = tuple(one for one in recipe.transforms if not one.training_only)
    order = SamplingChoice(shuffle=False)
    return replace(recipe, targets=targets, windows=windows, transforms=still, sampling=order, masks=None)


def _movie(store: Store, manifest: Manifest, loader: Loader, task: Task) -> Movie | None:
    """Frames of the movie that a task is of, and where the split cuts it."""
    if task.kind != "image" and task.name != "movie_frame":
        return None
    target = next((one for one in loader.targets if task.columns[0] in one.columns), None)
    # Ids of scenes are no times: no frame is named to within 1 s among them.
    of_movie = task.kind == "image" and getattr(target, "kind", "movie_frame") == "movie_frame"
    frames = getattr(target, "frames", None) if of_movie else None
    return Movie(frames, _segment_starts(store, manifest))


def _segment_starts(store: Store, manifest: Manifest) -> Any:
    within = manifest.meta["split"]["spec"].get("within") or {}
    if within.get("kind") != "movie-segments":
        return None
    windows = manifest.windows
    movies = sorted({str(name) for name in windows.loc[windows["movie_frame"] >= 0, "stimulus"].unique()})
    if len(movies) != 1:
        return None
    rule = MovieSegments(**within)
    return cut_movie(store.movie(movies[0]), rule.segments, rule.cut_factor).starts


def _facts(
    run: str | Path,
    ancestry: Ancestry,
    manifest: Manifest,
    role: str,
    leaks: LeakReport | None,
    allow_leakage: str | None,
    results: Mapping[str, Result],
    notes: Sequence[str],
) -> dict[str, Any]:
    allowed = "; ".join(dict.fromkeys([*ancestry.reasons, *([allow_leakage] if allow_leakage else [])]))
    remarks: list[str] = []
    if leaks is None:
        remarks.append(f"Windows of role {role!r} chose the checkpoint or the settings: this is no test.")
    elif not leaks.ok:
        remarks.append(
            f"LEAKS, allowed ({leaks.allow_leakage}): "
            + "; ".join(f"{one.check} [{one.stages}] {one.found} of {one.checked}" for one in leaks.leaks)
        )
    remarks += notes
    for one in results.values():
        remarks += one.sentences
    checkpoint, step = chosen_checkpoint(run, best=True)
    table = [] if leaks is None else json.loads(leaks.table().to_json(orient="records"))
    return {
        "format": 1,
        "run": str(run),
        "checkpoint": {"file": checkpoint.name, "step": step},
        "stages": ancestry.facts,
        "manifest": manifest.name,
        "manifest_digest": manifest.digest,
        "store_digest": manifest.store_digest,
        "role": role,
        "leaks": {"ok": None if leaks is None else leaks.ok, "allow_leakage": allowed or None, "checks": table},
        "results": {name: json.loads(one.to_json()) for name, one in results.items()},
        "remarks": remarks,
    }


def _write(
    folder: Path, facts: Mapping[str, Any], results: Mapping[str, Result], answers: Mapping[str, Answers]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in results.items():
        with replacing(folder / f"{name}.csv") as partial:
            one.table.to_csv(partial, index=False)
        _write_answers(folder, answers[name])
    # Last of all: a folder with a result.json holds a whole test.
    with replacing(folder / "result.json") as partial:
        partial.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_answers(folder: Path, answers: Answers) -> None:
    """Write what was answered, by recording and integer trial or frame."""
    table = pd.DataFrame({"session_id": answers.session_id.astype(str), "trial": answers.trial, "frame": answers.frame})
    if answers.shown is not None:
        table["shown"] = answers.shown
    if answers.kind == "image":
        columns: dict[str, Any] = {str(name): values.to_numpy() for name, values in table.items()}
        columns["session_id"] = answers.session_id.astype(str)
        columns |= {"output": answers.output.astype(np.float16), "target": answers.target.astype(np.float16)}
        with replacing(folder / f"{answers.task}.npz") as partial, partial.open("wb") as file:
            np.savez_compressed(file, **columns)
        return
    if answers.kind == "class":
        table["target"], table["prediction"] = answers.target, answers.prediction
    else:
        for name, values in (("target", answers.target), ("prediction", answers.output)):
            for at in range(values.shape[1]):
                table[name if values.shape[1] == 1 else f"{name}_{at}"] = values[:, at]
    with replacing(folder / f"{answers.task}.parquet") as partial:
        table.to_parquet(partial, index=False)
