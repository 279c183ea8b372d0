"""A model's answers to the windows of a loader, and those of its baselines, as plain arrays to be judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from poyodata.errors import ModelError, nearest
from poyodata.models.batches import Batches, ModelBatches, shown_names, to_device
from poyodata.models.evaluation.baselines import (
    FRAME_IDS,
    LINEAR,
    NO_LINEAR,
    choose_bins,
    make_baselines,
    require_trained,
)
from poyodata.models.evaluation.frames import mark_seen, seen_in_training
from poyodata.models.evaluation.judging import Comparison
from poyodata.models.evaluation.labels import Labels, labels_of
from poyodata.models.evaluation.responses import BINS, read_responses
from poyodata.models.evaluation.stitching import Answers, concatenate, stitch
from poyodata.models.poyo import PoyoPlus
from poyodata.models.tasks import Task

CHOOSING_RECORDINGS = 8
"""Recordings whose training windows choose how many parts of a window linear decoders read."""


def evaluate(model: PoyoPlus, loader: Batches, *, task: str | None = None, logits: bool = False) -> pd.DataFrame:
    """Answers of a model to every labelled window of a loader; the model and the random state stay as they are.

    Parameters
    ----------
    model : PoyoPlus
        Must have a row for every neuron and recording of the loader.
    loader : iterable of batch
        One pass over it is taken, as its epoch 0.
    task : str, optional
        A task of classes or values; by default the model's first. Of pictures, take `answer`.
    logits : bool
        Whether columns ``logit_0`` and on are added, of classes.

    Returns
    -------
    DataFrame
        Columns session_id, trial, start_frame, target, prediction, sorted by session and start_frame (of an answer to
        one frame of a window, that frame). Values of more than one number have columns target_0, ... Windows without
        a target (blank sweeps) have no row.

    Raises
    ------
    ModelError
        If no window has a target, or a neuron has no row in the model.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> batch = {
    ...     "values": torch.zeros(2, 1, 60), "neuron_index": torch.ones(2, 1, dtype=torch.int64),
    ...     "neuron_mask": torch.ones(2, 1, dtype=torch.bool), "session_index": torch.zeros(2, dtype=torch.int64),
    ...     "direction": torch.tensor([3, -1]), "trial": torch.tensor([0, 1]), "start_frame": torch.tensor([8, 99]),
    ... }
    >>> evaluate(model, [batch])[["session_id", "trial", "target"]].values.tolist()
    [['a', 0, 3]]
    """
    asked = _task(model, task)
    if asked.kind == "image":
        raise ModelError(f"answers to {asked.name!r} are pictures and fit no table; take `answer` in place of it")
    each = _each(model, loader, asked)
    found = concatenate([part for _, part in each])
    trial = np.concatenate([labels.window_trial for labels, _ in each])
    start = np.concatenate([labels.frame if asked.at == "frames" else labels.frame - labels.at for labels, _ in each])
    table = pd.DataFrame({"session_id": found.session_id, "trial": trial, "start_frame": start})
    if found.kind == "class":
        table["target"], table["prediction"] = found.target, found.prediction
        if logits:
            table[[f"logit_{i}" for i in range(found.output.shape[1])]] = found.output
    else:
        for name, values in (("target", found.target), ("prediction", found.output)):
            for i in range(values.shape[1]):
                table[name if values.shape[1] == 1 else f"{name}_{i}"] = values[:, i]
    return table.sort_values(["session_id", "start_frame"], kind="stable", ignore_index=True)


def answer(model: PoyoPlus, loader: Batches, task: str | None = None) -> Answers:
    """Answers of a model to a task in every labelled window or frame of a loader, stitched.

    Classes, values and pictures; windows of trials, fixed ones that overlap, and windows of one frame. Values come in
    the units of the target. Pictures take 8 bytes a pixel and answer: 0.5 GB for 900 frames of 64 x 128 in ten
    recordings.

    Parameters
    ----------
    model : PoyoPlus
        Must have a row for every neuron and recording of the loader.
    loader : iterable of batch
        One pass over it is taken, as its epoch 0.
    task : str, optional
        By default the model's first.

    Returns
    -------
    Answers

    Raises
    ------
    ModelError
        If no window has a target, or a neuron has no row in the model.
    """
    return stitch(concatenate([part for _, part in _each(model, loader, _task(model, task))]))


def compare(
    model: PoyoPlus,
    train: Batches,
    test: Batches,
    task: str | None = None,
    *,
    bins: int | None = None,
    seed: int = 0,
    also_shown: npt.ArrayLike | None = (),
) -> Comparison:
    """Answers of a model and of every baseline to the same windows, ready to be judged.

    Parameters
    ----------
    model : PoyoPlus
    train : iterable of batch
        Windows that the baselines are fitted on, without jitter or dropped neurons: those that the model learnt from.
    test : iterable of batch
        Windows to answer.
    task : str, optional
        By default the model's first.
    bins : int, optional
        Parts of a window of which the decoders beside the model read the means; see `read_responses`. By default
        training windows choose among 1, 2, 4, 8 and 16 (`baselines.choose_bins`), those of the first 8 recordings.
    seed : int
        Of the frames that are drawn at random.
    also_shown : array-like of integer, or None
        Ids of pictures that any stage of training showed, beside those of `train`. None where they are not known: it
        is then not known either which pictures of the test were seen, unless `train` has all of them.

    Returns
    -------
    Comparison
        Answers to pictures know which of them training showed, from the ids in `train` and `also_shown`. Its notes say
        what the decoders beside the model read.

    Raises
    ------
    ModelError
        If a loader has no target, or a recording of the test has no training windows, or other neurons in them.
    """
    asked = _task(model, task)
    numbers = _Numbers.of(model, train, test)
    names = tuple(numbers.sessions)
    read = 1 if bins is None else bins
    notes: tuple[str, ...] = ()
    if asked.at != "frames":
        told = ""
        if bins is None:
            finest = read_responses(numbers.batches(train), asked, names, bins=None, recordings=CHOOSING_RECORDINGS)
            read, told = choose_bins(finest), f", which training windows chose among {_listed(BINS)}"
        parts = "the mean over each window" if read == 1 else f"the means of {read} parts of each window"
        notes = (f"{asked.name}: the decoders beside the model read {parts}{told}.",)
    known, tested = (read_responses(numbers.batches(loader), asked, names, bins=read) for loader in (train, test))
    require_trained(known, tested)
    answers = answer(model, test, asked.name)
    shown = [one.shown for one in known.values()]
    if answers.shown is not None and all(ids is not None for ids in shown):
        earlier = np.asarray(() if also_shown is None else also_shown, np.int64)
        marked = mark_seen(answers, np.concatenate([earlier, *(ids for ids in shown if ids is not None)]))
        seen = seen_in_training(marked)
        if also_shown is not None or (seen is not None and seen.all_seen):
            answers = marked
    n_classes = answers.output.shape[1] if asked.kind == "class" else None
    baselines = make_baselines(known, tested, n_classes=n_classes, seed=seed)
    if asked.name == FRAME_IDS and LINEAR not in [one.name for one in baselines]:
        notes = (*notes, f"{asked.name}: {NO_LINEAR}")
    return Comparison(answers, baselines, notes)


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(str(one) for one in numbers[:-1])} and {numbers[-1]}"


def _task(model: PoyoPlus, name: str | None) -> Task:
    known: Sequence[Task] = model.tasks
    if name is None:
        return known[0]
    for task in known:
        if task.name == name:
            return task
    raise ModelError(f"the model has no task {name!r}: {nearest(name, [task.name for task in known])}")


@dataclass(frozen=True)
class _Numbers:
    """One number for each name of several loaders: the model's row where it has one, else a number beyond them.

    Two loaders may number the same neurons differently, and a decoder reads both.
    """

    neurons: Mapping[str, int]
    sessions: Mapping[str, int]

    @classmethod
    def of(cls, model: PoyoPlus, *loaders: Batches) -> _Numbers:
        """Those of the model and of every loader that names what it serves."""
        shown = [shown_names(loader) for loader in loaders]
        neurons: list[str] = [*model.neuron_ids]
        sessions: list[str] = [*model.session_ids]
        for loader, its in zip(loaders, shown, strict=True):
            if its.named:
                neurons += getattr(loader, "neuron_ids", ())
                sessions += getattr(loader, "session_ids", ())
        return cls(
            {name: 1 + at for at, name in enumerate(dict.fromkeys(map(str, neurons)))},
            {name: at for at, name in enumerate(dict.fromkeys(map(str, sessions)))},
        )

    def batches(self, loader: Batches) -> Iterator[dict[str, Any]]:
        """One pass over a loader, as arrays; a plain iterable is taken to use the model's rows."""
        named: Any = loader if shown_names(loader).named else None
        neurons = sessions = None
        if named is not None:
            neurons = np.array([0, *(self.neurons[str(name)] for name in named.neuron_ids)], np.int64)
            sessions = np.array([self.sessions[str(name)] for name in named.session_ids], np.int64)
        set_epoch = getattr(loader, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(0)
        for batch in loader:
            found = {name: value.cpu().numpy() for name, value in batch.items() if isinstance(value, Tensor)}
            if neurons is not None and sessions is not None:
                found["neuron_index"] = neurons[found["neuron_index"]]
                found["session_index"] = sessions[found["session_index"]]
            yield found


def _each(model: PoyoPlus, loader: Batches, task: Task) -> list[tuple[Labels, Answers]]:
    """Labels and answers of every batch that has labelled windows."""
    device = next(model.parameters()).device
    found: list[tuple[Labels, Answers]] = []
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in ModelBatches(loader, model).epoch(0):
                labels = labels_of({name: value.cpu().numpy() for name, value in batch.items()}, task)
                if labels is not None and len(labels.window):
                    outputs = model(to_device(batch, device), tasks=(task.name,))[task.name].float().cpu().numpy()
                    found.append((labels, _answers(task, labels, outputs, model)))
    finally:
        model.train(was_training)
    if not found:
        what = "a direction" if task.name == "direction" else f"a target of {task.name!r} ({', '.join(task.columns)})"
        raise ModelError(
            f"no window of the loader has {what}; choose a role and a stimulus that has labelled trials, and give the "
            "loader that target"
        )
    return found


def _answers(task: Task, labels: Labels, outputs: npt.NDArray[Any], model: PoyoPlus) -> Answers:
    output = outputs[labels.window, labels.at] if task.at == "frames" else outputs[labels.window]
    if task.kind == "value" and task.std:
        output = output * np.asarray(task.std) + np.asarray(task.mean)
    return Answers(
        task.name,
        task.kind,
        np.array([model.session_ids[i] for i in labels.session.tolist()], dtype=object),
        labels.trial,
        labels.frame,
        labels.target,
        output,
        labels.shown,
    )
