from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import UsageError
from poyodata.simulation.recording import TABLE_COLUMNS, Timeline
from poyodata.simulation.timeline import LAYOUTS, frame_clock, session_timeline
from poyodata.simulation.world import World

# Imaging frames up to which AllenSDK takes two presentations for one epoch.
LONGEST_GAP = {"three_session_A": 39, "three_session_B": 15, "three_session_C": 7, "three_session_C2": 7}
SMALL = World(
    name="small",
    trials_per_block=(44, 44, 44),
    movie_frames=18,
    movie_repeats=5,
    movie_three_frames=30,
    movie_three_repeats=2,
    static_gratings_per_block=(240, 240, 240),
    scenes=11,
    scenes_per_block=(240, 240, 240),
    sparse_noise_per_block=(240, 240, 241),
    spontaneous_s=20.0,
    lead_s=8.0,
    pause_s=12.0,
)
ALLEN = World(
    name="allen",
    trials_per_block=(200, 200, 228),
    movie_frames=900,
    movie_repeats=10,
    movie_three_frames=3600,
    movie_three_repeats=5,
    static_gratings_per_block=(1920, 1920, 2160),
    scenes=118,
    scenes_per_block=(1920, 1920, 2110),
    sparse_noise_per_block=(2880, 2880, 3120),
    spontaneous_s=300.0,
    lead_s=24.5,
    pause_s=30.0,
)
# Epoch tables of real recordings.
REAL = {
    "three_session_A": [
        ("drifting_gratings", 736, 18810),
        ("natural_movie_three", 19746, 37850),
        ("natural_movie_one", 38756, 47807),
        ("drifting_gratings", 48712, 66786),
        ("spontaneous", 66936, 75868),
        ("natural_movie_three", 75869, 93972),
        ("drifting_gratings", 94878, 115485),
    ],
    "three_session_B": [
        ("static_gratings", 747, 15196),
        ("natural_scenes", 16100, 30551),
        ("spontaneous", 30701, 39581),
        ("natural_scenes", 39582, 54050),
        ("static_gratings", 54953, 69403),
        ("natural_movie_one", 70307, 79338),
        ("natural_scenes", 80241, 96126),
        ("static_gratings", 97406, 113662),
    ],
    "three_session_C": [
        ("locally_sparse_noise", 743, 22418),
        ("spontaneous", 22568, 31450),
        ("natural_movie_one", 31451, 40480),
        ("locally_sparse_noise", 41386, 63059),
        ("natural_movie_two", 63963, 72992),
        ("spontaneous", 73142, 82024),
        ("locally_sparse_noise", 82025, 105503),
    ],
}


def lay_out(world: World, session_type: str, seed: int = 0, dropped: float = 0.0) -> Timeline:
    return session_timeline(world, session_type, np.random.default_rng(seed), dropped_frames_per_hour=dropped)


def epochs(timeline: Timeline, longest_gap: int) -> list[tuple[str, int, int]]:
    """Epochs as AllenSDK finds them: a stimulus's table is cut where nothing starts for long after an end."""
    found = []
    for stimulus, table in timeline.tables.items():
        gap = table["start"].to_numpy()[1:] - table["end"].to_numpy()[:-1]
        for part in np.split(np.arange(len(table)), 1 + np.flatnonzero(gap > longest_gap)):
            found.append((stimulus, int(table["start"].iloc[part[0]]), int(table["end"].iloc[part[-1]])))
    return sorted(found, key=lambda epoch: epoch[1])


def names(timeline: Timeline, longest_gap: int) -> list[str]:
    return [stimulus for stimulus, _, _ in epochs(timeline, longest_gap)]


@pytest.fixture(scope="module")
def allen() -> dict[str, Timeline]:
    return {kind: lay_out(ALLEN, kind) for kind in LAYOUTS}


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("dropped", [0.0, 300.0], ids=["no drops", "many drops"])
@pytest.mark.parametrize("world", [SMALL, ALLEN], ids=["small", "allen"])
def test_tables_are_well_formed(world: World, kind: str, dropped: float) -> None:
    timeline = lay_out(world, kind, dropped=dropped)
    assert set(timeline.tables) == set(LAYOUTS[kind])
    for stimulus, table in timeline.tables.items():
        assert tuple(table.columns) == TABLE_COLUMNS[stimulus]
        assert table["start"].dtype == table["end"].dtype == np.int64
        assert (table["start"] <= table["end"]).all()
        assert table["start"].is_monotonic_increasing
        assert (table["start"].to_numpy()[1:] >= table["end"].to_numpy()[:-1]).all()
        assert 0 <= table["start"].iloc[0] <= table["end"].iloc[-1] < timeline.n_frames
    assert tuple(names(timeline, LONGEST_GAP[kind])) == LAYOUTS[kind]
    spans = [(start, end) for _, start, end in epochs(timeline, LONGEST_GAP[kind])]
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))


