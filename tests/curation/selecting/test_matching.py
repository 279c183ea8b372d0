"""Random controls: matched exactly where they can be, as nearly as can be elsewhere, and drawn at random."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest
from poyodata.curation.selecting.imbalance import ks_distance, smd
from poyodata.curation.selecting.matching import MatchPlan
from poyodata.curation.selecting.selection import Selection, select_neurons
from poyodata.curation.selecting.strata import borrow
from poyodata.errors import DietError


def table_of(n: int = 1200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    session = rng.integers(0, 12, n)
    x = rng.gamma(2, 2, n)
    return pd.DataFrame(
        {
            "neuron_id": [f"n{k:05d}" for k in range(n)],
            "session_id": [f"s{k:02d}" for k in session],
            "cre_line": np.array(["Sst", "Vip", "Cux2"])[session % 3],
            "area": rng.choice(["VISp", "VISl", ""], n, p=[0.7, 0.2, 0.1]),
            "depth_um": rng.choice([175.0, 275.0, 375.0], n),
            "x": x,
            "y": np.where(rng.random(n) < 0.05, np.nan, x + rng.normal(0, 2, n)),
            "tokens": 100_000 + 137 * session.astype(np.int64) ** 2,
            "windows": 500 + session.astype(np.int64),
            "picked": rng.random(n) < 0.05 + 0.2 * (x > 5),
        }
    )


TABLE = table_of()
TARGET = Diet.where("picked", name="picked")


def chosen(diet: Diet, table: pd.DataFrame = TABLE) -> tuple[pd.DataFrame, Selection]:
    selection = select_neurons(diet, table)
    return table[selection.kept], selection


def imbalance(selection: Selection) -> pd.DataFrame:
    return pd.DataFrame(selection.matched)


@pytest.mark.parametrize(
    "on",
    [
        pytest.param([], id="number"),
        pytest.param(["session_id"], id="recordings"),
        pytest.param(["cre_line"], id="lines"),
        pytest.param(["cre_line", "area"], id="lines_and_areas"),
        pytest.param(["session_id", "cre_line", "area", "depth_um"], id="all_at_once"),
    ],
)
def test_groups_agree_exactly(on: list[str]) -> None:
    drawn, selection = chosen(TARGET.matched(on=on, seed=3))
    target = TABLE[TABLE["picked"]]
    assert len(drawn) == len(target)
    for column in on:
        if column != "depth_um":
            assert drawn[column].value_counts().to_dict() == target[column].value_counts().to_dict()
    if on:
        exact = [column for column in on if column != "depth_um"]
        assert drawn.groupby(exact).size().to_dict() == target.groupby(exact).size().to_dict()
    rows = imbalance(selection)
    assert set(rows["thing"]) == {"neurons", *on}
    assert (rows.loc[rows["thing"] != "depth_um", "difference"] == 0).all()
    assert not drawn["picked"].all()


def test_a_distribution_is_matched_within_groups() -> None:
    free = imbalance(chosen(TARGET.matched(on=["cre_line"], seed=1))[1])
    assert "x" not in set(free["thing"])
    target = TABLE[TABLE["picked"]]
    random = chosen(TARGET.matched(on=["cre_line"], seed=1))[0]
    drawn, selection = chosen(TARGET.matched(on=["cre_line", "x"], seed=1))
    row = imbalance(selection).set_index("thing").loc["x"]
    assert row["smd"] == pytest.approx(smd(target["x"].to_numpy(), drawn["x"].to_numpy()))
    assert row["ks"] == ks_distance(target["x"].to_numpy(), drawn["x"].to_numpy())
    assert abs(row["smd"]) < 0.1 < abs(smd(target["x"].to_numpy(), random["x"].to_numpy()) or 0)
    assert row["ks"] < 0.1 < (ks_distance(target["x"].to_numpy(), random["x"].to_numpy()) or 0)
    assert drawn["cre_line"].value_counts().to_dict() == target["cre_line"].value_counts().to_dict()


def test_two_distributions_and_missing_values_are_matched_together() -> None:
    drawn, selection = chosen(TARGET.matched(on=["x", "y"], seed=1))
    rows = imbalance(selection).set_index("thing")
    assert rows.loc[["x", "y"], "smd"].abs().max() < 0.2
    assert int(drawn["y"].isna().sum()) == int(TABLE.loc[TABLE["picked"], "y"].isna().sum())


def test_a_number_with_few_values_is_matched_value_by_value() -> None:
    drawn, _ = chosen(TARGET.matched(on=["depth_um"], seed=1))
    target = TABLE[TABLE["picked"]]
    assert drawn["depth_um"].value_counts().to_dict() == target["depth_um"].value_counts().to_dict()


def test_too_few_in_a_bin_are_taken_from_the_nearest() -> None:
    low = Diet.where("x <= 4", name="low")
    drawn, selection = chosen(Diet.where("x > 4 and picked", name="high").matched(on=["x"], of=low))
    assert len(drawn) == len(TABLE[(TABLE["x"] > 4) & TABLE["picked"]])
    assert drawn["x"].min() >= np.sort(TABLE.loc[TABLE["x"] <= 4, "x"])[-len(drawn) - 5]
    assert imbalance(selection).set_index("thing").loc["x", "ks"] == 1.0  # said, and not hidden


def test_lent_neurons_come_from_the_nearest_cells_of_the_same_group() -> None:
    place = np.array([[0, 0], [0, 2], [0, 4], [1, 2]])
    assert borrow(np.array([4, 0, 0, 1]), np.array([1, 2, 9, 9]), place).tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("diet", "expected"),
    [
        pytest.param(
            TARGET.matched(on=["cre_line"], of=Diet.where("cre_line == 'Sst'")),
            r"needs \d+ neurons in cre_line 'Cux2', but its pool has 0 there \(and 1 further groups .*Widen the pool",
            id="a_group_without_pool",
        ),
        pytest.param(
            Diet.everyone().matched(of=TARGET),
            r"needs 1200 neurons in the pool, but its pool has \d+",
            id="pool_too_small",
        ),
        pytest.param(Diet.where("x > 1000").matched(), "its target keeps no neuron", id="no_target"),
        pytest.param(TARGET.matched(on=["cre_lin"]), "did you mean 'cre_line'", id="unknown_column"),
    ],
)
def test_what_cannot_be_matched_is_refused(diet: Diet, expected: str) -> None:
    with pytest.raises(DietError, match=expected):
        chosen(diet)


def test_tokens_need_a_store_or_a_column() -> None:
    with pytest.raises(DietError, match="matches on tokens, which only a store knows"):
        chosen(TARGET.matched(on=["tokens"]), TABLE.drop(columns="tokens"))


@pytest.mark.parametrize("thing", ["tokens", "windows"])
@pytest.mark.parametrize("draw", range(4))
def test_totals_agree_as_nearly_as_the_pool_lets_them(thing: str, draw: int) -> None:
    total = int(TABLE.loc[TABLE["picked"], thing].sum())
    drawn, selection = chosen(TARGET.matched(on=["cre_line", thing], draw=draw))
    row = imbalance(selection).set_index("thing").loc[thing]
    assert row["drawn"] == drawn[thing].sum() and row["target"] == total
    assert row["difference"] == 0  # every recording has some of the pool left to exchange
    assert chosen(TARGET.matched(on=["session_id", thing], draw=draw))[0][thing].sum() == total


def test_missing_values_of_a_number_are_counted_beside_its_mean() -> None:
    table = TABLE.assign(y=np.where(TABLE["picked"] & (TABLE["x"] < 2), np.nan, TABLE["x"]))
    lacking = int((table["picked"] & table["y"].isna()).sum())
    target, pool = Diet.where("picked", name="t"), Diet.where("not picked and not isnan(y)")
    drawn, selection = chosen(target.matched(on=["y"], of=pool), table)
    rows = imbalance(selection).set_index(["thing", "group"])
    missing = rows.loc[("y", "(missing)")]
    assert lacking > 5 and drawn["y"].notna().all()
    assert (missing["target"], missing["drawn"], missing["difference"]) == (lacking, 0, -lacking)
    assert rows.loc[("y", "mean"), "target"] == pytest.approx(table.loc[table["picked"], "y"].mean())
    assert (imbalance(chosen(TARGET.matched(on=["x"]))[1])["group"] != "(missing)").all()  # none where none is


def test_totals_agree_although_no_recording_is_shared() -> None:
    target = Diet.where("session_id in ['s03', 's06'] and x > 6", name="t")
    pool = Diet.where("session_id not in ['s03', 's06']")
    drawn, _ = chosen(target.matched(on=["tokens"], of=pool))
    aim = TABLE[TABLE["session_id"].isin(["s03", "s06"]) & (TABLE["x"] > 6)]
    assert len(drawn) == len(aim)
    assert abs(int(drawn["tokens"].sum()) - int(aim["tokens"].sum())) <= 137


def test_roles_of_recordings_are_always_matched() -> None:
    table = TABLE.assign(
        role=np.where(TABLE["session_id"] < "s07", "train", np.where(TABLE["session_id"] < "s09", "valid", "test"))
    )
    drawn, selection = chosen(TARGET.matched(), table)
    target = table[table["picked"]]
    assert drawn["role"].value_counts().to_dict() == target["role"].value_counts().to_dict()
    rows = imbalance(selection)
    assert rows["role"].tolist() == ["test", "train", "valid"] and (rows["difference"] == 0).all()
    with pytest.raises(DietError, match="in role 'test'"):
        chosen(TARGET.matched(of=Diet.where("session_id in ['s00', 's01', 's02', 's03', 's07', 's08']")), table)


def plan(n: int = 60, k: int = 15) -> MatchPlan:
    table = pd.DataFrame({"neuron_id": [f"n{i:03d}" for i in range(n)]})
    return MatchPlan.make(table, np.arange(n) < k, np.ones(n, bool), ())


def test_every_neuron_is_drawn_equally_often() -> None:
    draws = 2000
    taken = np.zeros(60)
    own = plan()
    for draw in range(draws):
        taken[own.draw(0, draw)] += 1
    share = 15 / 60
    # Inclusions of one draw add up to 15, which takes one degree of freedom and a little of the variance.
    chi2 = float(((taken - draws * share) ** 2 / (draws * share * (1 - share))).sum()) * 59 / 60
    assert 59 - 3.3 * np.sqrt(2 * 59) < chi2 < 59 + 3.3 * np.sqrt(2 * 59)


def test_two_draws_share_as_many_as_chance_says() -> None:
    own = plan()
    sets = [set(own.draw(7, draw).tolist()) for draw in range(800)]
    shared = [len(a & b) for a, b in itertools.pairwise(sets)]
    mean = 15 * 15 / 60
    spread = np.sqrt(15 * (15 / 60) * (45 / 60) * (45 / 59))
    assert abs(np.mean(shared) - mean) < 4 * spread / np.sqrt(len(shared))
    assert abs(np.std(shared) - spread) < 0.15 * spread
    assert plan().draw(7, 3).tolist() == own.draw(7, 3).tolist()
    assert plan().draw(8, 3).tolist() != own.draw(7, 3).tolist()


def test_measures_of_imbalance_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 80), np.round(rng.normal(0.3, 1, 50), 1)
    assert ks_distance(a, b) == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert smd(a, a + 1) == pytest.approx(1 / a.std())
    assert smd(np.ones(3), np.ones(2)) == 0 and smd(np.ones(3), np.zeros(2)) is None


def test_a_manifest_prints_what_still_differs(
    resolve: Callable[..., Manifest], store: Any, make_split: Callable[..., Any]
) -> None:
    diet = Diet.where("skewness <= 2", name="low").matched(on=["session_id", "kurtosis", "tokens"])
    manifest = resolve(diet, store, make_split(store, across=True))
    table = manifest.imbalance()
    assert table.columns.tolist() == ["rule", "thing", "role", "group", "target", "drawn", "difference", "smd", "ks"]
    assert (table["rule"] == "neurons.match").all()
    assert set(table["role"]) == {"train", "test"}
    exact = table[table["thing"].isin(["neurons", "session_id", "tokens"])]
    assert len(exact) and (exact["difference"] == 0).all()
    assert manifest.population["tokens"].gt(0).all()
