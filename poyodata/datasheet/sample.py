"""`draw_sample`: traces of some neurons that a diet keeps and of some that it rejects, on one scale."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation import Diet
from poyodata.curation.language.rule_document import rule_text
from poyodata.datasheet.beside import Beside, shortened
from poyodata.datasheet.subject import Subject
from poyodata.datasheet.target import PICTURES, check_target
from poyodata.digests import hash_order
from poyodata.drawing import BLUE, INK, VERMILION, as_svg, new_figure
from poyodata.errors import UsageError
from poyodata.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from poyodata.curation import Manifest
    from poyodata.intervals import Intervals
    from poyodata.store import Store

MOST_NEURONS = 40
_LINE, _RULE, _NAME = 105, 300, 60
"""Characters of a line of the title, and of a rule and a name in it."""

_STEP_S = 5.0


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Neurons of one answer, in one recording, and their traces.

    Attributes
    ----------
    answer : {"kept", "rejected"}
    session_id : str
    rows : DataFrame
        Of the subject's table.
    start_s, length_s : float
        Where the stretch lies in its recording.
    dff : ndarray, shape (neuron, frame), dF/F
        Less each neuron's median of its train-role time; NaN in time of other roles.
    """

    answer: str
    session_id: str
    rows: pd.DataFrame
    start_s: float
    length_s: float
    dff: npt.NDArray[np.float64]


def draw_sample(manifest: Manifest, store: Store, n: int = 6, seed: int = 0, *, seconds: float = 60.0) -> Figure:
    """Draw traces of some neurons that a diet keeps and some that it rejects: what the rule does, to look at.

    Neurons are chosen by the smallest hash of (seed, neuron_id), whatever the order of the store, in one recording that
    has both; where a rule keeps or rejects whole recordings, in one of each. The stretch is of train-role time, and the
    one in which these neurons are most active.

    Parameters
    ----------
    manifest : Manifest
    store : Store
        That it was resolved on.
    n : int
        Neurons of each kind, up to 40.
    seed : int
        Another seed draws other neurons.
    seconds : float
        Length of the stretch.

    Returns
    -------
    Figure
        Time and dF/F have the same scale everywhere. Beside each trace the columns that the rule names, or skewness and
        kurtosis where it names none.

    Raises
    ------
    ManifestError
        When the store is not what the manifest was resolved on.
    UsageError
        For an `n` or `seconds` out of range.

    Examples
    --------
    >>> draw_sample(manifest, store).savefig("sample.png")  # doctest: +SKIP
    """
    if not 1 <= n <= MOST_NEURONS:
        raise UsageError(f"n is {n}; draw 1 to {MOST_NEURONS} neurons of each kind.")
    if not 1 <= seconds <= 3600:
        raise UsageError(f"seconds is {seconds}; draw a stretch of 1 to 3600 s.")
    manifest.open(store)
    subject = Subject(manifest, store)
    chosen = _choose(subject, n, seed)
    stretches = _cut(subject, chosen, seconds)
    count = sum(len(stretch.rows) for stretch in stretches)
    rule = rule_text(Diet.from_dict(manifest.meta["diet"]).neurons)
    lines = _wrapped(f"{shortened(manifest.name, _NAME)}: {shortened(rule, _RULE)}")
    lines += _wrapped(_said(stretches))
    fewer = _fewer(stretches, n)
    lines += _wrapped(fewer) if fewer else []
    figure, (ax,) = new_figure(9.6, 4.8)
    beside = Beside(subject)
    rows = _draw(ax, stretches, beside, seconds)
    # As high as the texts beside the traces need, where tall traces leave the others little room.
    figure.set_figheight(1.2 + 0.17 * len(lines) + (0.2 + 0.13 * beside.most_lines) * min(rows, 2.0 * count))
    # "$" would begin a formula.
    ax.set_title("\n".join(lines).replace("$", r"\$"), fontsize=10, loc="left", color=INK)
    return figure


