"""What a model is shown beside: linear decoders on the same data, the train-mean frame, nearest training frames.

An *oracle* is told what the test shows: the training frame nearest to the true one says how good an answer could be
that only repeats training. It is shown, and no gain is ever claimed over it or denied because of it. All others see of
the test what the model sees: the responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.frames import nearest_frames
from poyodata.models.evaluation.responses import BINS, Responses
from poyodata.models.evaluation.stitching import Answers, Integers, concatenate, stitch
from poyodata.models.ridge import MOST_MIXTURES, RidgeDecoder, RidgeRegression, class_targets

ByRecording = Mapping[str, Responses]
Pixels = npt.NDArray[Any]

CHANCE, LINEAR, TRAIN_MEAN = "chance", "linear", "train_mean"
NEAREST_RESPONSE, NEAREST_FRAME_ORACLE = "nearest_response", "nearest_frame_oracle"
FRAME_IDS = "movie_frame"
"""The task that names movie frames by id; ridge onto ids can never name one that training did not show."""
NO_LINEAR = "no linear decoder of frames' ids is shown: it can name known ones alone, and some of the test are new."
"""Why that task may have none, in words."""

MOST_ROWS = 3000
"""Training windows of a recording that choose how many parts of a window a linear decoder reads."""
MOST_AXES = 128
"""Axes of pictures that are looked at for that choice, and for a penalty: those of least variance decide nothing."""
_MOST_VARIED = slice(-MOST_AXES, None)

WORDS: Mapping[str, str] = {
    CHANCE: "chance",
    LINEAR: "the linear decoder",
    TRAIN_MEAN: "the train mean",
    NEAREST_RESPONSE: "the training window with the nearest response",
    NEAREST_FRAME_ORACLE: "the training frame nearest to the true one (an oracle)",
}

KEPT_BYTES = 2**28
"""Answers of a baseline up to this size are kept: some 8,000 pictures of 64 x 128."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """Answers of a baseline to the windows that the model answered.

    Attributes
    ----------
    name : str
        Also the column of a result's table.
    given : Answers, or callable that gives them
        What it gives is kept where it is small, and the training windows that it came from are then let go. Pictures of
        very many windows are made anew each time: those of five baselines need not be in memory at once.
    oracle : bool
        Whether it was told what the test shows.
    """

    name: str
    given: Answers | Callable[[], Answers]
    oracle: bool = False

    @property
    def answers(self) -> Answers:
        """The answers; made anew each time where they are too large to be kept."""
        if isinstance(self.given, Answers):
            return self.given
        made = self.given()
        if made.output.nbytes <= KEPT_BYTES:
            object.__setattr__(self, "given", made)
        return made


def make_baselines(
    train: ByRecording, test: ByRecording, *, n_classes: int | None = None, seed: int = 0
) -> tuple[Baseline, ...]:
    """Every baseline that a task has, fitted on the training windows and asked about the test windows.

    ======  ==========================================================================================
    kind    baselines
    ======  ==========================================================================================
    class   ``linear``: ridge onto one-hot classes (of movie frames: of known ones); ``nearest_response``
    value   ``linear``: ridge onto the values; ``train_mean``
    image   ``chance``: a training frame drawn at random; ``linear``: ridge onto pixels; ``train_mean``;
            ``nearest_response``; ``nearest_frame_oracle``
    ======  ==========================================================================================

    Ridge for the pictures of a movie goes onto pixels, not onto frame ids. To name frames as classes it goes onto ids,
    and only where training showed every frame of the test in the same recording: an id that training never showed has
    no weights, so that a decoder of ids is wrong about every held-out frame by construction.

    Parameters
    ----------
    train, test : mapping of recording to Responses
        See `read_responses`.
    n_classes : int, optional
        Of classes; by default one more than the highest target.
    seed : int
        Of the frames drawn at random.

    Raises
    ------
    ModelError
        If a recording of the test has no training windows, or other neurons in them.
    """
    require_trained(train, test)
    kind = next(iter(test.values())).kind
    if kind == "class":
        highest = max(int(one.target.max()) for one in (*train.values(), *test.values()))
        n = n_classes or highest + 1
        nearest = Baseline(NEAREST_RESPONSE, nearest_response(train, test, n))
        if next(iter(test.values())).task == FRAME_IDS:
            if not all(np.isin(one.target, train[name].target).all() for name, one in test.items()):
                return (nearest,)
            # Thousands of logits for every frame: not in memory before they are judged.
            return (Baseline(LINEAR, partial(linear_classes, train, test, n)), nearest)
        return (Baseline(LINEAR, linear_classes(train, test, n)), nearest)
    if kind == "value":
        return (Baseline(LINEAR, linear_values(train, test)), Baseline(TRAIN_MEAN, train_mean(train, test)))
    return (
        Baseline(CHANCE, partial(random_frame, train, test, seed=seed)),
        Baseline(LINEAR, partial(linear_pixels, train, test)),
        Baseline(TRAIN_MEAN, partial(train_mean, train, test)),
        Baseline(NEAREST_RESPONSE, partial(nearest_response, train, test)),
        Baseline(NEAREST_FRAME_ORACLE, partial(nearest_frame_oracle, train, test), oracle=True),
    )


def require_trained(train: ByRecording, test: ByRecording) -> None:
    """Refuse recordings of the test that have no training windows, or other neurons in them.

    Raises
    ------
    ModelError
        With how many, and the first.
    """
    lacking = [name for name in test if name not in train]
    if not test or lacking:
        raise ModelError(
            f"{len(lacking)} of {len(test)} recordings of the test have no training windows"
            f"{f', first {lacking[0]!r}' if lacking else ''}; give those windows that the model learnt these neurons "
            "from, such as the role 'identify'"
        )
    for name, asked in test.items():
        ours, its = asked.neurons, train[name].neurons
        if ours is not None and its is not None and not np.array_equal(ours, its):
            raise ModelError(
                f"recording {name} has {len(its)} neurons in training and {len(ours)} in the test, "
                f"{len(np.intersect1d(ours, its))} of them the same; read both with the same neurons"
            )


def linear_classes(train: ByRecording, test: ByRecording, n_classes: int) -> Answers:
    """Ridge regression onto one-hot classes, one a recording.

    The penalty is chosen on training windows alone, by leaving them out block by block (`Responses.blocks`). Where the
    training windows of a recording are all of one class, that is the answer.
    """

    def decode(known: Responses, asked: Responses) -> Pixels:
        only = np.unique(known.target)
        if len(only) == 1:
            return np.tile(np.eye(n_classes)[only[0]], (len(asked), 1))
        decoder = RidgeDecoder().fit(known.features, known.target, *_left_out(known))
        found = decoder.decide(asked.features)
        # A class that training never showed is answered last of all.
        output = np.full((len(found), n_classes), found.min() - 1, np.float32 if n_classes > MOST_MIXTURES else None)
        output[:, decoder.classes] = found
        return output

    return _answers(train, test, decode)


def linear_values(train: ByRecording, test: ByRecording) -> Answers:
    """Ridge regression onto values, one a recording; the penalty is chosen as by `linear_classes`."""

    def decode(known: Responses, asked: Responses) -> Pixels:
        return RidgeRegression().fit(known.features, known.target, *_left_out(known)).predict(asked.features)

    return _answers(train, test, decode)


def linear_pixels(train: ByRecording, test: ByRecording) -> Answers:
    """Ridge regression onto all pixels at once, one a recording, clipped to [0, 1].

    It is fitted in coordinates of the training frames' own span: the squared error is the same there, and so is the
    answer, at a fraction of the cost of 8,192 pixels. The penalty is chosen on the 128 axes along which those frames
    vary most.
    """

    def decode(known: Responses, asked: Responses) -> Pixels:
        place, axes, middle = _in_span(known)
        ridge = RidgeRegression(judged=_MOST_VARIED).fit(known.features, place, *_left_out(known))
        found = ridge.predict(asked.features)
        pictures = (found @ axes).reshape(-1, *middle.shape) + middle
        return np.asarray(np.clip(pictures, 0.0, 1.0), np.float32)

    return _answers(train, test, decode)


def choose_bins(train: ByRecording) -> int:
    """Choose how many parts of a window a linear decoder reads, from training windows alone.

    Of each number of parts, the penalty is chosen as ever; the number with the least error of left-out blocks, as a
    share of the targets' variance and in the mean over recordings, is taken; of equal ones the least. Of pictures, the
    128 axes along which training pictures vary most are looked at.

    Parameters
    ----------
    train : mapping of recording to Responses
        With as many parts as can be had: ``read_responses(..., bins=None)``. Of many windows every so many-th is used,
        3,000 a recording.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> parts = rng.standard_normal((80, 2))  # one neuron in two parts of each window
    >>> known = Responses("x", "value", "a", parts, np.arange(80), np.arange(80), parts[:, :1], widths=(5, 5))
    >>> choose_bins({"a": known})
    2
    """
    few = [one.take(np.arange(0, len(one), -(-len(one) // MOST_ROWS))) for one in train.values()]
    choices = [bins for bins in BINS if all(len(one.widths) % bins == 0 for one in few)]
    errors = [float(np.mean([_left_out_error(one.coarsened(bins)) for one in few])) for bins in choices]
    return choices[int(np.argmin(errors))]


def _left_out_error(known: Responses) -> float:
    if known.kind == "class":
        target = class_targets(np.unique(known.target, return_inverse=True)[1])
    else:
        target = _in_span(known)[0][:, _MOST_VARIED] if known.kind == "image" else known.target
    variance = float(target.var(axis=0).mean()) if target.size else 0.0
    if not variance > 0:
        return 1.0
    return float(RidgeRegression().fit(known.features, target, *_left_out(known)).loo_errors.min()) / variance


def _left_out(known: Responses) -> tuple[Integers, npt.NDArray[np.bool_]] | tuple[None, None]:
    found = known.blocks()
    return (None, None) if found is None else found


def _in_span(known: Responses) -> tuple[Pixels, Pixels, Pixels]:
    """Training pictures in coordinates of their span, one row a window; its axes; and their mean."""
    frames, which = unique_frames(known)
    middle = frames.mean(axis=0)
    flat = (frames - middle).reshape(len(frames), -1).astype(np.float64)
    variance, vectors = np.linalg.eigh(flat @ flat.T)
    kept = variance > 1e-10 * max(float(variance.max(initial=0.0)), 1e-300)
    size = np.sqrt(variance[kept])
    return (vectors[:, kept] * size)[which], (vectors[:, kept] / size).T @ flat, middle


def train_mean(train: ByRecording, test: ByRecording) -> Answers:
    """Mean of the training targets: of all recordings for frames, of the same recording for values."""
    if next(iter(test.values())).kind == "image":
        total = sum(one.target.sum(axis=0, dtype=np.float64) for one in train.values())
        middle = np.asarray(total / sum(len(one) for one in train.values()), np.float32)
        # By summing and dividing, white may come out a bit whiter than white.
        return _answers(train, test, lambda _, asked: np.repeat(np.clip(middle, 0, 1)[None], len(asked), axis=0))
    return _answers(train, test, lambda known, asked: np.repeat(known.target.mean(axis=0)[None], len(asked), axis=0))


def nearest_response(train: ByRecording, test: ByRecording, n_classes: int | None = None) -> Answers:
    """Target of that training window of the same recording whose responses are most alike; no oracle.

    Responses are centred and scaled neuron by neuron by the training windows; alike is the largest cosine.
    """

    def decode(known: Responses, asked: Responses) -> Pixels:
        mean, std = known.features.mean(axis=0), known.features.std(axis=0)
        scale = np.where(std > 0, std, 1.0)
        unit = []
        for one in (known, asked):
            x = (one.features - mean) / scale
            unit.append(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
        nearest = np.concatenate([(piece @ unit[0].T).argmax(axis=1) for piece in _pieces(unit[1])])
        found = known.target[nearest]
        return np.asarray(np.eye(n_classes, dtype=np.float32)[found] if known.kind == "class" and n_classes else found)

    return _answers(train, test, decode)


def nearest_frame_oracle(train: ByRecording, test: ByRecording) -> Answers:
    """The training frame with the least squared error from the TRUE frame: an oracle, which no decoder can be.

    It says how alike test and training frames are. Where every test frame was seen in training, it is the true frame.
    """
    pieces: list[Pixels] = []
    met = np.empty(0, np.int64)
    for one in train.values():
        frames, _ = unique_frames(one)
        if one.shown is not None and (one.shown >= 0).all():
            ids = np.unique(one.shown)
            frames, met = frames[~np.isin(ids, met)], np.union1d(met, ids)
        pieces.append(frames)
    frames = np.concatenate(pieces)
    return _answers(train, test, lambda _, asked: frames[nearest_frames(asked.target, frames)])


def random_frame(train: ByRecording, test: ByRecording, *, seed: int) -> Answers:
    """A training frame of the same recording, drawn at random for each window: chance for pictures."""
    rng = np.random.default_rng(seed)

    def draw(known: Responses, asked: Responses) -> Pixels:
        found: Pixels = known.target[rng.integers(0, len(known), len(asked))]
        return found

    return _answers(train, test, draw)


def unique_frames(responses: Responses) -> tuple[Pixels, Integers]:
    """Different training frames of a recording by their ids, and which of them each row shows."""
    if responses.shown is None or (responses.shown < 0).any():
        return responses.target, np.arange(len(responses))
    _, first, which = np.unique(responses.shown, return_index=True, return_inverse=True)
    return responses.target[first], which.astype(np.int64)


def same_names(tests: Sequence[Sequence[Baseline]]) -> tuple[Baseline, ...]:
    """Answers of baselines of several folds, put together by name.

    Raises
    ------
    ModelError
        If the folds do not have the same baselines.
    """
    names = [tuple(one.name for one in fold) for fold in tests]
    if len(set(names)) > 1:
        raise ModelError(f"folds have different baselines: {sorted(set(names))}; give every fold the same")
    return tuple(
        Baseline(column[0].name, partial(_together, column), column[0].oracle) for column in zip(*tests, strict=True)
    )


def _together(folds: Sequence[Baseline]) -> Answers:
    return concatenate([stitch(one.answers) for one in folds])


def _pieces(x: npt.NDArray[np.float64], size: int = 1024) -> list[npt.NDArray[np.float64]]:
    return [x[at : at + size] for at in range(0, len(x), size)]


def _answers(train: ByRecording, test: ByRecording, decode: Callable[[Responses, Responses], Pixels]) -> Answers:
    parts = []
    for name, asked in test.items():
        output = decode(train[name], asked)
        who = np.full(len(asked), name, dtype=object)
        parts.append(Answers(asked.task, asked.kind, who, asked.trial, asked.frame, asked.target, output, asked.shown))
    return stitch(concatenate(parts))
