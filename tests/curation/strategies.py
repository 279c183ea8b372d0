"""Random diets: hypothesis strategies for every node of an expression, rule, window rule, parameter and option."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import strategies as st

from poyodata.curation import Diet, Disjoint
from poyodata.curation.diet import DISJOINT_BY
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import (
    And,
    Call,
    Column,
    Compare,
    Literal,
    Membership,
    Node,
    Not,
    Or,
    Quantile,
)
from poyodata.curation.language.parameters import Parameter, Value
from poyodata.curation.language.window_rule import (
    FRAME_COLUMNS,
    SAMPLED_ROLES,
    WINDOW_COLUMNS,
    WindowRule,
    WindowSample,
)

SIGNS = ("==", "!=", "<", "<=", ">", ">=")
COLUMNS = ("skewness", "kurtosis", "cre_line", "valid_roi", "x1", "abs", "rank", "true_", "Column", "c", "Diet")
RESTRICTED = (
    "skewness@drifting_gratings",
    "skewness_low@gabor-patches",
    "skewness@natural movie",
    'x1@it\'s "here"',
    "x1@back\\slash",
    "x1@lambda",
    "x1@nan",
    "x1@Ⅻ ä",
)
AWKWARD = (
    "",
    "yes",
    "1",
    "1.0",
    "null",
    "~",
    "2024-01-01",
    "1:30",
    "=",
    "- a",
    "a: b",
    "a #b",
    " a ",
    "'\"\\",
    "\\n",
    "ä😀Ⅻ",
)

printable = st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" #:'\"-\\")
texts = st.one_of(st.text(printable, max_size=12), st.sampled_from(AWKWARD))
plain = texts.filter(lambda text: bool(text.strip()))
integers = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([-0.0, 0.0, 1.0, 1e16, 1e300, 5e-324, 1e-7])
)
numbers = st.one_of(integers, floats)


def parameter(default: Value) -> Parameter:
    """One name for every default, or the parameters of a random diet would contradict each other."""
    plain_default = Parameter("p", default).default
    return Parameter("p_" + hashlib.sha256(repr(plain_default).encode()).hexdigest()[:6], default)


def real_parameter(default: float) -> Parameter:
    """A parameter of a rule that reads 3 as 3.0: named by what it becomes, not by what is written."""
    return Parameter(parameter(float(default)).name, default)


def or_parameter(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values.map(parameter))


def or_real_parameter(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values.map(real_parameter))


def constants(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Literal | Parameter]:
    return st.one_of(values.map(Literal), values.map(parameter))


def operands(columns: tuple[str, ...], functions: tuple[str, ...]) -> st.SearchStrategy[Column | Call]:
    """A column or a number made of one."""
    grown = lambda inner: st.builds(Call, st.sampled_from(functions), inner)  # noqa: E731
    return st.recursive(st.sampled_from(columns).map(Column), grown, max_leaves=2)


def conditions(columns: tuple[str, ...], references: bool = True, leaves_at_most: int = 3) -> st.SearchStrategy[Node]:
    """A condition on those columns; with `references` also quantile, zscore and rank."""
    functions = ("abs", "log10", *(("zscore", "rank") if references else ()))
    values = operands(columns, functions)
    plain_columns = st.sampled_from(columns).map(Column)
    # Functions give numbers, and are compared with no other kind.
    kinds = ((values, numbers), (plain_columns, texts), (plain_columns, st.booleans()))
    shares = or_real_parameter(st.floats(0, 1) | st.sampled_from([0, 1]))

    @st.composite
    def compares(draw: st.DrawFn) -> Compare:
        """A chain in which all constants are of one kind, and no two of them stand beside each other."""
        signs = draw(st.lists(st.sampled_from(SIGNS), min_size=1, max_size=3))
        own, kind = draw(st.sampled_from(kinds))
        others = [
            own,
            constants(kind),
            *([st.builds(Quantile, values, shares)] if references and own is values else []),
        ]
        parts: list[Any] = []
        for _ in range(len(signs) + 1):
            free = not parts or isinstance(parts[-1], Column | Call)
            parts.append(draw(st.one_of(others) if free else own))
        return Compare(tuple(signs), tuple(parts))

    several = [(own, st.lists(constants(kind), min_size=1, max_size=4).map(tuple)) for own, kind in kinds]
    leaves = st.one_of(
        st.sampled_from(columns).map(Column),
        compares(),
        compares(),
        *(st.builds(Membership, own, listed, st.booleans()) for own, listed in several),
        values.map(lambda inner: Call("isnan", inner)),
        st.booleans().map(Literal),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(Not),
            st.lists(inner, min_size=2, max_size=4).map(lambda terms: And(tuple(terms))),
            st.lists(inner, min_size=2, max_size=4).map(lambda terms: Or(tuple(terms))),
        ),
        max_leaves=leaves_at_most,
    )


expressions = conditions((*COLUMNS, *RESTRICTED), leaves_at_most=6)
short_expressions = conditions((*COLUMNS, *RESTRICTED))
window_expressions = conditions(WINDOW_COLUMNS)
frame_expressions = conditions(FRAME_COLUMNS, references=False)

fractions = or_real_parameter(st.floats(0, 1, exclude_min=True) | st.just(1))
counts = or_parameter(st.integers(1, 2**63 - 1))
seeds = or_parameter(st.integers(0, 2**63 - 1) | st.just(0))
columns = st.sampled_from((*COLUMNS, *RESTRICTED))
within = st.none() | columns
several_columns = st.lists(columns, min_size=1, max_size=3, unique=True).map(tuple)
amounts = st.one_of(fractions.map(lambda fraction: {"fraction": fraction}), counts.map(lambda n: {"n": n}))
parameter_names = st.sampled_from(
    (
        "max_skewness",
        "share",
        "self",
        "name",
        "x",
        "ids",
        "where",
        "diet",
        "of",
        "seed",
        "n",
        "param",
        "default",
        "folder",
    )
)
given_values = st.dictionaries(parameter_names, or_parameter(st.one_of(numbers, texts, st.booleans())), max_size=3)
by = operands((*COLUMNS, *RESTRICTED), ("abs", "log10", "zscore", "rank"))

simple_rules = st.one_of(
    st.just(rules.Everyone()),
    short_expressions.map(rules.Where),
    st.lists(plain, min_size=1, max_size=3, unique=True).map(lambda names: rules.Ids(tuple(names))),
    st.builds(lambda name, given: rules.Reference(name, tuple(given.items())), plain, given_values),
)


@st.composite
def mixes(draw: st.DrawFn, inner: st.SearchStrategy[rules.Rule]) -> rules.Mix:
    """Pools whole, in part, or sized as shares of the result, which have to leave room for each other."""
    labels = st.one_of(st.just(""), plain, st.sampled_from(("unnamed", "low sample", "a" * 90)))
    pools = draw(st.lists(inner, min_size=2, max_size=3))
    shared = draw(st.sampled_from(("none", "none", "first", "all")))
    terms = []
    for index, pool in enumerate(pools):
        amount: dict[str, Any] = draw(st.one_of(st.just({}), amounts))
        if shared == "all":
            amount = {"share": 1 / len(pools)}
        elif shared == "first" and index == 0:
            amount = {"share": draw(or_real_parameter(st.floats(0.01, 0.9)))}
        seed = draw(st.just(0) | seeds)
        terms.append(rules.MixTerm(pool, name=draw(labels), **amount, seed=seed))
    return rules.Mix(tuple(terms))


def grown_rules(inner: st.SearchStrategy[rules.Rule]) -> st.SearchStrategy[rules.Rule]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        several.map(rules.Union),
        several.map(rules.Intersect),
        several.map(rules.Difference),
        inner.map(rules.Complement),
        st.builds(
            lambda of, amount, seed, column: rules.Sample(of, **amount, seed=seed, within=column),
            inner,
            amounts,
            seeds,
            within,
        ),
        st.builds(rules.Balance, inner, several_columns, st.none() | counts, seeds),
        st.builds(rules.Top, inner, counts, by, st.sampled_from(rules.ORDERS), within),
        st.builds(
            rules.Match,
            inner,
            st.just(rules.Everyone()) | inner,
            st.lists(columns | st.sampled_from(rules.COUNTED), max_size=3, unique=True).map(tuple),
            seeds,
            seeds,
        ),
        mixes(inner),
    )


every_rule = st.recursive(simple_rules, grown_rules, max_leaves=4)
window_samples = st.builds(
    lambda amount, seed, roles: WindowSample(**amount, seed=seed, roles=tuple(roles)),
    amounts,
    seeds,
    st.lists(st.sampled_from(SAMPLED_ROLES), min_size=1, max_size=2, unique=True),
)
window_rules = st.builds(
    WindowRule,
    st.none() | window_expressions,
    st.none() | or_real_parameter(st.floats(0.01, 100) | st.integers(1, 9)),
    st.none() | frame_expressions,
    st.none() | window_samples,
)
diets = st.builds(
    Diet,
    every_rule,
    name=plain,
    description=st.lists(texts, max_size=3).map("\n".join),
    splits=st.none() | plain,
    statistics_window=st.sampled_from(["train", "all"]),
    missing=st.sampled_from(["exclude", "include", "error"]),
    statistics_reference=st.sampled_from(["train", "all"]),
    windows=st.just(WindowRule()) | window_rules,
    disjoint=st.lists(st.builds(Disjoint, plain, st.sampled_from(DISJOINT_BY)), max_size=2).map(tuple),
)