def write_sample(
    manifest: Manifest, store: Store, path: str | Path, n: int = 6, seed: int = 0, *, seconds: float = 60.0
) -> Path:
    """Write what `draw_sample` draws to an SVG or PNG file, by the end of its name.

    Raises
    ------
    UsageError
        For another ending, a file within a store, or where the file cannot be written; else as `draw_sample`.
    """
    target = check_target(path, PICTURES, "a sample")
    figure = draw_sample(manifest, store, n, seed, seconds=seconds)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            if target.suffix.lower() == ".svg":
                partial.write_text(as_svg(figure), encoding="utf-8")
            else:
                figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})
    except OSError as error:
        raise UsageError(f"the sample cannot be written to {path} ({error.strerror}); give another file.") from error
    return target


def _choose(subject: Subject, n: int, seed: int) -> list[pd.DataFrame]:
    """Neurons to draw: kept ones, then rejected ones, each of one recording, of the same where that is possible."""
    table = subject.table
    ranked = table.assign(order=hash_order(table["neuron_id"].astype("str").tolist(), seed))
    ranked = ranked[ranked["answer"].isin(["kept", "rejected"])].sort_values("order", kind="stable")
    learnt = ranked[(ranked["role"] == "train").to_numpy()]
    ranked = learnt if (learnt["answer"] == "kept").any() else ranked
    counts = pd.crosstab(ranked["session_id"].astype("str"), ranked["answer"]).clip(upper=MOST_NEURONS)
    counts = counts.reindex(columns=["kept", "rejected"], fill_value=0)
    # The recording whose neurons come first in the hash's order, among those that have most of both.
    first = ranked.drop_duplicates("session_id")["session_id"].astype("str").tolist()
    both = counts.min(axis=1).reindex(first)
    if both.max() > 0:
        session = str(both.index[int(both.to_numpy().argmax())])
        homes = {"kept": session, "rejected": session}
    else:
        homes = {
            name: str(counts[name].reindex(first).idxmax()) for name in ("kept", "rejected") if counts[name].max() > 0
        }
    rows = [
        ranked[(ranked["session_id"].astype("str") == session) & (ranked["answer"] == name)].head(n)
        for name, session in homes.items()
    ]
    return [part for part in rows if len(part)]


def _cut(subject: Subject, chosen: list[pd.DataFrame], seconds: float) -> list[_Stretch]:
    """Cut the stretch in which the chosen neurons are most active; neurons of one recording share it."""
    found: dict[str, list[pd.DataFrame]] = {}
    for rows in chosen:
        found.setdefault(str(rows["session_id"].iloc[0]), []).append(rows)
    stretches = []
    for session, parts in found.items():
        every = pd.concat(parts)
        rate_hz = float(subject.store.sessions.set_index("session_id")["rate_hz"].to_dict()[session])
        dff = _train_dff(subject, session, every["column"].to_numpy(np.int64))
        start, stop = _liveliest(dff, _segments(subject, session), round(seconds * rate_hz), round(_STEP_S * rate_hz))
        first = 0
        for rows in parts:
            own = dff[start:stop, first : first + len(rows)].T
            first += len(rows)
            answer = str(rows["answer"].iloc[0])
            stretches.append(_Stretch(answer, session, rows, start / rate_hz, (stop - start) / rate_hz, own))
    return stretches


