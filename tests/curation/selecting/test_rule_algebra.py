"""Whatever the rule: it, its complement and its unknowns are the population, in any order of the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from poyodata.curation import Diet
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import Column
from poyodata.curation.language.parse import parse_expression
from poyodata.curation.selecting.deciding import decided_by
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import Selection, select_neurons
from poyodata.errors import DietError

N = 120
rng = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "neuron_id": [f"n{k:03d}" for k in range(N)],
        "session_id": [f"s{k % 5}" for k in range(N)],
        "cre_line": rng.choice(["Sst", "Vip", ""], N, p=[0.5, 0.4, 0.1]),
        "skewness": np.where(rng.random(N) < 0.2, np.nan, rng.gamma(2, 2, N)),
        "kurtosis": rng.choice([1.0, 10.0, np.inf], N),
        "flag": pd.array(rng.choice([True, False], N), dtype="boolean"),
        "role": ["train" if k % 5 < 3 else "test" for k in range(N)],
    }
)
TABLE.loc[::9, "flag"] = pd.NA
SHUFFLED = TABLE.sample(frac=1, random_state=3).reset_index(drop=True)

CONDITIONS = [
    "skewness > 3",
    "kurtosis < 5 or flag",
    "cre_line == 'Sst'",
    "not flag and skewness <= quantile(skewness, 0.8)",
    "zscore(skewness) < 0.5",
    "rank(kurtosis) > 0.4",
    "isnan(skewness) or cre_line in ['Vip']",
]
leaves = st.one_of(
    st.sampled_from(CONDITIONS).map(lambda text: rules.Where(parse_expression(text))),
    st.just(rules.Everyone()),
    st.lists(st.sampled_from(TABLE["neuron_id"].tolist()), min_size=1, max_size=20, unique=True).map(
        lambda names: rules.Ids(tuple(names))
    ),
)
seeds = st.integers(0, 5)
groups = st.sampled_from(["session_id", "cre_line", "kurtosis"])


def grown(inner: st.SearchStrategy[rules.Rule]) -> st.SearchStrategy[rules.Rule]:
    two = st.lists(inner, min_size=2, max_size=3).map(tuple)
    on = st.lists(st.sampled_from(["session_id", "cre_line", "skewness", "kurtosis"]), max_size=2, unique=True)
    terms = st.builds(rules.MixTerm, inner, fraction=st.sampled_from([0.3, 0.9]), seed=seeds)
    return st.one_of(
        st.builds(rules.Complement, inner),
        st.builds(rules.Union, two),
        st.builds(rules.Intersect, two),
        st.builds(rules.Difference, two),
        st.builds(
            rules.Sample, inner, fraction=st.sampled_from([0.1, 0.5, 1.0]), seed=seeds, within=st.none() | groups
        ),
        st.builds(rules.Balance, inner, groups.map(lambda name: (name,)), seed=seeds),
        st.builds(
            rules.Top,
            inner,
            st.integers(1, 9),
            st.sampled_from([Column("skewness"), Column("kurtosis")]),
            st.sampled_from(rules.ORDERS),
            st.none() | groups,
        ),
        st.builds(rules.Match, inner, on=on.map(tuple), seed=seeds, draw=seeds),
        st.builds(rules.Mix, st.lists(terms, min_size=2, max_size=3).map(tuple)),
    )


trees = st.recursive(leaves, grown, max_leaves=6)


def chosen(rule: rules.Rule, table: pd.DataFrame = TABLE) -> Selection:
    """Select; rules that keep nothing, or find too few to match, are refused, and that is another test's affair."""
    try:
        return select_neurons(Diet(rule), table, trace=True)
    except DietError:
        assume(False)
        raise


@settings(max_examples=60, deadline=None)
@given(trees)
def test_a_rule_its_complement_and_its_unknowns_are_the_population(rule: rules.Rule) -> None:
    one, other = chosen(rule), chosen(rules.Complement(rule))
    unknown = one.trace[-1][1].unknown
    assert (unknown == other.trace[-1][1].unknown).all()
    assert (one.kept.astype(int) + other.kept + unknown == 1).all()
    for step, answer in one.trace:
        assert not (answer.true & answer.unknown).any()
        assert step.kept + step.rejected + step.unknown == N


@settings(max_examples=60, deadline=None)
@given(trees)
def test_the_order_of_the_table_decides_nothing(rule: rules.Rule) -> None:
    one, other = chosen(rule), chosen(rule, SHUFFLED)
    assert set(TABLE.loc[one.kept, "neuron_id"]) == set(SHUFFLED.loc[other.kept, "neuron_id"])
    assert one.frozen == other.frozen
    assert one.matched == other.matched


@settings(max_examples=60, deadline=None)
@given(trees, st.integers(1, 9), seeds)
def test_counts_hold_where_unknown_neurons_are_included(rule: rules.Rule, n: int, seed: int) -> None:
    try:
        one = select_neurons(
            Diet(rules.Sample(rule, n=n, seed=seed)).with_options(missing="include"), TABLE, trace=True
        )
    except DietError:
        assume(False)
        raise
    assert one.kept.sum() == n
    assert not one.trace[-1][1].unknown.any()


@settings(max_examples=40, deadline=None)
@given(trees)
def test_every_dropped_neuron_has_a_step_that_dropped_it(rule: rules.Rule) -> None:
    diet = Diet(rule)
    one = chosen(rule)
    by = decided_by(diet, one, References(diet))
    assert ((by == "").to_numpy(bool) == one.kept).all()
    assert set(by) - {""} <= {step.step for step in one.steps}
