"""Counts of a rule are promises: whatever is unknown, however pools overlap, as many are kept as were asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, load_diet
from poyodata.curation.language import rules
from poyodata.curation.selecting.deciding import decided_by
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import Selection, select_neurons
from poyodata.errors import DietError

N = 60
TABLE = pd.DataFrame(
    {
        "neuron_id": [f"n{k:02d}" for k in range(N)],
        "line": [None if k % 10 == 9 else ("Sst", "Vip", "Cux2")[k % 3] for k in range(N)],
        "x": [np.nan if k % 5 == 4 else float(k) for k in range(N)],
        "y": [float(k) for k in range(N)],
    }
)
UNKNOWN = int(TABLE["x"].isna().sum())
KNOWN_X = Diet.where("x >= 0")


def select(diet: Diet, trace: bool = False) -> Selection:
    return select_neurons(diet, TABLE, trace=trace)


def included(diet: Diet) -> Diet:
    return diet.with_options(missing="include")


@pytest.mark.parametrize(
    ("diet", "expected"),
    [
        pytest.param(KNOWN_X.sample(n=3, seed=1), 3, id="sample"),
        pytest.param(KNOWN_X.sample(fraction=0.5, seed=1), 30, id="fraction_of_all_members"),
        pytest.param(KNOWN_X.sample(n=4, within="line"), 12, id="sample_within"),
        pytest.param(Diet.everyone().balance("line", n=5), 15, id="balance"),
        pytest.param(KNOWN_X.top(2, by="x"), 2, id="top"),
        pytest.param(KNOWN_X.top(2, by="y", within="line"), 6, id="top_within"),
        pytest.param((~Diet.where("x < 30")).sample(n=7), 7, id="sample_of_a_complement"),
        pytest.param(KNOWN_X.sample(n=20).sample(n=5), 5, id="nested"),
        pytest.param(KNOWN_X.sample(n=6).matched(of=KNOWN_X, seed=3), 6, id="match"),
        pytest.param(
            Diet(rules.Mix((rules.MixTerm(KNOWN_X.neurons, n=9), rules.MixTerm(KNOWN_X.neurons, n=8)))), 17, id="mix"
        ),
    ],
)
def test_unknown_neurons_are_included_before_taking_and_never_after(diet: Diet, expected: int) -> None:
    chosen = select(included(diet), trace=True)
    assert chosen.kept.sum() == expected
    assert not chosen.trace[-1][1].unknown.any()
    by = decided_by(included(diet), chosen, References(diet))
    assert ((by == "").to_numpy(bool) == chosen.kept).all()


def test_members_of_a_sample_are_the_known_and_the_unknown() -> None:
    chosen = select(included(KNOWN_X.sample(fraction=0.5)))
    assert chosen.frozen["neurons.sample"] == {"pool": N, "taken": 30, "seed": 0}
    assert any(step.step == "neurons.sample.of.missing" and step.kept == N for step in chosen.steps)
    # Without a count nothing changes: who is unknown is added.
    assert select(included(Diet.where("x >= 30"))).kept.sum() == 24 + UNKNOWN


@pytest.mark.parametrize(
    ("diet", "what"),
    [
        pytest.param(Diet.everyone().top(2, by="x"), "12 neurons .* x is missing there", id="top"),
        pytest.param(Diet.everyone().balance("line", n=2), "6 neurons .* line is missing there", id="balance"),
        pytest.param(Diet.everyone().sample(n=2, within="line"), "6 neurons .* line is missing there", id="within"),
    ],
)
def test_who_cannot_be_ranked_or_grouped_is_rejected_aloud(diet: Diet, what: str) -> None:
    with_them, without = select(included(diet)), select(diet)
    assert (with_them.kept == without.kept).all()
    assert with_them.steps[-1].unknown == 0 < without.steps[-1].unknown
    (warning,) = with_them.warnings
    assert pd.Series([warning]).str.contains(what).all()


def test_a_reference_counts_by_its_own_policy(tmp_path) -> None:
    (tmp_path / "few.yaml").write_text(included(KNOWN_X.sample(n=3, seed=1)).to_yaml(), encoding="utf-8")
    (tmp_path / "top.yaml").write_text("diet: 1\nneurons: {diet: few.yaml}\n", encoding="utf-8")
    assert (select(load_diet(tmp_path / "top.yaml")).kept == select(included(KNOWN_X.sample(n=3, seed=1))).kept).all()


def test_unknown_neurons_of_a_diet_that_excludes_them_are_taken_in_aloud(tmp_path) -> None:
    for name, policy in (("strict", "exclude"), ("open", "include")):
        diet = Diet.where("x < 30", name=name).with_options(missing=policy)
        (tmp_path / f"{name}.yaml").write_text(diet.to_yaml(), encoding="utf-8")
    (tmp_path / "outer.yaml").write_text(
        "diet: 1\nname: outer\nmissing: include\nneurons: {diet: strict.yaml}\n", encoding="utf-8"
    )
    chosen = select(load_diet(tmp_path / "outer.yaml"))
    said = f"{UNKNOWN} neurons are kept for which diet 'strict.yaml' is unknown, and which it excludes by itself"
    assert [warning for warning in chosen.warnings if said in warning and "of diet 'outer'" in warning]
    for text in (
        "{diet: open.yaml}",
        "{intersect: [{diet: strict.yaml}, {where: not isnan(x)}]}",
        "{difference: [all, {sample: {of: {diet: strict.yaml}, n: 30}}]}",
        "{match: {to: {diet: strict.yaml}}}",
    ):
        path = tmp_path / "other.yaml"
        path.write_text(f"diet: 1\nmissing: include\nneurons: {text}\n", encoding="utf-8")
        assert not select(load_diet(path)).warnings


def mixed(*terms: rules.MixTerm) -> Diet:
    return Diet(rules.Mix(terms))


LOW, HIGH = Diet.where("y < 40").neurons, Diet.where("y >= 20").neurons  # 40 each, 20 of them common


@pytest.mark.parametrize(
    ("diet", "sizes"),
    [
        pytest.param(mixed(rules.MixTerm(LOW, "a", n=20), rules.MixTerm(HIGH, "b", n=20)), [20, 20], id="n"),
        pytest.param(
            mixed(rules.MixTerm(LOW, "a", n=30), rules.MixTerm(LOW, "b", fraction=0.25)), [30, 10], id="fraction"
        ),
        pytest.param(mixed(rules.MixTerm(LOW, "a"), rules.MixTerm(HIGH, "b", n=20)), [40, 20], id="after_a_whole_pool"),
        pytest.param(mixed(rules.MixTerm(LOW, "a"), rules.MixTerm(HIGH, "b")), [40, 20], id="whole_pools_unite"),
        pytest.param(mixed(rules.MixTerm(LOW, "a", n=30), rules.MixTerm(HIGH, "b", share=0.25)), [30, 10], id="share"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_terms_of_overlapping_pools_have_the_sizes_they_ask_for(diet: Diet, sizes: list[int], seed: int) -> None:
    assert isinstance(diet.neurons, rules.Mix)
    terms = [rules.MixTerm(t.of, t.name, t.fraction, t.share, t.n, seed + k) for k, t in enumerate(diet.neurons.terms)]
    chosen = select(mixed(*terms))
    assert [int((chosen.term == name).sum()) for name in ("a", "b")] == sizes
    assert chosen.kept.sum() == sum(sizes)


def test_too_few_left_by_earlier_terms_is_refused() -> None:
    for part in ({"n": 11}, {"fraction": 0.3}):
        with pytest.raises(
            DietError, match=r"term 2 of the mix .* takes 1[12] neurons, but earlier terms leave 10 of the 40"
        ):
            select(mixed(rules.MixTerm(LOW, n=30), rules.MixTerm(LOW, **part)))


@pytest.mark.parametrize("least", [1, 2])
def test_a_share_is_not_all_of_a_mix_whose_other_terms_round_to_nothing(least: int) -> None:
    """Term 1 is meant to be 70 % of the mix; of `least` neurons, a tenth or a fifth is none."""
    few = rules.MixTerm(Diet.where(f"y < {least}").neurons, "few", fraction=0.2)
    with pytest.raises(DietError, match=r"take no neuron, so that term 2 \(a share of 0.3\) would be all of it"):
        select(mixed(few, rules.MixTerm(HIGH, "b", share=0.3)))


def test_advice_on_shares_of_overlapping_pools_can_be_followed() -> None:
    half = Diet.where("y < 20").neurons
    with pytest.raises(DietError, match="with `difference`, or give one term `n` instead of a share") as caught:
        select(mixed(rules.MixTerm(LOW, share=0.5), rules.MixTerm(half, share=0.5, seed=3)))
    assert "Lower the share" not in str(caught.value)
    assert select(mixed(rules.MixTerm(LOW, n=5), rules.MixTerm(half, share=0.5))).kept.sum() == 10
    apart = rules.Difference((LOW, half))
    assert select(mixed(rules.MixTerm(apart, share=0.5), rules.MixTerm(half, share=0.5))).kept.sum() == 40


@pytest.mark.parametrize(
    ("diet", "said"),
    [
        pytest.param(
            Diet.where("y < 7 or y >= 20").sample(fraction=0.1, within="y"),
            "`sample` of a fraction of 0.1 rounds to nothing of 47 of 47 groups of y (first 0.0, which has 1)",
            id="all_groups",
        ),
        pytest.param(
            (Diet.where("line == 'Sst'") | Diet.where("y < 6")).sample(fraction=0.2, within="line"),
            "`sample` of a fraction of 0.2 rounds to nothing of 2 of 3 groups of line (first Cux2, which has 2)",
            id="small_groups",
        ),
        pytest.param(
            Diet.where("y < 4").sample(fraction=0.1),
            "`sample` of a fraction of 0.1 rounds to nothing of its pool of 4 neurons",
            id="whole_pool",
        ),
        pytest.param(
            mixed(rules.MixTerm(Diet.where("y < 4").neurons), rules.MixTerm(HIGH, "few", share=0.01)),
            "term 2 of the mix (few up to a share of 0.01 = y >= 20) rounds to nothing of its pool of 40 neurons",
            id="share",
        ),
    ],
)
def test_parts_that_round_to_nothing_are_said(diet: Diet, said: str) -> None:
    chosen = select_neurons(diet, TABLE, allow_empty=True)
    assert [warning for warning in chosen.warnings if warning.startswith(said)], chosen.warnings


def test_a_group_that_the_pool_emptied_is_named() -> None:
    chosen = select(Diet.where("line != 'Vip'").balance("line", n=5))
    assert chosen.kept.sum() == 10 and chosen.frozen["neurons.balance"]["groups"] == 2
    (warning,) = [one for one in chosen.warnings if "balance" in one]
    assert warning.startswith("`balance` takes nothing of 1 of 3 groups of line (Vip): ")
    assert not [one for one in select(Diet.everyone().balance("line", n=5)).warnings if "balance" in one]


@pytest.mark.parametrize(
    ("within", "pool", "reference"),
    [
        pytest.param(None, "y >= 0", "all", id="all mice"),
        pytest.param("line", "y >= 0", "all", id="lines of both"),
        pytest.param("line", "role == 'train'", "train", id="train alone"),
        pytest.param("half", "y >= 0", "train", id="groups that mix none"),
        pytest.param("session_id", "y >= 0", None, id="recordings"),
        pytest.param("donor_id", "y >= 0", None, id="mice"),
    ],
)
def test_top_says_with_whom_it_ranks(within: str | None, pool: str, reference: str | None) -> None:
    role = ["train" if k < 30 else "test" for k in range(N)]
    mouse = [f"d{k // 30}" for k in range(N)]
    table = TABLE.assign(role=role, half=mouse, donor_id=mouse, session_id=mouse)
    chosen = select_neurons(Diet.where(pool).top(3, by="y", within=within), table)
    assert chosen.frozen["neurons.top"].get("reference") == reference
    assert "reference" not in select(Diet.where("y >= 0").top(3, by="y")).frozen["neurons.top"]