def _train_dff(subject: Subject, session: str, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Traces less their medians, shape (frame, neuron), NaN outside of train-role time."""
    traces = subject.store.traces(session)[:, columns].astype(np.float64)
    seen = np.zeros(len(traces), bool)
    for start, stop in _train_time(subject, session):
        seen[start:stop] = True
    traces[~seen] = np.nan
    known = traces[seen]
    if len(known):
        traces -= np.nanmedian(known, axis=0)
    return traces


def _train_time(subject: Subject, session: str) -> Intervals:
    if subject.split is not None:
        return subject.split.train_time(session)
    time = subject.manifest.role_time
    own = time[(time["session_id"] == session) & time["role"].isin(["train", "identify"])]
    spans: Intervals = own[["start_frame", "stop_frame"]].to_numpy(np.int64)
    return spans


def _segments(subject: Subject, session: str) -> Intervals:
    table = subject.store.segments
    own = table[table["session_id"] == session]
    spans: Intervals = own[["start_frame", "stop_frame"]].to_numpy(np.int64)
    return spans


def _liveliest(dff: npt.NDArray[np.float64], segments: Intervals, length: int, step: int) -> tuple[int, int]:
    """Find the stretch, within one segment, whose neurons rise highest, each as a share of its own highest rise."""
    known = np.isfinite(dff)
    height = np.where(known, np.abs(dff), 0.0)
    height /= np.maximum(height.max(axis=0, initial=0.0), 1e-12)
    best, where = -1.0, (0, min(length, len(dff)))
    for first, last in segments.tolist():
        for start in range(first, max(first + 1, last - length + 1), max(1, step)):
            stop = min(start + length, last)
            # Half of the score is that there is train-role time at all.
            score = (
                float(height[start:stop].max(axis=0).mean()) + float(known[start:stop].mean()) * (stop - start) / length
            )
            if score > best:
                best, where = score, (start, stop)
    return where


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _LINE, break_on_hyphens=False)


def _fewer(stretches: list[_Stretch], n: int) -> str:
    """Say of which kind fewer neurons are drawn than were asked for."""
    count = {name: sum(len(one.rows) for one in stretches if one.answer == name) for name in ("kept", "rejected")}
    absent = [f"no neuron is {name}" for name, drawn in count.items() if not drawn]
    fewer = [f"{drawn} {name} of {n} asked for" for name, drawn in count.items() if 0 < drawn < n]
    return "; ".join([*absent, *([f"{' and '.join(fewer)}: the recording has no more"] if fewer else [])])


def _draw(ax: Axes, stretches: list[_Stretch], beside: Beside, seconds: float) -> float:
    """Draw the traces one below the other; give the height of all, in places of a trace."""
    heights = np.concatenate([_height(stretch.dff) for stretch in stretches])
    step = float(np.percentile(heights, 60)) or 1.0
    at = 0.0
    low = 0.0
    for stretch in stretches:
        colour = BLUE if stretch.answer == "kept" else VERMILION
        time_s = np.arange(stretch.dff.shape[1]) * stretch.length_s / max(1, stretch.dff.shape[1])
        names = list(zip(stretch.rows.index.tolist(), stretch.rows["neuron_id"], strict=True))
        drawn = zip(stretch.dff, _height(stretch.dff), _height(-stretch.dff), names, strict=True)
        below, first = 0.0, at - step
        for trace, above, under, (row, neuron) in drawn:
            # A trace that leaves its place gets more of it, so that traces hardly cross.
            at -= max(step, 0.7 * above + 0.7 * below)
            below = under
            ax.plot(time_s, trace + at, color=colour, lw=0.7)
            ax.annotate(
                f"{neuron}\n{beside.text(row)}".replace("$", r"\$"),
                (seconds, at), (6, 0), textcoords="offset points", fontsize=7.5, va="center", color=INK,
            )  # fmt: skip
        ax.annotate(
            stretch.answer, (0, (first + at) / 2), (-8, 0), textcoords="offset points", ha="right", va="center",
            rotation=90, fontsize=11, color=colour,
        )  # fmt: skip
        low = at = at - max(0.4 * step, below)
    # A bar of its own place under the traces, long enough to be read beside many of them.
    bar, time = _nice(max(step, 0.03 * -low)), _nice(seconds / 10)
    low -= bar
    ax.plot([seconds - time, seconds, seconds], [low, low, low + bar], color=INK, lw=2.2, clip_on=False)
    label = f"{time:g} s, {100 * bar:g} % dF/F"
    ax.annotate(label, (seconds - time, low), (-5, 0), textcoords="offset points", ha="right", va="center", fontsize=8)
    ax.set_xlim(0, seconds)
    ax.margins(y=0.01)
    ax.axis("off")
    return -low / step


def _height(dff: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far each trace reaches up, in dF/F."""
    top: npt.NDArray[np.float64] = np.where(np.isfinite(dff), dff, 0.0).max(axis=1, initial=1e-6)
    return top


def _nice(value: float) -> float:
    """Round down to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(factor for factor in (5, 2, 1) if factor * power <= value * (1 + 1e-9)) * power)


def _said(stretches: list[_Stretch]) -> str:
    known: dict[str, _Stretch] = {stretch.session_id: stretch for stretch in stretches}
    return "; ".join(
        f"recording {session}, {one.length_s:.0f} s from {one.start_s:.0f} s, {_seen(one)}"
        for session, one in known.items()
    )


def _seen(stretch: _Stretch) -> str:
    share = float(np.isfinite(stretch.dff).any(axis=0).mean())
    return "train-role time" if share > 0.999 else "drawn where it is train-role time"
