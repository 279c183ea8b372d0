"""What may be said: sentences that follow from intervals alone, from one template each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from poyodata.models.evaluation.baselines import CHANCE, TRAIN_MEAN, WORDS
from poyodata.models.evaluation.frames import Seen
from poyodata.models.evaluation.result import Gain, Row

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "within_1s": "share of frames named within 1 s",
    "r2": "R^2",
    "ssim": "SSIM",
    "psnr": "PSNR (dB)",
}

_FRAMES = {CHANCE: "a random training frame", TRAIN_MEAN: "the mean training frame"}
"""The better of them is chance in pictures: a decoder can answer either without having read a response."""


def metric_sentence(task: str, row: Row, guess: float | None = None) -> str:
    """How a pooled metric stands to chance.

    Above is said where the whole interval lies above chance, and below where it lies below both chance and what
    guessing reaches: chance is the best of many constants, and to be worse than that is no sign of anything.

    Parameters
    ----------
    task : str
    row : Row
    guess : float, optional
        What guessing reaches; by default the chance of the row.

    Examples
    --------
    >>> metric_sentence("direction", Row("accuracy", "pooled", 0.5, 0.4, 0.6, 80, {"chance": 0.125}))
    'direction: accuracy is 0.500 [0.400, 0.600] (n = 80), above chance (0.125).'
    >>> metric_sentence("direction", Row("accuracy", "pooled", 0.2, 0.1, 0.3, 80, {"chance": 0.125}))
    'direction: accuracy is 0.200 [0.100, 0.300] (n = 80), not shown to differ from chance (0.125).'
    >>> metric_sentence("direction", Row("accuracy", "pooled", 0.13, 0.11, 0.15, 900, {"chance": 0.17}), guess=0.125)
    'direction: accuracy is 0.130 [0.110, 0.150] (n = 900), not shown to differ from chance (0.170; guessing 0.125).'
    """
    chance, whose = _chance(row)
    guess = row.beside.get(CHANCE, math.nan) if guess is None else guess
    start = f"{task}: {METRIC_WORDS.get(row.metric, row.metric)} is {row.value:.3f}"
    told = "" if math.isnan(row.low) else f" [{row.low:.3f}, {row.high:.3f}]"
    # Draws that are all alike do not show how sure it is.
    no_width = bool(told) and math.isclose(row.low, row.high, abs_tol=1e-12)
    if not told or no_width or math.isnan(chance):
        lacks = ", an interval of no width" if no_width else "" if told else ", without an interval"
        beside = "chance is not known" if math.isnan(chance) else f"chance is {chance:.3f}{whose}"
        return f"{start}{told} (n = {row.n}){lacks}; {beside}."
    stands = "not shown to differ from"
    if row.low > chance:
        stands = "above"
    elif row.high < chance and row.high < guess:
        stands = "below"
    elif row.high < chance and not math.isnan(guess):
        whose += f"; guessing {guess:.3f}"
    return f"{start}{told} (n = {row.n}), {stands} chance ({chance:.3f}{whose})."


def difference_sentence(gain: Gain) -> str:
    """How the model stands to a baseline on the same windows.

    Examples
    --------
    >>> difference_sentence(Gain("accuracy", "linear", False, 0.02, -0.01, 0.05, "24 donors drawn again"))
    'Beside the linear decoder on the same windows: +0.020 [-0.010, +0.050] accuracy; no difference is shown.'
    """
    start = f"Beside {WORDS.get(gain.over, gain.over)} on the same windows: {gain.value:+.3f}"
    metric = METRIC_WORDS.get(gain.metric, gain.metric)
    if math.isnan(gain.low):
        return f"{start} {metric}, without an interval."
    return f"{start} [{gain.low:+.3f}, {gain.high:+.3f}] {metric}; {_outcome(gain)}."


def claim_sentence(gain: Gain) -> str:
    """Whether a gain in held-out segments is claimed, or why not.

    Examples
    --------
    >>> claim_sentence(Gain("ssim", "linear", False, 0.05, 0.02, 0.08, "9 segments drawn again"))
    'SSIM in held-out segments: +0.050 [+0.020, +0.080] over the linear decoder (9 segments drawn again): a gain.'
    >>> claim_sentence(Gain("ssim", "linear", False, 0.05, math.nan, math.nan, "", "there are 4 segments"))
    'No gain in SSIM is claimed: there are 4 segments.'
    """
    metric = METRIC_WORDS.get(gain.metric, gain.metric)
    if gain.refused:
        return f"No gain in {metric} is claimed: {gain.refused}."
    outcome = {1: "a gain", -1: "a loss", 0: "no gain is shown"}[(gain.low > 0) - (gain.high < 0)]
    return (
        f"{metric} in held-out segments: {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] over "
        f"{WORDS.get(gain.over, gain.over)} ({gain.drawn}): {outcome}."
    )


def seen_sentence(seen: Seen) -> str:
    """What the test can show, given how many of its pictures training showed.

    Examples
    --------
    >>> seen_sentence(Seen(n_test=900, n_seen=900)).split(":")[0]
    'All 900 pictures of this test were shown in training'
    """
    if seen.all_seen:
        return (
            f"All {seen.n_test} pictures of this test were shown in training: it measures which of the known pictures "
            "was shown, not whether new ones can be reconstructed."
        )
    if seen.none_seen:
        return f"None of the {seen.n_test} pictures of this test was shown in training."
    return (
        f"{seen.n_seen} of the {seen.n_test} pictures of this test were shown in training: what it measures is in part "
        "which of the known pictures was shown."
    )


def verdict(
    task: str,
    rows: Sequence[Row],
    differences: Sequence[Gain],
    claims: Sequence[Gain],
    seen: Seen | None,
    drawn: str,
    notes: Sequence[str] = (),
    guesses: Mapping[str, float | None] | None = None,
) -> tuple[str, ...]:
    """All sentences of a result, in the order in which they are to be read."""
    told = [] if seen is None else [seen_sentence(seen)]
    told += [metric_sentence(task, row, (guesses or {}).get(row.metric)) for row in rows if row.group == "pooled"]
    told += [difference_sentence(gain) for gain in differences if gain.over != CHANCE and not gain.refused]
    told += [claim_sentence(gain) for gain in claims]
    return (*told, *notes, f"Intervals of the table: {drawn}.")


def _chance(row: Row) -> tuple[float, str]:
    """Chance, and of pictures what it is that reaches it."""
    if row.metric not in ("ssim", "psnr"):
        return row.beside.get(CHANCE, math.nan), ""
    known = {name: row.beside[name] for name in _FRAMES if not math.isnan(row.beside.get(name, math.nan))}
    if not known:
        return math.nan, ""
    best = max(known, key=lambda name: known[name])
    return known[best], f", {_FRAMES[best]}"


def _outcome(gain: Gain) -> str:
    if gain.low > 0:
        return "the model is better"
    return "the model is worse" if gain.high < 0 else "no difference is shown"
