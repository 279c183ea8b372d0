"""What comes and goes between two manifests, and what each neuron and window is due to."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poyodata.curation import Diet, Manifest, c, load_diet, mix
from poyodata.curation.changes.diff import ManifestDiff
from poyodata.curation.changes.document_change import edits_between
from poyodata.curation.language.parse import parse_expression
from poyodata.curation.language.window_rule import WindowRule
from poyodata.errors import DietError

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]
GRATINGS = c.stimulus == "drifting_gratings"
PREDICTABLE = (c.skewness <= 3.51) & (c.kurtosis <= 22.62)


def base(condition: Any = PREDICTABLE, **options: Any) -> Diet:
    return Diet.where(condition, name="base", **options).during(GRATINGS, min_length_s=1.9)


def adds_up(diff: ManifestDiff) -> None:
    """Every change is really one, none is missing, each has one cause of the table, and the counts add up."""
    kept = [set(manifest.neurons["neuron_id"]) for manifest in (diff.before, diff.after)]
    changed = diff.neurons.set_index("neuron_id")["change"]
    assert changed.index.is_unique
    assert set(changed.index[changed == "came"]) == kept[1] - kept[0]
    assert set(changed.index[changed == "went"]) == kept[0] - kept[1]
    assert set(changed.index[changed == "moved"]) <= kept[0] & kept[1]
    table = diff.table()
    assert not table.duplicated(["cause", "what"]).any()
    known = set(zip(table["cause"], table["what"], strict=True))
    for rows in (diff.neurons, diff.windows):
        assert set(zip(rows["cause"], rows["what"], strict=True)) <= known
    for name, count in diff.counts.items():
        assert table[name].sum() == count
    keys = ["session_id", "role", "start_frame", "stop_frame", "stimulus", "trial"]
    spans = [set(manifest.windows[keys].itertuples(index=False, name=None)) for manifest in (diff.before, diff.after)]
    for change, expected in (("came", spans[1] - spans[0]), ("went", spans[0] - spans[1])):
        rows = diff.windows[diff.windows["change"] == change]
        assert set(rows[keys].itertuples(index=False, name=None)) == expected


def causes_of(diff: ManifestDiff, kind: str = "neurons") -> dict[str, int]:
    found: dict[str, int] = getattr(diff, kind)["cause"].value_counts().to_dict()
    return found


def test_equal_manifests_have_an_empty_diff(resolve: Resolve, store: Any, make_split: Make) -> None:
    first, second = (resolve(base(), store, make_split(store)) for _ in range(2))
    diff = first.diff(second)
    assert diff.same and diff.neurons.empty and diff.windows.empty and diff.table().empty
    assert "is the same in both" in repr(diff) and "is the same in both" in diff._repr_html_()
    adds_up(diff)


LOOSER = (c.skewness <= 1.6) & (c.kurtosis <= 22.62)
SAMPLED = base().sample(fraction=0.5, seed=0)


@pytest.mark.parametrize(
    ("before", "after", "cause", "what", "values", "counts"),
    [
        # Columns 0 to 4 are predictable; 2, 3 and 4 have a skewness of 2 and more.
        (base(), base(LOOSER), "threshold", "neurons.where[0]", ("skewness <= 3.51", "skewness <= 1.6"), (0, 24)),
        (base(LOOSER), base(), "threshold", "neurons.where[0]", ("skewness <= 1.6", "skewness <= 3.51"), (24, 0)),
        # Column 9 is high in skewness alone, 10 in kurtosis alone.
        (base(), base(c.skewness <= 3.51), "clause", "neurons.where[1]", ("kurtosis <= 22.62", ""), (8, 0)),
        (base(c.skewness <= 3.51), base(), "clause", "neurons.where[1]", ("", "kurtosis <= 22.62"), (0, 8)),
        (base(), base(c.skewness > 4), "rule", "neurons", None, None),
        (SAMPLED, base().sample(fraction=0.5, seed=1), "sampling", "neurons.sample.seed", ("0", "1"), None),
        (SAMPLED, base().sample(fraction=0.2, seed=0), "sampling", "neurons.sample.fraction", ("0.5", "0.2"), (0, 12)),
        (base(), SAMPLED, "sampling", "neurons", None, (0, 20)),
        (base(), base(missing="include"), "policy", "missing", ("exclude", "include"), (8, 0)),
        (base(), ~base(), "rule", "neurons", None, (48, 40)),
    ],
    ids=[
        "tighter",
        "looser",
        "clause went",
        "clause came",
        "other clauses",
        "seed",
        "fraction",
        "sampled",
        "missing",
        "not",
    ],
)
def test_a_change_of_the_diet_is_named(
    before: Diet,
    after: Diet,
    cause: str,
    what: str,
    values: tuple[str, str] | None,
    counts: tuple[int, int] | None,
    resolve: Resolve,
    store: Any,
    make_split: Make,
) -> None:
    diff = resolve(before.named("d"), store, make_split(store)).diff(
        resolve(after.named("d"), store, make_split(store))
    )
    adds_up(diff)
    if cause != "rule" or what != "neurons" or counts is not None:
        assert set(causes_of(diff)) == {cause}
        assert set(diff.neurons["what"]) == {what}
    if values is not None:
        assert set(zip(diff.neurons["before"], diff.neurons["after"], strict=True)) == {values}
    if counts is not None:
        assert (diff.counts["neurons_came"], diff.counts["neurons_went"]) == counts
    assert set(causes_of(diff, "windows")) <= {"neurons"}
    assert not diff.same


def test_a_parameter_is_named_where_it_took_the_step(resolve: Resolve, store: Any, make_split: Make) -> None:
    condition = parse_expression("skewness <= param(max_skewness, 3.51) and kurtosis <= 22.62")
    diet = Diet.where("skewness <= param(max_skewness, 3.51) and kurtosis <= 22.62", name="d")
    assert condition is not None
    pair = [resolve(one, store, make_split(store)) for one in (diet, diet.with_parameters(max_skewness=1.6))]
    diff = pair[0].diff(pair[1])
    adds_up(diff)
    assert diff.table()[["cause", "what", "before", "after"]].to_numpy().tolist() == [
        ["parameter", "max_skewness", "3.51", "1.6"]
    ]
    assert diff.counts["neurons_went"] == 24


def test_a_parameter_of_a_preset_is_named(resolve: Resolve, store: Any, make_split: Make) -> None:
    diet = load_diet("predictable")
    pair = [resolve(one, store, make_split(store)) for one in (diet, diet.with_parameters(max_skewness=1.6))]
    diff = pair[0].diff(pair[1])
    adds_up(diff)
    assert set(causes_of(diff)) == {"parameter"}


def test_the_first_cause_in_order_is_the_primary_one(resolve: Resolve, store: Any, make_split: Make) -> None:
    before = base().sample(fraction=1.0, seed=0)
    after = base(LOOSER).sample(fraction=0.5, seed=0).with_options(missing="include")
    diff = resolve(before, store, make_split(store)).diff(resolve(after.named(before.name), store, make_split(store)))
    adds_up(diff)
    # 24 go because of their skewness, whatever the sample would have done; the sample takes from those that are left.
    assert causes_of(diff)["threshold"] == 24
    assert set(causes_of(diff)) == {"threshold", "sampling", "policy"}
    listed = diff.table()["cause"].tolist()
    # The sample counts the unknown in, and leaves one recording without a neuron: its windows go for that.
    assert listed == ["threshold", "sampling", "policy", "neurons"]


def test_recordings_that_come_go_and_change(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    small, large = make_store(4), make_store(8)
    before, after = (resolve(base(), one, make_split(one)) for one in (small, large))
    diff = before.diff(after)
    adds_up(diff)
    assert causes_of(diff) == {"recording added": 20} and causes_of(diff, "windows") == {"recording added": 160}
    row = diff.table().iloc[0]
    assert row["what"] == "4: s04, s05, s06, s07"
    assert (row["before"], row["after"]) == ("4 recordings", "8 recordings")
    back = after.diff(before)
    adds_up(back)
    assert causes_of(back) == {"recording removed": 20}

    moved = make_store(8)
    moved.sessions.loc[moved.sessions["session_id"] == "s01", "digest"] = "another content"
    moved.moments.loc[moved.moments["neuron_id"] == "s01_000", "skewness"] = 9.0
    changed = after.diff(resolve(base(), moved, make_split(moved)))
    adds_up(changed)
    assert changed.neurons[["neuron_id", "change", "cause", "what"]].to_numpy().tolist() == [
        ["s01_000", "went", "recording changed", "1: s01"]
    ]


def test_values_that_change_alone_are_of_the_statistic(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    store, other = make_store(), make_store()
    other.moments.loc[other.moments["neuron_id"] == "s02_001", "skewness"] = 9.0
    before, after = (resolve(base(), one, make_split(store)) for one in (store, other))
    diff = before.diff(after)
    adds_up(diff)
    row = diff.neurons.iloc[0]
    assert len(diff.neurons) == 1 and row[["neuron_id", "change", "cause"]].tolist() == ["s02_001", "went", "value"]
    assert (row["before"], row["after"]) == ("1.5", "9")


def edited(manifest: Manifest, **changes: Any) -> Manifest:
    """The same with other entries of ``meta["statistics"]``."""
    meta = copy.deepcopy(dict(manifest.meta))
    meta["statistics"] |= changes
    return replace(manifest, meta=meta)


@pytest.mark.parametrize(
    ("changes", "cause", "what"),
    [
        pytest.param({"versions": {"moments": 2}}, "statistic version", "moments (skewness)", id="version"),
        pytest.param({"window": "all"}, "statistics window", "skewness", id="window"),
    ],
)
def test_a_statistic_of_another_version_or_time(
    changes: dict[str, Any], cause: str, what: str, resolve: Resolve, make_store: Make, make_split: Make
) -> None:
    store, other = make_store(), make_store()
    other.moments.loc[other.moments["neuron_id"] == "s02_001", "skewness"] = 9.0
    before = resolve(base(), store, make_split(store))
    diff = before.diff(edited(resolve(base(), other, make_split(store)), **changes))
    adds_up(diff)
    assert diff.neurons[["neuron_id", "cause", "what"]].to_numpy().tolist() == [["s02_001", cause, what]]
    # The same where no neuron changed: it is said all the same.
    quiet = before.diff(edited(before, **changes))
    assert quiet.neurons.empty
    if cause == "statistic version":
        assert not quiet.same and quiet.table()["cause"].tolist() == [cause]


def test_another_fold_moves_windows_and_held_out_animals(resolve: Resolve, store: Any, make_split: Make) -> None:
    before = resolve(base(), store, make_split(store))
    folds = before.diff(resolve(base(), store, make_split(store, fold=1)))
    adds_up(folds)
    assert folds.neurons.empty and causes_of(folds, "windows") == {"split": folds.counts["windows_came"] * 2}
    across = before.diff(resolve(base(), store, make_split(store, across=True)))
    adds_up(across)
    assert set(across.neurons["change"]) == {"moved"} and causes_of(across) == {"split": 10}
    assert set(across.neurons["session_id"]) == {"s06", "s07"}


def dealt(split: Any, **roles: str) -> Any:
    """The same split, with other roles for some recordings and another digest, as another store would have it."""
    split.sessions["role"] = [
        roles.get(name, role) for name, role in zip(split.sessions["session_id"], split.sessions["role"], strict=True)
    ]
    split.digest = f"{split.digest} of {len(split.sessions)} recordings, {sorted(roles.items())}"
    return split


def test_another_store_is_not_another_split(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    small, large = make_store(6), make_store(8)
    before, after = (resolve(base(), one, make_split(one)) for one in (large, small))
    assert before.split_digest != after.split_digest
    diff = before.diff(after)
    adds_up(diff)
    assert diff.table()[["cause", "what"]].to_numpy().tolist() == [["recording removed", "2: s06, s07"]]


def test_roles_dealt_anew_name_the_recordings_that_went(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    small, large = make_store(6), make_store(8)
    before = resolve(base(), large, make_split(large))
    split = dealt(make_split(small), s00="test")
    own = split.windows["session_id"] == "s00"
    split.windows.loc[own, "role"] = split.windows.loc[own, "role"].map(
        lambda role: "identify" if role == "train" else "test"
    )
    after = resolve(base(), small, split)
    for diff, kind, word in (
        (before.diff(after), "recording removed", "without"),
        (after.diff(before), "recording added", "with"),
    ):
        adds_up(diff)
        listed = diff.table()[["cause", "what"]].to_numpy().tolist()
        assert listed == [[kind, "2: s06, s07"], ["roles dealt anew", f"{word} 2: s06, s07"]]
        assert causes_of(diff) == {kind: 10, "roles dealt anew": 5}
        moved = diff.windows[diff.windows["cause"] == "roles dealt anew"]
        assert set(moved["session_id"]) == {"s00"} and len(moved) == 60


def test_controls_matched_on_what_another_rule_for_windows_counts(
    resolve: Resolve, store: Any, make_split: Make
) -> None:
    shown = store.presentations
    for number, session in enumerate(["s00", "s01", "s02", "s05"]):  # recordings of unequal length
        mine = shown["session_id"] == session
        gone = mine & ((shown["trial"].between(32 - 9 * number, 19)) | (shown["direction_deg"] == 45.0 * number))
        shown = shown[~gone]
    store.presentations = shown.reset_index(drop=True)
    diet = (
        Diet.where("skewness < 2", name="t")
        .matched(on=["tokens", "windows"], of=Diet.where("skewness >= 2"), seed=0)
        .named("m")
    )
    pair = [
        resolve(diet.during(rule), store, make_split(store))
        for rule in (GRATINGS, GRATINGS & (c.direction_deg == 45.0))
    ]
    diff = pair[0].diff(pair[1])
    adds_up(diff)
    table = diff.table()
    assert table[["cause", "what"]].to_numpy().tolist() == [["windows", "where"]]
    assert diff.counts["neurons_came"] > 0 and diff.counts["windows_went"] > 0
    assert "direction_deg" in table["after"].iloc[0]


@pytest.mark.parametrize(
    ("names", "what"),
    [
        pytest.param(("L1", "L2"), "lab of L1 -> L2", id="another annotation"),
        pytest.param(("L1", "L1"), "lab of L1", id="the same, of other content"),
    ],
)
def test_labels_of_another_annotation(
    names: tuple[str, str], what: str, resolve: Resolve, make_store: Make, make_split: Make
) -> None:
    manifests = []
    for number, name in enumerate(names):
        store = make_store()
        store.neurons["lab"] = np.arange(len(store.neurons)) % (2 + number)
        store.annotations = {name: SimpleNamespace(digest=f"content {number}", columns=("lab",))}
        manifests.append(resolve(base((c.lab == 1) & PREDICTABLE), store, make_split(store)))
    diff = manifests[0].diff(manifests[1])
    adds_up(diff)
    assert len(diff.neurons) and set(diff.neurons["cause"]) == {"annotation"} and set(diff.neurons["what"]) == {what}
    row = diff.table().iloc[0]
    assert row[["cause", "what", "before", "after"]].tolist() == ["annotation", what, "content 0", "content 1"]


def test_an_annotation_of_another_name_alone_is_said(resolve: Resolve, make_store: Make, make_split: Make) -> None:
    manifests = []
    for name in ("L1", "L2"):
        store = make_store()
        store.neurons["lab"] = np.arange(len(store.neurons)) % 2
        store.annotations = {name: SimpleNamespace(digest="content", columns=("lab",))}
        manifests.append(resolve(base((c.lab == 1) & PREDICTABLE), store, make_split(store)))
    diff = manifests[0].diff(manifests[1])
    assert diff.neurons.empty and diff.table()[["cause", "what"]].to_numpy().tolist() == [["annotation", "L1 -> L2"]]


def test_windows_of_another_rule(resolve: Resolve, store: Any, make_split: Make) -> None:
    before = resolve(base(), store, make_split(store))
    whole = replace(base(), windows=WindowRule(parse_expression("stimulus == 'drifting_gratings' and not blank"), 1.9))
    diff = before.diff(resolve(whole, store, make_split(store)))
    adds_up(diff)
    assert causes_of(diff, "windows") == {"windows": 32} and diff.neurons.empty
    assert (diff.windows["change"] == "went").all() and set(diff.windows["what"]) == {"where"}
    both = before.diff(resolve(base().during(~c.blank), store, make_split(store)))
    adds_up(both)
    assert set(both.windows["cause"]) == {"windows"} and set(both.windows["what"]) == {"where, min_length_s"}


def test_windows_go_with_the_last_neuron_of_a_recording(resolve: Resolve, store: Any, make_split: Make) -> None:
    before = resolve(base(), store, make_split(store))
    after = resolve(base(PREDICTABLE & (c.cre_line != "Sst-IRES-Cre")), store, make_split(store))
    diff = before.diff(after)
    adds_up(diff)
    assert causes_of(diff) == {"clause": 10} and causes_of(diff, "windows") == {"neurons": 80}


def test_what_changes_nothing_is_said_all_the_same(resolve: Resolve, store: Any, make_split: Make) -> None:
    before = resolve(base(), store, make_split(store))
    after = resolve(base((c.skewness <= 3.5) & (c.kurtosis <= 22.62)).named("other", "text"), store, make_split(store))
    diff = before.diff(after)
    adds_up(diff)
    assert diff.neurons.empty and not diff.same
    assert diff.table()["cause"].tolist() == ["threshold", "name", "description"]


def test_terms_of_a_mix_and_worlds_that_cannot_be(resolve: Resolve, store: Any, make_split: Make) -> None:
    low, high = Diet.where(PREDICTABLE, name="low"), Diet.where(c.kurtosis > 30, name="high")
    before = mix(low, high.sample(n=12, seed=0), name="mixed")
    # Changed alone, the second term would ask for more than its pool has: the two changes are told as one.
    after = mix(low, Diet.where(c.kurtosis > 5, name="high").sample(n=45, seed=0), name="mixed")
    diff = resolve(before, store, make_split(store)).diff(resolve(after, store, make_split(store)))
    adds_up(diff)
    assert set(causes_of(diff)) <= {"threshold", "sampling"}


def test_it_reads_well(resolve: Resolve, store: Any, make_split: Make) -> None:
    before = resolve(base(), store, make_split(store))
    diff = before.diff(resolve(base(LOOSER), store, make_split(store, fold=1)))
    text = repr(diff)
    assert text.startswith("<ManifestDiff>\n") and max(map(len, text.splitlines())) < 180
    for word in ("neurons", "40 -> 16", "24 went", "threshold", "skewness <= 1.6", "split"):
        assert word in text
    assert "neurons_moved" not in text
    page = diff._repr_html_()
    assert "&lt;=" in page and "<script" not in page


# -- over many diets -------------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from([0.5, 1.5, 2.0, 3.51, 5.0, 10.0, 22.62, 40.0])
CONDITIONS = st.one_of(
    st.builds(lambda x, y: (c.skewness <= x) & (c.kurtosis <= y), NUMBERS, NUMBERS),
    st.builds(lambda x: c.skewness > x, NUMBERS),
    st.builds(lambda x: (c.kurtosis <= x) | (c.cre_line == "Sst-IRES-Cre"), NUMBERS),
    st.builds(lambda x: c.skewness <= c.skewness.quantile(x), st.sampled_from([0.2, 0.5, 0.9])),
)
PLAIN = st.builds(lambda condition: Diet.where(condition, name="d"), CONDITIONS)
SEEDS = st.integers(0, 2)
DIETS = st.one_of(
    PLAIN,
    st.builds(
        lambda diet, share, seed: diet.sample(fraction=share, seed=seed), PLAIN, st.sampled_from([0.3, 0.8]), SEEDS
    ),
    st.builds(lambda one, other: one | other, PLAIN, PLAIN),
    st.builds(lambda one: ~one, PLAIN),
    st.builds(lambda one, seed: mix(one, Diet.everyone().sample(fraction=0.2, seed=seed), name="d"), PLAIN, SEEDS),
    st.builds(lambda one, policy: one.with_options(missing=policy), PLAIN, st.sampled_from(["include", "exclude"])),
)


def compare_one_pair(data: st.DataObject, resolve: Resolve, make_store: Make, make_split: Make) -> None:
    manifests = []
    for diet in data.draw(st.tuples(DIETS, DIETS)):
        store = make_store(data.draw(st.sampled_from([4, 8])))
        noise = np.random.default_rng(data.draw(SEEDS)).normal(0, 0.5, len(store.moments))
        store.moments["skewness"] += noise * data.draw(st.booleans())
        try:
            manifests.append(resolve(diet.named("d"), store, make_split(store, across=data.draw(st.booleans()))))
        except DietError:
            return  # keeps nothing
    diff = manifests[0].diff(manifests[1])
    adds_up(diff)
    assert "other" not in causes_of(diff)


PLENTY = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture], "derandomize": True}


@settings(max_examples=5, **PLENTY)  # type: ignore[arg-type]
@given(data=st.data())
def test_every_change_has_one_cause(data: st.DataObject, resolve: Resolve, make_store: Make, make_split: Make) -> None:
    compare_one_pair(data, resolve, make_store, make_split)


@pytest.mark.slow
@settings(max_examples=300, **PLENTY)  # type: ignore[arg-type]
@given(data=st.data())
def test_every_change_has_one_cause_in_many_pairs(
    data: st.DataObject, resolve: Resolve, make_store: Make, make_split: Make
) -> None:
    compare_one_pair(data, resolve, make_store, make_split)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pair=st.tuples(DIETS, DIETS))
def test_edits_lead_from_one_diet_to_the_other(pair: tuple[Diet, Diet]) -> None:
    before, after = (diet.bound().to_dict() for diet in pair)
    document = copy.deepcopy(before)
    for edit in edits_between(before, after):
        edit.apply(document)
    assert Diet.from_dict(document).neurons == Diet.from_dict(after).neurons or sorted(
        str(document["neurons"])
    ) == sorted(str(after["neurons"]))
    assert edits_between(after, after) == ()