@pytest.mark.parametrize("kind", REAL)
def test_epochs_lie_where_real_ones_do(kind: str, allen: dict[str, Timeline]) -> None:
    made = epochs(allen[kind], LONGEST_GAP[kind])
    assert [stimulus for stimulus, _, _ in made] == [stimulus for stimulus, _, _ in REAL[kind]]
    for (_, start, end), (_, real_start, real_end) in zip(made, REAL[kind], strict=True):
        # Real session B has one longer pause near its end.
        assert start == pytest.approx(real_start, abs=450)
        assert end - start == pytest.approx(real_end - real_start, rel=0.005, abs=155)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_grey_begins_five_seconds_after_what_precedes_and_ends_before_what_follows(
    kind: str, allen: dict[str, Timeline]
) -> None:
    found = epochs(allen[kind], LONGEST_GAP[kind])
    for before, grey, after in zip(found[:-2], found[1:-1], found[2:], strict=True):
        if grey[0] == "spontaneous":
            assert grey[1] - before[2] == 150
            assert after[1] - grey[2] == 1
            assert grey[2] - grey[1] == pytest.approx(300 * 30.1, rel=0.005)


def test_paces_are_those_of_real_tables(allen: dict[str, Timeline]) -> None:
    gratings = allen["three_session_A"].tables["drifting_gratings"]
    assert set(gratings["end"] - gratings["start"]) == {59, 60}
    apart = np.diff(gratings["start"].to_numpy()[:200])
    assert set(apart) == {90, 91}
    assert 90.1 < apart.mean() < 90.6
    for kind, stimulus in [("three_session_B", "static_gratings"), ("three_session_C", "locally_sparse_noise")]:
        brief = allen[kind].tables[stimulus]
        assert set(brief["end"] - brief["start"]) == {7, 8}
        assert set(np.diff(brief["start"].to_numpy()[:1900])) == {7, 8}
        assert set((brief["start"].to_numpy()[1:] - brief["end"].to_numpy()[:-1])[:1900]) == {0, 1}
    movie = allen["three_session_A"].tables["natural_movie_three"]
    assert set(movie["end"] - movie["start"]) == {0, 1, 2}
    assert (movie["start"].to_numpy()[1:18000] == movie["end"].to_numpy()[:17999]).all()


def test_the_clock_is_that_of_a_microscope(allen: dict[str, Timeline]) -> None:
    for timeline in allen.values():
        steps = np.diff(timeline.time_s)
        assert (steps > 0).all()
        assert 5.0 < timeline.time_s[0] < 12.1
        assert 30.0 <= timeline.rate_hz <= 30.1
        assert np.std(steps) == pytest.approx(2e-5 * np.sqrt(2), rel=0.05)
    rates = {timeline.rate_hz for timeline in (lay_out(SMALL, "three_session_A", seed) for seed in range(3))}
    assert len(rates) == 3
    assert len(frame_clock(60.0, 30.0, np.random.default_rng(0))) == 1800


def test_drifting_gratings_are_balanced(allen: dict[str, Timeline]) -> None:
    table = allen["three_session_A"].tables["drifting_gratings"]
    blank = table["blank_sweep"] == 1
    assert table["blank_sweep"].dtype == np.float64
    assert blank.sum() == 28
    assert (np.diff(np.flatnonzero(blank)) < 44).all()
    assert table.loc[blank, ["temporal_frequency", "orientation"]].isna().all(axis=None)
    assert table[~blank].groupby(["temporal_frequency", "orientation"]).size().tolist() == [15] * 40


def test_static_gratings_are_balanced(allen: dict[str, Timeline]) -> None:
    table = allen["three_session_B"].tables["static_gratings"]
    columns = ["orientation", "spatial_frequency", "phase"]
    blank = table[columns].isna().all(axis=1)
    assert blank.sum() == 200
    counts = table[~blank].groupby(columns).size()
    assert len(counts) == 120
    assert set(counts) <= {48, 49}
    assert sorted(table["spatial_frequency"].dropna().unique()) == [0.02, 0.04, 0.08, 0.16, 0.32]


