"""Single sections of a datasheet, for diets that are easily told wrongly."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.datasheet import figures
from poyodata.datasheet.conditions import Thresholds
from poyodata.datasheet.overlaps import write_overlaps
from poyodata.datasheet.provenance import write_frozen
from poyodata.datasheet.selected import write_flips, write_funnel, write_plane
from poyodata.datasheet.sheet import Sheet
from poyodata.datasheet.subject import Subject
from poyodata.store import Store
from tests.datasheet.test_page import Reader


def section(write: Callable[[Sheet, Subject], None], subject: Subject) -> Reader:
    sheet = Sheet("one section")
    write(sheet, subject)
    return Reader(sheet.html())


def text_of(reader: Reader) -> str:
    return " ".join(reader.texts[reader.sections[0]].split())


def test_a_brushed_diet_has_its_upper_bounds_as_thresholds(predictable: Manifest, opened: Store) -> None:
    brushed = Diet.where("-5 <= skewness <= 1.2 and -2.5 <= kurtosis <= 4", name="brushed").resolve(opened)
    page, whole = (section(write_plane, Subject(manifest, opened)) for manifest in (brushed, predictable))
    said = text_of(page)
    assert "thresholds are skewness 1.2 and kurtosis 4." in said
    assert "It compares also skewness with -5 and kurtosis with -2.5" in said
    assert page.rows(page.sections[0]) == whole.rows(whole.sections[0])


def test_flips_say_what_they_are_of(opened: Store) -> None:
    controls = load_diet("random-matched").with_parameters(max_skewness=1.2, max_kurtosis=4.0).resolve(opened)
    said = text_of(section(write_flips, Subject(controls, opened)))
    assert "the neurons they are matched to, not of the controls" in said
    assert "own conditions" not in said
    mixed = Diet.where("skewness <= 1.2 and kurtosis <= 4 and depth_um > 0", name="mixed").resolve(opened)
    page = section(write_flips, Subject(mixed, opened))
    assert "this one is of its thresholds" in text_of(page)
    assert page.rows(page.sections[0])[0]["rule"] == "skewness <= 1.2 and kurtosis <= 4.0"
    everything = Diet.where("skewness <= 1.2", name="peeking").with_options(statistics_window="all").resolve(opened)
    said = text_of(section(write_flips, Subject(everything, opened)))
    assert "decided by statistics of all time (window: all)" in said


def test_conditions_on_the_moments_of_a_stimulus_are_the_diets_own(opened: Store) -> None:
    diet = Diet.where("skewness@drifting_gratings <= 3 and kurtosis@drifting_gratings <= 20", name="gratings")
    subject = Subject(diet.resolve(opened), opened)
    page = section(write_flips, subject)
    assert "The diet's own conditions on moments" in text_of(page)
    (row,) = page.rows(page.sections[0])
    assert row["rule"] == "skewness@drifting_gratings <= 3 and kurtosis@drifting_gratings <= 20"
    conventions = section(write_frozen, subject).rows("Statistics and frozen numbers")
    assert [row["column"] for row in conventions] == ["skewness@drifting_gratings", "kurtosis@drifting_gratings"]


def test_diets_of_another_time_or_split_are_not_compared(predictable: Manifest, opened: Store) -> None:
    split = predictable.meta["split"]["spec"]["name"]
    elsewhere = Diet.where("depth_um > 0", name="elsewhere", splits="epoch-out")
    here = Diet.where("skewness <= 1", name="here", splits=split)
    page = section(write_overlaps, Subject(predictable, opened, others=[elsewhere, here]))
    compared = {row["diet"] for row in page.rows(page.sections[0])}
    assert {"here", "predictable", "inhibitory"} <= compared
    assert "elsewhere" not in compared
    assert f"elsewhere: it is of split epoch-out, and this diet of split {split}" in text_of(page)

    everything = load_diet("predictable").with_options(statistics_window="all").resolve(opened)
    page = section(write_overlaps, Subject(everything, opened, others=[predictable]))
    compared = {row["diet"] for row in page.rows(page.sections[0])}
    assert "inhibitory" in compared
    assert "predictable" not in compared
    assert any("window train" in name for name in compared if "manifest" in name)
    assert "predictable: it is of statistics of window train, and this diet of window all" in text_of(page)


def test_the_drawn_funnel_says_what_its_table_says(opened: Store) -> None:
    diet = Diet.everyone(name="short").during("stimulus == 'drifting_gratings'", min_length_s=0.5)
    manifest = diet.resolve(opened)
    funnel = manifest.funnel()
    assert (funnel["rejected"][funnel["step"].str.startswith("windows.")] > 0).any()
    sheet = Sheet("funnel")
    write_funnel(sheet, Subject(manifest, opened))
    drawn = re.findall(r'<div class="count">(.*?)</div>', sheet.html())
    assert len(drawn) == len(funnel)
    for said, row in zip(drawn, funnel.itertuples(index=False), strict=True):
        assert f"{row.kept:,} kept" in said
        assert (f"{row.rejected:,} rejected" in said) == bool(row.rejected)


def test_a_long_rule_is_folded_away_and_whole() -> None:
    rule = " or ".join(f"(cre_line == 'Sst-IRES-Cre' and depth_um < {depth})" for depth in range(400, 460))
    sheet = Sheet("long")
    sheet.funnel([("neurons", rule, {"kept": 1, "rejected": 1, "unknown": 0}, "neurons")])
    sheet.table(pd.DataFrame({"rule": [rule, "short"]}))
    text = sheet.html()
    summaries = re.findall(r"<summary>(.*?)</summary>", text)
    assert len(summaries) == 2
    assert all(len(html.unescape(summary)) < 150 for summary in summaries)
    assert text.count(html.escape(rule)) == 2
    assert max(map(len, re.findall(r'aria-label="([^"]*)"', text))) < 400
    Reader(text)


def test_backticks_become_typed_text() -> None:
    sheet = Sheet("typed")
    sheet.text("a step of an `and` & more `<b>`")
    sheet.listing(["preset `predictable`"])
    text = sheet.html()
    assert "<code>and</code> &amp; more <code>&lt;b&gt;</code>" in text
    assert "<code>predictable</code>" in text
    assert "`" not in text


@pytest.mark.parametrize(("neurons", "pixels"), [(30, False), (3000, True)])
def test_points_have_the_colours_of_their_key_in_the_dark(neurons: int, pixels: bool) -> None:
    rng = np.random.default_rng(0)
    moments = pd.DataFrame(rng.gamma(2, 2, (neurons, 2)), columns=["skewness", "kurtosis"])
    answer = np.resize(["kept", "rejected", "unknown"], neurons)
    sheet = Sheet("dark")
    sheet.drawing(figures.plane(moments, answer, Thresholds()), "caption", "alt", ["kept"])
    figure = sheet.html().partition("<figure")[2]
    assert figure.startswith(' class="pixels"') == pixels
    assert not re.search("#0072b2|#d55e00|#9aa3ad", figure)
    if not pixels:
        assert all(f"fill: var(--{name})" in figure for name in ("kept", "rejected", "unknown"))
    assert "figure.pixels { --kept: #0072b2;" in sheet.html()


def test_no_section_shows_a_backtick(sheet: Path) -> None:
    assert "`" not in sheet.read_text(encoding="utf-8")
