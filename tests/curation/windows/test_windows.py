from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, c
from poyodata.curation.windows.choice import COLUMNS
from poyodata.errors import DietError

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]
GRATINGS = c.stimulus == "drifting_gratings"
STEP = 90


def counts(manifest: Manifest) -> dict[str, int]:
    return manifest.windows["role"].value_counts().to_dict()


@pytest.mark.parametrize(
    ("condition", "length_s", "expected"),
    [
        pytest.param(GRATINGS, None, {"train": 20, "valid": 10, "test": 10}, id="trials"),
        pytest.param(GRATINGS, 1.9, {"train": 20, "valid": 10, "test": 10}, id="long enough"),
        pytest.param(GRATINGS & ~c.blank, None, {"train": 18, "valid": 9, "test": 9}, id="no blanks"),
        pytest.param(c.direction_deg == 90, None, {"train": 3, "valid": 1, "test": 1}, id="direction"),
        pytest.param(c.trial < 35, None, {"train": 20, "valid": 10, "test": 5}, id="trials"),
        pytest.param(
            (c.trial < 35) | c.trial.isnan(), None, {"train": 21, "valid": 10, "test": 5}, id="trials and what is none"
        ),
        pytest.param(GRATINGS & (c.role == "test"), None, {"test": 10}, id="one role by name"),
        pytest.param(c.stimulus == "spontaneous", None, {"train": 1}, id="spontaneous"),
    ],
)
def test_presentations_become_windows(
    condition: object,
    length_s: float | None,
    expected: dict[str, int],
    resolve: Resolve,
    make_store: Make,
    make_split: Make,
) -> None:
    store = make_store(1)
    diet = Diet.everyone().during(condition, min_length_s=length_s)
    split = make_split(store)
    if expected.keys() == {"train"}:
        with pytest.raises(DietError, match="role 'valid' of the split empty"):
            resolve(diet, store, split)
        diet = Diet.everyone().during((c.stimulus == "spontaneous") & (c.role == "train"))
    manifest = resolve(diet, store, split)
    assert counts(manifest) == expected
    assert tuple(manifest.windows.columns) == COLUMNS


def test_a_window_is_one_trial_with_what_was_shown(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    store = make_store(2)
    windows = resolve(Diet.everyone().during(GRATINGS), store, make_split(store)).windows
    row = windows.iloc[2]
    assert row[["session_id", "role", "start_frame", "stop_frame", "trial"]].tolist() == ["s00", "train", 780, 840, 2]
    assert row["direction_deg"] == 90.0
    assert row["stimulus"] == "drifting_gratings"
    assert windows["session_id"].value_counts().to_dict() == {"s00": 40, "s01": 40}


def test_a_trial_across_a_border_or_a_gap_is_no_window(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    store = make_store(1)
    split = make_split(store)
    split.windows.loc[split.windows["role"] == "train", "stop_frame"] -= STEP // 2  # cuts trial 19
    store.segments.loc[store.segments["segment"] == 0, "stop_frame"] += 3 * STEP + 10  # moves the gap into trial 23
    store.segments.loc[store.segments["segment"] == 1, "start_frame"] += 3 * STEP + 10
    windows = resolve(Diet.everyone().during(GRATINGS), store, split).windows
    assert sorted(set(range(40)) - set(windows["trial"])) == [19, 23]


def test_a_trial_over_two_touching_stretches_of_one_role_is_whole(
    resolve: Resolve, make_store: Make, make_split: Make
) -> None:
    store = make_store(1)
    split = make_split(store)
    first = split.windows.iloc[[0]]
    cut = 600 + 5 * STEP + 10
    split.windows = pd.concat(
        [first.assign(stop_frame=cut), first.assign(start_frame=cut), split.windows.iloc[1:]], ignore_index=True
    )
    assert counts(resolve(Diet.everyone().during(GRATINGS), store, split))["train"] == 20


def test_without_a_condition_windows_are_stretches_of_roles_cut_at_gaps(
    resolve: Resolve, make_store: Make, make_split: Make
) -> None:
    store = make_store(1)
    store.segments = pd.DataFrame(
        {"session_id": "s00", "segment": [0, 1, 2], "start_frame": [0, 100, 700], "stop_frame": [100, 700, 4200]}
    )
    windows = resolve(Diet.everyone(), store, make_split(store)).windows
    rows = windows[["role", "start_frame", "stop_frame", "stimulus", "epoch"]].to_numpy().tolist()
    assert rows == [
        ["train", 0, 100, "spontaneous", 0],
        ["train", 100, 700, "", -1],
        ["train", 700, 2400, "drifting_gratings", 1],
        ["valid", 2400, 3300, "drifting_gratings", 1],
        ["test", 3300, 4200, "drifting_gratings", 1],
    ]
    assert (windows["trial"] == -1).all()
    short = resolve(Diet.everyone().during(min_length_s=4), store, make_split(store))
    assert counts(short) == {"train": 2, "valid": 1, "test": 1}


@pytest.mark.parametrize(
    ("diet", "expected"),
    [
        pytest.param(Diet.everyone().during(GRATINGS, min_length_s=3), "min_length_s: 3.0 drops all", id="too long"),
        pytest.param(Diet.everyone().during(c.trial < 20), "windows.where (trial < 20)", id="no valid trial"),
        pytest.param(
            Diet.everyone().during(GRATINGS & (c.role == "test") & (c.trial < 3)), "keeps no window", id="none"
        ),
        pytest.param(Diet.everyone().during(c.stimulus == "natural_movie_one"), "keeps no presentation", id="no movie"),
        pytest.param(
            Diet.everyone().during(c.stimulus == "gratings"), "'drifting_gratings' (40 presentations)", id="name"
        ),
    ],
)
def test_an_empty_role_says_what_emptied_it(
    diet: Diet, expected: str, resolve: Resolve, make_store: Make, make_split: Make
) -> None:
    store = make_store(1)
    with pytest.raises(DietError) as caught:
        resolve(diet, store, make_split(store))
    assert expected in str(caught.value)


def test_a_rule_without_neurons_in_a_held_out_donor_says_so(
    resolve: Resolve, make_store: Make, make_split: Make
) -> None:
    store = make_store()
    diet = Diet.where("cre_line == 'Sst-IRES-Cre'", name="sst").during(GRATINGS)
    with pytest.raises(DietError, match="role 'test' of the split empty: the split gives it to 2 recordings"):
        resolve(diet, store, make_split(store, across=True))


def test_steps_of_windows_add_up(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    store = make_store(2)
    funnel = resolve(Diet.everyone().during(c.direction_deg == 90, min_length_s=1), store, make_split(store)).funnel()
    rows = funnel.set_index("step")[["kept", "rejected", "unknown"]]
    assert rows.loc["windows.role"].tolist() == [82, 0, 0]
    assert rows.loc["windows.where"].tolist() == [10, 62, 10]
    assert rows.loc["windows.min_length_s"].tolist() == [10, 0, 0]
