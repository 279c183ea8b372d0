"""The datasheet: every section, true numbers, escapes, and nothing that needs a network."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.datasheet import figures, subject, write_datasheet
from poyodata.datasheet.conditions import Thresholds
from poyodata.errors import ManifestError, UsageError
from poyodata.statistics import compute_statistics, membership_flips
from poyodata.store import Store

SECTIONS = (
    "Funnel",
    "Skewness and kurtosis",
    "How sure membership is",
    "Composition",
    "Information",
    "Splits and donors",
    "Windows and tokens",
    "Leaks",
    "Overlap with other diets",
    "Statistics and frozen numbers",
    "Warnings",
    "The diet",
    "How to cite",
)
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Reader(HTMLParser):
    """Reads a page strictly: every tag is closed in order; gathers ids, addresses, sections and tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: list[str] = []
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.texts: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        here = self.sections[-1] if self.sections else ""
        if tag == "h2":
            self.sections.append("")
        elif tag == "table":
            self.tables.setdefault(here, []).append([])
        elif tag == "tr":
            self.tables[here][-1].append([])
        elif tag in ("td", "th"):
            self.tables[here][-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "h2" in self.open:
            self.sections[-1] += data
            return
        here = self.sections[-1] if self.sections else ""
        self.texts[here] = self.texts.get(here, "") + data
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[here][-1][-1][-1] += data

    def rows(self, section: str, number: int = 0) -> list[dict[str, str]]:
        head, *rows = self.tables[section][number]
        return [dict(zip(head, row, strict=True)) for row in rows]


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(sheet: Path) -> Reader:
    return read(sheet)


def test_every_section_is_there_and_the_list_leads_to_it(page: Reader) -> None:
    assert tuple(page.sections) == SECTIONS
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [str(attrs["href"])[1:] for tag, attrs in page.tags if tag == "a" and str(attrs["href"]).startswith("#")]
    assert len(links) == len(SECTIONS)
    assert set(links) <= set(ids)


def no_network(text: str) -> None:
    reader = Reader(text)
    for tag, attrs in reader.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form"), tag
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        for name in ("src", "href", "xlink:href", "action", "data"):
            address = attrs.get(name) or "#"
            allowed = address.startswith(("#", "data:image/png;base64,")) or (tag == "a" and name == "href")
            assert allowed, f"<{tag} {name}={address[:60]}>"
    assert not re.findall(r"@import|url\((?!#)", text)
    # Addresses are those of citations, which are followed by a click.
    assert set(re.findall(r"https?://[^\s\"<]+", text)) <= {"https://doi.org/10.1038/s41593-019-0550-9"}
    assert "default-src 'none'" in text


def test_nothing_needs_a_network_or_a_script(sheet: Path) -> None:
    no_network(sheet.read_text(encoding="utf-8"))


def test_numbers_are_those_of_the_manifest(page: Reader, predictable: Manifest, opened: Store) -> None:
    kept = len(predictable.neurons)
    funnel = {row["step"]: row for row in page.rows("Funnel")}
    assert funnel["neurons"]["kept"] == str(kept)
    assert funnel["neurons"]["rule"] == "skewness <= 1.2 and kurtosis <= 4.0"
    assert len(funnel) == len(predictable.funnel())
    lines = page.rows("Composition")
    assert sum(int(row["selected"]) for row in lines) == kept
    assert sum(int(row["neurons"]) for row in lines) == len(predictable.population)
    assert [row["donors"] for row in lines] == ["1 of 1" if int(row["selected"]) else "0 of 1" for row in lines]
    windows = {row["role"]: row for row in page.rows("Windows and tokens")}
    assert {role: int(row["windows"]) for role, row in windows.items()} == dict(
        predictable.windows["role"].value_counts()
    )
    size = predictable.neurons.groupby("session_id").size()
    of_train = predictable.windows[predictable.windows["role"] == "train"]
    frames = of_train["stop_frame"] - of_train["start_frame"]
    tokens = int((frames * of_train["session_id"].map(size).to_numpy()).sum())
    assert windows["train"]["tokens"] == f"{tokens:,}"
    assert predictable.digest in page.texts["How to cite"]


def test_regions_sum_to_the_population_and_neither_is_counted(page: Reader, predictable: Manifest) -> None:
    table = predictable.population
    low_x, low_y = table["skewness"] <= 1.2, table["kurtosis"] <= 4.0
    expected = {
        "predictable": int((low_x & low_y).sum()),
        "high in both": int((~low_x & ~low_y).sum()),
        "neither: skewness alone is high": int((~low_x & low_y).sum()),
        "neither: kurtosis alone is high": int((low_x & ~low_y).sum()),
    }
    assert {row["region"]: int(row["all"]) for row in page.rows("Skewness and kurtosis")} == expected
    neither = int((low_x ^ low_y).sum())
    assert neither > 0
    assert f"{neither} of {len(table)} neurons" in page.texts["Skewness and kurtosis"]


def test_flips_are_those_of_the_diets_own_condition(page: Reader, opened: Store) -> None:
    expected = membership_flips(opened, "skewness <= 1.2 and kurtosis <= 4.0").iloc[0]
    (row,) = page.rows("How sure membership is")
    assert [row[name] for name in ("members", "flips")] == [str(expected["members"]), str(expected["flips"])]
    assert row["share"] == f"{expected['share']:.1%}"


def test_figures_say_in_words_and_in_a_table_what_they_show(page: Reader) -> None:
    drawn = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(drawn) >= 1
    assert all(attrs.get("role") == "img" and len(attrs.get("aria-label") or "") > 20 for attrs in drawn)
    for section in ("Funnel", "Skewness and kurtosis"):
        assert page.tables[section]


def test_overlaps_are_counted_and_what_is_not_at_hand_is_said(
    page: Reader, predictable: Manifest, opened: Store, tmp_path: Path
) -> None:
    rows = {row["diet"]: row for row in page.rows("Overlap with other diets")}
    kept = set(predictable.neurons["neuron_id"])
    narrow = Diet.where("skewness <= 1 and kurtosis <= 2").select(predictable.population)
    other = set(predictable.population["neuron_id"][narrow.kept])
    assert int(rows["narrow"]["both"]) == len(kept & other)
    assert float(rows["narrow"]["Jaccard"]) == pytest.approx(len(kept & other) / len(kept | other), abs=5e-4)
    assert rows["all"]["this alone"] == "0"
    assert rows["predictable"]["the other alone"] != "0"  # the preset's own thresholds keep more
    assert rows[f"predictable (manifest {predictable.digest[:12]})"]["Jaccard"] == "1.000"
    unknown = write_datasheet(predictable, opened, tmp_path / "page.html", others=[Diet.where("robust_snr > 1")])
    assert "it names robust_snr" in unknown.read_text()


def test_texts_of_others_never_become_markup(opened: Store, tmp_path: Path) -> None:
    dark = "<script>alert(1)</script>"

    class Dark(type(opened)):  # type: ignore[misc]
        @property
        def neurons(self) -> pd.DataFrame:
            return _renamed(super().neurons, dark)

    store = copy.copy(opened)
    store.__class__ = Dark
    store.sessions = _renamed(opened.sessions, dark)
    diet = Diet.everyone(name=f"{dark} $body & co", description=f"{dark}\n\"quoted\" 'single' ${{x}}")
    manifest = diet.resolve(store)
    path = write_datasheet(manifest, store, tmp_path / "dark.html", allow_leakage=dark, stages=[(dark, manifest)])
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    assert "$body &amp; co" in text
    no_network(text)


def _renamed(table: pd.DataFrame, dark: str) -> pd.DataFrame:
    line = table["cre_line"].astype("str")
    return table.assign(cre_line=line.where(line != "Sst-IRES-Cre", dark))


def _one(store: Store) -> Diet:
    return Diet.ids([str(store.neurons["neuron_id"].iloc[0])], name="one")


@pytest.mark.parametrize(
    ("diet", "said"),
    [
        pytest.param(lambda store: load_diet("inhibitory"), "names no pair of thresholds", id="no moments"),
        pytest.param(_one, "1 of 36 considered", id="one neuron", marks=pytest.mark.slow),
        pytest.param(
            lambda store: load_diet("random-matched").with_parameters(max_skewness=1.2, max_kurtosis=4.0),
            "Residual imbalance",
            id="matched",
        ),
        pytest.param(
            lambda store: Diet.where("skewness <= quantile(skewness, 0.5)", name="half"),
            "quantile(skewness, 0.5)",
            id="frozen",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_any_diet_has_a_page(diet: Any, said: str, opened: Store, tmp_path: Path) -> None:
    path = diet(opened).resolve(opened).report(tmp_path / "page.html", opened)
    reader = read(path)
    assert set(reader.sections) >= set(SECTIONS)
    assert said in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", [pytest.param(None, marks=pytest.mark.slow), "a reason of ours"])
def test_leaks_are_shown_with_the_reason_or_its_absence(reason: str | None, opened: Store, tmp_path: Path) -> None:
    diet = Diet.where("skewness <= 1.2", name="peeking").with_options(statistics_window="all")
    manifest = diet.resolve(opened)
    page = read(write_datasheet(manifest, opened, tmp_path / "page.html", allow_leakage=reason))
    leaks = [row for row in page.rows("Leaks") if row["leaks"] != "0"]
    assert leaks
    assert {row["result"] for row in leaks} == {f"LEAK, allowed: {reason}" if reason else "LEAK"}
    assert (reason or "No reason to allow that was given.") in page.texts["Leaks"]


def test_checks_that_looked_at_nothing_are_not_counted_as_checks(opened: Store, tmp_path: Path) -> None:
    page = read(Diet.everyone(name="all").resolve(opened).report(tmp_path / "page.html", opened))
    rows = page.rows("Leaks")
    idle = sum(row["result"] == "nothing to check" for row in rows)
    assert 0 < idle < len(rows)
    said = f"{len(rows) - idle} checks of this manifest alone: no leak. {idle} more had nothing to check."
    assert said in page.texts["Leaks"]


def test_what_would_take_long_is_said_and_not_computed(
    predictable: Manifest, opened: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MOST_RECORDINGS", 0)
    monkeypatch.setattr(type(opened), "statistics_folder", property(lambda self: tmp_path / "nothing"))
    page = read(write_datasheet(predictable, opened, tmp_path / "page.html"))
    assert "fisher_direction is not shown: fisher_direction is not kept" in page.texts["Information"]
    assert "poyodata stats" in page.texts["How sure membership is"]


def test_information_that_is_kept_is_shown(predictable: Manifest, opened: Store, sheet: Path, page: Reader) -> None:
    computed = compute_statistics(opened, "fisher_direction")
    if computed["fisher_direction"].notna().any():
        assert sum(int(row["with a value"]) for row in page.rows("Information")) == computed["fisher_direction"].count()
    else:
        assert "six trials" in page.texts["Information"]


def test_another_store_is_refused_and_a_folder_is_no_file(predictable: Manifest, opened: Store, tmp_path: Path) -> None:
    moved = Manifest(
        predictable.neurons,
        predictable.windows,
        predictable.role_time,
        predictable.population,
        dict(predictable.meta) | {"store_digest": "0" * 64},
    )
    with pytest.raises(ManifestError):
        write_datasheet(moved, opened, tmp_path / "page.html")
    with pytest.raises(UsageError, match="give another file"):
        write_datasheet(predictable, opened, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("neurons", "most_bytes"), [pytest.param(60_000, 600_000, id="60,000 neurons")])
def test_many_neurons_are_drawn_as_pixels(neurons: int, most_bytes: int) -> None:
    rng = np.random.default_rng(0)
    skewness = rng.gamma(1.5, 2.0, neurons)
    moments = pd.DataFrame({"skewness": skewness, "kurtosis": skewness**2 + rng.gamma(2, 4, neurons)})
    answer = np.where(skewness <= 3.51, "kept", "rejected")
    svg = figures.plane(moments, answer, Thresholds())
    assert "<image" in svg
    assert len(svg) < most_bytes
    assert len(figures.cumulative({"kept": rng.normal(size=neurons)}, "x")) < 100_000


@pytest.mark.slow
def test_the_real_recording_shows_its_38_neither(real_recording: Path, tmp_path: Path) -> None:
    from poyodata.ingest import ingest
    from poyodata.store import open_store

    ingest([real_recording], tmp_path / "real.zarr")
    store = open_store(tmp_path / "real.zarr")
    manifest = load_diet("predictable").with_options(statistics_window="all").resolve(store)
    page = read(write_datasheet(manifest, store, tmp_path / "page.html"))
    assert "38 of 254 neurons (15.0 %) are neither" in page.texts["Skewness and kurtosis"]
    counts = {row["region"]: int(row["all"]) for row in page.rows("Skewness and kurtosis")}
    assert (counts["predictable"], counts["high in both"]) == (111, 105)
    assert "de Vries" in page.texts["How to cite"]
    assert "POYO-CAP" in page.texts["How to cite"]
