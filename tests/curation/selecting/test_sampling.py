"""Balance, top and samples: order-free, nested, stable under added data, and honest about what is unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet
from poyodata.curation.selecting.sampling import draw_hashes, group_codes, places, smallest
from poyodata.curation.selecting.selection import select_neurons
from poyodata.digests import hash_order
from poyodata.errors import DietError


def table_of(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "neuron_id": [f"n{k:04d}" for k in range(n)],
            "session_id": [f"s{k % 8}" for k in range(n)],
            "cre_line": rng.choice(["Sst", "Vip", "Cux2", ""], n, p=[0.5, 0.3, 0.15, 0.05]),
            "depth_um": rng.choice([175.0, 275.0, np.nan], n, p=[0.6, 0.3, 0.1]),
            "x": np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 40, n).astype(float)),
        }
    )


TABLE = table_of()
KNOWN_LINE = TABLE["cre_line"] != ""


def kept(diet: Diet, table: pd.DataFrame = TABLE) -> set[str]:
    return set(table.loc[select_neurons(diet, table).kept, "neuron_id"])


def counts(names: set[str], column: str) -> dict[object, int]:
    return TABLE[TABLE["neuron_id"].isin(names)].groupby(column).size().to_dict()


HASHED = [
    pytest.param(Diet.everyone().sample(fraction=0.3, seed=1), id="sample"),
    pytest.param(Diet.everyone().sample(n=9, seed=1, within="session_id"), id="sample_within"),
    pytest.param(Diet.everyone().balance("cre_line", n=7, seed=1), id="balance"),
    pytest.param(Diet.everyone().balance(["cre_line", "depth_um"], seed=1), id="balance_two_columns"),
    pytest.param(Diet.everyone().top(30, by="x"), id="top"),
    pytest.param(Diet.everyone().top(3, by="abs(x)", order="lowest", within="cre_line"), id="top_within"),
    pytest.param(Diet.where("x > 5").matched(on=["session_id"], seed=1), id="match"),
    pytest.param(Diet.where("x > 20").matched(on=["cre_line", "x"], seed=1), id="match_a_distribution"),
]


@pytest.mark.parametrize("diet", HASHED)
def test_the_order_of_the_table_decides_nothing(diet: Diet) -> None:
    for seed in range(3):
        assert kept(diet, TABLE.sample(frac=1, random_state=seed).reset_index(drop=True)) == kept(diet)


@pytest.mark.parametrize("diet", HASHED)
def test_kept_rejected_and_unknown_are_the_population(diet: Diet) -> None:
    opposite = ~diet
    a, b = select_neurons(diet, TABLE, trace=True), select_neurons(opposite, TABLE, trace=True)
    assert not (a.kept & b.kept).any()
    unknown = a.trace[-1][1].unknown
    assert (unknown == b.trace[-1][1].unknown).all()
    assert (a.kept | b.kept | unknown).all()


@pytest.mark.parametrize(
    "diet",
    [
        pytest.param(Diet.everyone().sample(fraction=0.3, seed=1, within="session_id"), id="sample_within"),
        pytest.param(Diet.everyone().balance("session_id", n=7, seed=1), id="balance"),
        pytest.param(Diet.everyone().top(3, by="x", within="session_id"), id="top_within"),
        pytest.param(Diet.where("x > 5").matched(on=["session_id"], seed=1), id="match"),
    ],
)
def test_recordings_that_are_added_change_nothing_in_the_others(diet: Diet) -> None:
    early = TABLE[TABLE["session_id"] < "s5"].reset_index(drop=True)
    assert kept(diet, early) == kept(diet) & set(early["neuron_id"])


def test_balance_takes_as_many_of_every_group() -> None:
    least = TABLE[KNOWN_LINE].groupby("cre_line").size().min()
    assert counts(kept(Diet.everyone().balance("cre_line")), "cre_line") == dict.fromkeys(["Cux2", "Sst", "Vip"], least)
    both = kept(Diet.everyone().balance(["cre_line", "depth_um"], n=4))
    assert TABLE[TABLE["neuron_id"].isin(both)].groupby(["cre_line", "depth_um"]).size().tolist() == [4] * 6


def test_balance_is_nested() -> None:
    few, more = (kept(Diet.everyone().balance("cre_line", n=n, seed=2)) for n in (5, 20))
    assert few < more
    assert few != kept(Diet.everyone().balance("cre_line", n=5, seed=3))


def test_a_neuron_of_unknown_group_is_unknown_and_no_group_of_its_own() -> None:
    chosen = select_neurons(Diet.everyone().balance("cre_line"), TABLE)
    assert chosen.steps[-1].unknown == int((~KNOWN_LINE).sum())
    part = select_neurons(Diet.everyone().sample(fraction=1.0, within="cre_line"), TABLE)
    assert part.steps[-1].unknown == int((~KNOWN_LINE).sum())
    with pytest.raises(DietError, match="unknown for"):
        select_neurons(Diet.everyone().balance("cre_line").with_options(missing="error"), TABLE)


def test_balance_with_too_large_a_number_names_the_group() -> None:
    has = int((TABLE["cre_line"] == "Cux2").sum())
    with pytest.raises(DietError, match=f"asks for 100 neurons of every cre_line, but Cux2 has {has}"):
        kept(Diet.everyone().balance("cre_line", n=100))


@pytest.mark.parametrize("order", ["highest", "lowest"])
def test_top_takes_the_ends(order: str) -> None:
    names = kept(Diet.everyone().top(25, by="x", order=order))
    chosen = TABLE["neuron_id"].isin(names)
    inside, outside = TABLE.loc[chosen, "x"], TABLE.loc[~chosen, "x"].dropna()
    assert len(names) == 25
    assert (inside.min() >= outside.max()) if order == "highest" else (inside.max() <= outside.min())


def test_ties_of_top_are_decided_by_hash() -> None:
    table = pd.DataFrame({"neuron_id": [f"n{k}" for k in range(50)], "x": 1.0})
    expected = table["neuron_id"].to_numpy(object)[np.argsort(hash_order(table["neuron_id"], 0))[:10]]
    assert kept(Diet.everyone().top(10, by="x"), table) == set(expected)


def test_top_of_a_group_with_too_few_keeps_all_of_it_and_says_so() -> None:
    chosen = select_neurons(Diet.everyone().top(80, by="x", within="cre_line"), TABLE)
    names = set(TABLE.loc[chosen.kept, "neuron_id"])
    known = TABLE[KNOWN_LINE & TABLE["x"].notna()]
    assert counts(names, "cre_line") == known.groupby("cre_line").size().clip(upper=80).to_dict()
    few = int((known.groupby("cre_line").size() < 80).sum())
    assert few and any(f"in {few} groups of cre_line (first Cux2)" in warning for warning in chosen.warnings)
    assert chosen.steps[-1].unknown == len(TABLE) - len(known)


def test_top_takes_infinite_values_as_the_ends_they_are() -> None:
    table = pd.DataFrame({"neuron_id": list("abcd"), "x": [np.inf, 1.0, -np.inf, np.nan]})
    assert kept(Diet.everyone().top(1, by="x"), table) == {"a"}
    assert kept(Diet.everyone().top(1, by="x", order="lowest"), table) == {"c"}
    with pytest.raises(DietError, match="holds no numbers"):
        kept(Diet.everyone().top(1, by="neuron_id"), table)


def test_several_unknown_columns_are_named_together() -> None:
    with pytest.raises(DietError, match=r"2 unknown columns 'cre_lin': .*cre_line.* 'depth': .*depth_um"):
        kept(Diet.everyone().balance(["cre_lin", "depth"]))


def test_draws_of_one_seed_are_unrelated_orders() -> None:
    hashes = hash_order([f"n{k}" for k in range(2000)], 0)
    ranks = np.array([np.argsort(np.argsort(draw_hashes(hashes, draw))) for draw in range(20)])
    ranks = np.vstack([np.argsort(np.argsort(hashes)), ranks])
    related = np.corrcoef(ranks) - np.eye(21)
    assert np.abs(related).max() < 4.5 / np.sqrt(2000)  # 210 pairs, 4.5 standard deviations


def test_equal_hashes_are_told_apart_by_name() -> None:
    ids = pd.Series(["b", "a", "c"])
    place = places((np.zeros(3, np.uint64),), np.zeros(3, np.int64), ids, np.arange(3))
    assert place.tolist() == [1, 0, 2]


@pytest.mark.parametrize("n", [0, 1, 5, 10, 11])
def test_the_smallest_are_found_without_sorting(n: int) -> None:
    hashes = np.random.default_rng(n).permutation(10).astype(np.uint64)
    assert sorted(hashes[smallest(hashes, n)]) == list(range(min(n, 10)))


def test_groups_are_combinations_that_occur() -> None:
    codes, names = group_codes(TABLE, ["cre_line", "depth_um"])
    known = TABLE[KNOWN_LINE & TABLE["depth_um"].notna()]
    assert np.bincount(codes[codes >= 0]).tolist() == known.groupby(["cre_line", "depth_um"]).size().tolist()
    assert names[0] == "Cux2 x 175.0" and len(names) == 6
    codes, names = group_codes(TABLE, ["cre_line"], missing_too=True)
    assert (codes >= 0).all() and names == ["Cux2", "Sst", "Vip", "(missing)"]