def test_frames_are_shown_as_they_should(allen: dict[str, Timeline]) -> None:
    scenes = allen["three_session_B"].tables["natural_scenes"]["frame"]
    assert scenes.value_counts().to_dict() == dict.fromkeys(range(-1, 118), 50)
    noise = allen["three_session_C"].tables["locally_sparse_noise"]["frame"]
    assert noise.tolist() == list(range(8880))
    for name in ("locally_sparse_noise_4deg", "locally_sparse_noise_8deg"):
        assert allen["three_session_C2"].tables[name]["frame"].tolist() == list(range(4440))
    assert allen["three_session_A"].tables["natural_movie_three"]["frame"].tolist() == list(range(3600)) * 10
    assert allen["three_session_C"].tables["natural_movie_two"]["frame"].tolist() == list(range(900)) * 10
    assert scenes.dtype == noise.dtype == np.int64


def test_dropped_frames_leave_gaps_and_change_nothing_else() -> None:
    whole, holed = lay_out(ALLEN, "three_session_C"), lay_out(ALLEN, "three_session_C", dropped=200.0)
    assert np.isin(holed.time_s, whole.time_s).all()
    missing = np.rint(np.diff(holed.time_s) * whole.rate_hz).astype(int) - 1
    assert missing.sum() == whole.n_frames - holed.n_frames
    assert 140 < (missing > 0).sum() < 260
    assert missing.max() >= 4
    for stimulus, table in whole.tables.items():
        other = holed.tables[stimulus]
        pd.testing.assert_frame_equal(table.drop(columns=["start", "end"]), other.drop(columns=["start", "end"]))
        if stimulus != "spontaneous":
            moved_s = holed.time_s[other["start"]] - whole.time_s[table["start"]]
            # A stimulus begins in the last frame before it, and up to four or more of those may be missing.
            assert (moved_s <= 0).all()
            assert (moved_s > -0.4).all()
            assert np.median(moved_s) == 0


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("three_session_A", {"movie_three_repeats": 0, "spontaneous_s": 0}, "DG NM1 DG DG"),
        ("three_session_A", {"movie_repeats": 0}, "DG NM3 DG GREY NM3 DG"),
        ("three_session_A", {"trials_per_block": (5,)}, "DG NM3 NM1 GREY NM3"),
        ("three_session_A", {"trials_per_block": (1, 1, 1, 1)}, "DG NM3 NM1 DG GREY NM3 DG DG"),
        ("three_session_B", {"static_gratings_per_block": (3, 2)}, "SG NS GREY NS SG NM1 NS"),
        ("three_session_B", {"scenes_per_block": (1,)}, "SG NS GREY SG NM1 SG"),
        ("three_session_C", {"sparse_noise_per_block": (1,), "movie_repeats": 0}, "LSN GREY"),
        ("three_session_C2", {"sparse_noise_per_block": (1,)}, "LSN4 GREY NM1 NM2 GREY"),
        ("three_session_C2", {"sparse_noise_per_block": (4, 2)}, "LSN4 LSN8 GREY NM1 LSN4 LSN8 NM2 GREY"),
        ("three_session_A", {"pause_s": 0.1}, "DG NM3 NM1 DG GREY NM3 DG"),
        ("three_session_C", {"pause_s": 0.01, "spontaneous_s": 0, "movie_repeats": 0}, "LSN LSN LSN"),
    ],
)
def test_any_number_of_blocks_works(kind: str, changes: dict[str, object], expected: str) -> None:
    short = {
        "drifting_gratings": "DG",
        "static_gratings": "SG",
        "natural_scenes": "NS",
        "locally_sparse_noise": "LSN",
        "locally_sparse_noise_4deg": "LSN4",
        "locally_sparse_noise_8deg": "LSN8",
        "natural_movie_one": "NM1",
        "natural_movie_two": "NM2",
        "natural_movie_three": "NM3",
        "spontaneous": "GREY",
    }
    world = SMALL.replace(**changes)
    assert " ".join(short[name] for name in names(lay_out(world, kind), LONGEST_GAP[kind])) == expected


def test_the_same_seed_gives_the_same_session() -> None:
    one, two, other = (lay_out(SMALL, "three_session_B", seed, dropped=100.0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.time_s, two.time_s)
    for stimulus, table in one.tables.items():
        pd.testing.assert_frame_equal(table, two.tables[stimulus])
    assert not one.tables["natural_scenes"]["frame"].equals(other.tables["natural_scenes"]["frame"])


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'three_session_A'"):
        lay_out(SMALL, "three_sesion_A")
    with pytest.raises(UsageError, match=r"must not be negative, got -1\.0"):
        lay_out(SMALL, "three_session_A", dropped=-1.0)
