"""The realism page: one self-contained HTML file that puts a simulated recording beside a real one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from poyodata._version import version
from poyodata.errors import UsageError
from poyodata.progress import stage
from poyodata.realism import figures
from poyodata.realism.comparison import comparison, lines_table, measure_lines
from poyodata.realism.measures import Measures, measure
from poyodata.realism.recording import GratingTime
from poyodata.realism.reference import (
    HEAVIEST_KURTOSIS,
    MAX_KURTOSIS,
    MAX_SKEWNESS,
    PREDICTABLE_KURTOSIS,
    PREDICTABLE_LINES,
    PREDICTABLE_SKEWNESS,
    REAL,
    REAL_NAME,
)
from poyodata.realism.simulated import simulate_gratings
from poyodata.report import Page
from poyodata.simulation import load_world
from poyodata.sources import find_sources
from poyodata.vocabulary import CRE_LINES

_RECORDINGS = 10


@dataclass(frozen=True)
class RealismResult:
    """What was compared and where it was written.

    Attributes
    ----------
    table : DataFrame
        As `poyodata.realism.comparison.comparison` gives it.
    lines : DataFrame
        As `poyodata.realism.comparison.lines_table` gives it; empty where lines were left out.
    page : Path
    """

    table: pd.DataFrame
    lines: pd.DataFrame
    page: Path


def write_realism(out: Path, *, data: Path | None = None, world: str = "cux2", lines: bool = True) -> RealismResult:
    """Simulate a recording, measure it as a real one is measured, and write the page.

    Parameters
    ----------
    out : Path
        The HTML file.
    data : Path, optional
        One real recording of drifting gratings: a file, or a folder with its mapping. The kept numbers of recording
        527745328 stand in its place when it is left out.
    world : str
        Its first recording is compared; a name or a YAML file.
    lines : bool
        Simulate and measure ten small recordings of each of the 13 CRE lines too (about two minutes).

    Returns
    -------
    RealismResult

    Raises
    ------
    UsageError
        When `data` is not one recording.
    StatisticError
        When a recording shows no drifting gratings.
    """
    chosen = load_world(world)
    with stage("simulating and measuring", 3 if data else 2) as advance:
        recording = simulate_gratings(chosen)
        advance(1)
        simulated = measure(recording)
        advance(1)
        real_recording = _open_one(data) if data is not None else None
        real = measure(real_recording) if real_recording is not None else None
        if data is not None:
            advance(1)
    by_line = pd.DataFrame()
    if lines:
        with stage("CRE lines", _RECORDINGS * len(CRE_LINES), "recordings") as advance:
            by_line = lines_table(measure_lines(_RECORDINGS, progress=advance))
    table = comparison(simulated.quartiles(), real.quartiles() if real is not None else REAL)

    page = Page("How real is the simulated recording?")
    page.text(_lead(recording, real_recording), "lead")
    if real_recording is None:
        page.text(
            f"The real traces are not at hand: figures show the kept quartiles of recording {REAL_NAME} in their "
            "place. Give the recording with --data to see curves, traces and tuning side by side.",
            "verdict",
        )
    _guess(page, recording, real_recording)
    _compare(page, table, simulated, real)
    if lines:
        _by_line(page, by_line)
    _answer(page, recording, real_recording)
    page.footer(
        [
            f"poyodata {version}",
            f"world {chosen.name}, seed {chosen.seed}, digest {chosen.digest()}",
            "Criterion of responsiveness: de Vries et al. 2020, Nature Neuroscience 23: 138-151. Real data: Allen "
            "Brain Observatory, Visual Coding, Allen Institute; cite the same paper.",
        ]
    )
    return RealismResult(table, by_line, page.save(out))


def _lead(recording: GratingTime, real: GratingTime | None) -> str:
    beside = f"recording {real.name} ({real.cre_line}, {real.n_neurons} neurons)" if real else "a real Cux2 recording"
    return (
        f"{recording.n_neurons} simulated {recording.cre_line} neurons during {len(recording.trials)} sweeps of "
        f"drifting gratings, beside {beside}: both cut to grating time and measured by the same code."
    )


def _guess(page: Page, recording: GratingTime, real: GratingTime | None) -> None:
    page.heading("Traces")
    if real is None:
        page.figure(
            figures.traces([("simulated", recording)]),
            "Thirty seconds of eight simulated neurons, from a bursty one to a quiet one.",
        )
        return
    pair = (recording, real)
    order = figures.guess_order(pair)
    page.figure(
        figures.traces([(name, pair[at]) for name, at in zip("AB", order, strict=True)]),
        "Thirty seconds of eight neurons of each, on the same scale, from a bursty one to a quiet one. One side is "
        "simulated: guess before you read on. The answer stands at the end of the page.",
    )


def _answer(page: Page, recording: GratingTime, real: GratingTime | None) -> None:
    if real is not None:
        simulated = "AB"[figures.guess_order((recording, real)).index(0)]
        page.heading("The answer")
        page.text(f"Side {simulated} is simulated.")


def _compare(page: Page, table: pd.DataFrame, simulated: Measures, real: Measures | None) -> None:
    page.heading("Measures")
    page.text(
        "Lower quartile / median / upper quartile over neurons or pairs of neurons, or one number of the recording. "
        "Differences are simulated less real: in per cent, or in the measure's own unit for correlations and shares."
    )
    page.table(table)
    page.heading("The skewness-kurtosis plane")
    page.figure(
        figures.plane(simulated, real),
        f"Every neuron. Kurtosis is excess; both moments are biased. Dashed: skewness {MAX_SKEWNESS} and kurtosis "
        f"{MAX_KURTOSIS}, the thresholds of the diet predictable.",
    )
    page.heading("Distributions over neurons")
    page.figure(
        figures.quantiles(simulated, real),
        "Quantile-quantile plots: the percentiles of simulated neurons against those of real ones. On the line the "
        "two distributions are the same. Logarithmic axes where a measure spans decades.",
    )
    page.heading("Time course and noise")
    page.figure(
        figures.time_course(simulated, real),
        "Left: autocorrelation of dF/F, median over neurons and the band between the quartiles. Right: noise of a "
        "frame, MAD of successive differences over sqrt 2.",
    )
    page.heading("Tuning")
    page.figure(
        figures.tuning({"simulated": simulated} if real is None else {"real": real, "simulated": simulated}),
        "Tuning to direction at the preferred temporal frequency: mean and standard error over trials of six of the "
        "eighteen most reliable neurons.",
    )


def _by_line(page: Page, table: pd.DataFrame) -> None:
    page.heading("The 13 CRE lines")
    page.figure(
        figures.responsive(table),
        "Share of cells that answer at least a quarter of the trials of their best grating, in "
        f"{_RECORDINGS} simulated recordings of each line, beside the Allen Institute's table (40,359 cells; none of "
        "Pvalb).",
    )
    four = table[table["line"].isin(PREDICTABLE_LINES)]
    page.figure(
        figures.moments_by_line(table),
        "Mean skewness and excess kurtosis. Vermilion: the lines called predictable, together "
        f"{four['skewness'].mean():.2f} and {four['kurtosis'].mean():.1f} (published: {PREDICTABLE_SKEWNESS} and "
        f"{PREDICTABLE_KURTOSIS}); the heaviest line is published with {HEAVIEST_KURTOSIS}.",
    )
    shares = dict.fromkeys(("responsive", "responsive, Allen"), ".3f")
    page.table(table, {"skewness": ".2f", "kurtosis": ".1f", "median kurtosis": ".1f", **shares})


def _open_one(data: Path) -> GratingTime:
    found = find_sources(data)
    if len(found) > 1:
        raise UsageError(f"{data} holds {len(found)} recordings; give the file of one.")
    return GratingTime.of_record(found[0].open())
