"""The leak checks: each looks for one thing that must not be, in a stage, a pair of stages, or something fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.leaks.fitted import TRAIN_ROLES, Fitted
from poyodata.curation.leaks.grounds import Grounds
from poyodata.curation.leaks.report import LeakCheck
from poyodata.curation.leaks.stages import LEARNING, Eaten
from poyodata.curation.windows.recordings import STRIDE
from poyodata.intervals import Intervals, as_intervals

Stage = tuple[str, Eaten]
FAR = np.int64(2**62)


def _listed(check: str, stages: str, checked: int, found: Iterable[Any], note: str = "") -> LeakCheck:
    names = sorted(map(str, found))
    return LeakCheck(check, stages, checked, len(names), f"first {names[0]}{note}" if names else "")


# -- one stage -------------------------------------------------------------------------------------------------------


def statistics_window(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Statistics and learned columns that looked past the train-role time of the split that they were used under."""
    found = [(one, name) for one in eaten.grounds for name in one.beyond]
    detail = ", ".join(f"{name} on window {one.window!r}{one.place}" for one, name in found)
    checked = sum(len(one.named) for one in eaten.grounds)
    yield LeakCheck("statistics beyond train-role time", stage, checked, len(found), detail)


def statistics_labels(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Held-out neurons that were selected by a statistic, or a model's column, which looks at labels."""
    using = [one for one in eaten.grounds if one.labels]
    then = frozenset(name for one in using for name in one.held_out)
    held = int(eaten.held_now_or_in(then).sum())
    found = held if using else 0
    by = ", ".join(f"{name}{one.place}" for one in using for name in one.labels)
    yield LeakCheck("held-out neurons selected by labels", stage, held, found, f"by {by}" if found else "")


def thresholds_reference(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Quantiles, z scores and ranks whose reference population holds animals that the split holds out; `top` too."""
    checked = sum(len(one.thresholds) for one in eaten.grounds)
    found = [f"{name}{one.place}" for one in eaten.grounds for name in one.knows_held_out]
    ranked = any(name.startswith("top ") for name in found)
    advice = "; let `top` rank within session_id or donor_id, or a pool of role train" if ranked else ""
    yield _listed("thresholds that know held-out animals", stage, checked, found, advice)


def annotations_used(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Annotations that chose neurons, which have no lineage to be judged by."""
    for one in eaten.grounds:
        for name in one.annotations:
            detail = f"annotation {name!r}{one.place}: nothing says which time and animals it looked at"
            yield LeakCheck("annotations that chose neurons", stage, 0, 0, detail, is_promise=True)


def learned_manifests(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Learned columns whose model was trained on manifests of which only digests are known."""
    for one in eaten.grounds:
        for name in one.untold:
            detail = (
                f"learned columns {name!r}{one.place}: nothing says how the neurons that they were trained on were "
                "chosen; give `lineage_of` the manifests themselves"
            )
            yield LeakCheck("manifests that learned columns were trained on", stage, 0, 0, detail, is_promise=True)


def matched_time(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Windows or tokens of more than train-role time that controls were matched by."""
    checked = sum(len(one.counted) for one in eaten.grounds)
    found = [f"{name}{one.place}" for one in eaten.grounds for name in one.past_train]
    yield _listed("controls matched beyond train-role time", stage, checked, found)


def two_roles(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Donors, containers and cells of which one recording is in one role of the split and another in another."""
    for unit in ("donor", "container", "cell"):
        # A split by recording puts recordings of one plane apart on purpose; its donors and cells are found.
        if unit != "container" or eaten.across != "session":
            checked, found = eaten.in_two_roles(unit)
            yield _listed(f"{unit}s in two roles of the split", stage, checked, found)


def packed_split(stage: str, eaten: Eaten) -> Iterator[LeakCheck]:
    """Recordings of a packed store under other roles than those under which statistics chose its neurons."""
    used = [(entry, moved) for (entry, moved), one in zip(eaten.packed, eaten.grounds_before, strict=True) if one.names]
    names = {name for _, moved in used for name in moved}
    checked = len(eaten.units("session")) if used else 0
    note = f", packed under split {str(used[0][0]['split'])[:12]}" if used else ""
    found = _listed("packed store under another split", stage, checked, names, note)
    idle = "packed by metadata alone" if eaten.packed else "not a packed store"
    yield found if used else LeakCheck(found.check, stage, 0, 0, idle)


# -- two stages: an earlier one, and one with windows to test on; or one stage and itself ---------------------------


def tested_time(stages: str, earlier: Eaten, later: Eaten) -> Iterator[LeakCheck]:
    """Test windows that share a frame with a window looked at, whatever the neurons."""
    yield _near("test windows seen in training", stages, earlier.seen, later, guard=False)


def tested_guard(stages: str, earlier: Eaten, later: Eaten) -> Iterator[LeakCheck]:
    """Test windows nearer to a window looked at than their split's guard: dF/F of the one decays into the other."""
    yield _near("test windows within the guard of training", stages, earlier.seen, later, guard=True)


def _near(check: str, stages: str, seen: Intervals, later: Eaten, *, guard: bool) -> LeakCheck:
    test = later.tested
    distance, place = _distance(test, seen), test[:, 0] // STRIDE
    hit = (distance >= 0) & (distance < later.guard[place]) if guard else distance < 0
    checked = int((np.bincount(seen[:, 0] // STRIDE, minlength=len(later.recordings)) > 0)[place].sum())
    detail = "" if checked else "no recording in common"
    if hit.any():
        start, stop = test[int(np.flatnonzero(hit)[0])]
        name, first = later.recordings[start // STRIDE], start % STRIDE
        detail = f"first recording {name}, frames {first} to {first + stop - start}"
    return LeakCheck(check, stages, checked, int(hit.sum()), detail)


def _distance(windows: Intervals, seen: Intervals) -> npt.NDArray[np.int64]:
    """Frames between every window and the nearest interval of `seen` (sorted, disjoint); -1 where they overlap."""
    if len(seen) == 0:
        return np.full(len(windows), FAR)
    edges = np.concatenate([[[-FAR, -FAR]], seen, [[FAR, FAR]]])
    before = np.searchsorted(edges[:, 0], windows[:, 1], side="left") - 1
    near = np.minimum(windows[:, 0] - edges[before, 1], edges[before + 1, 0] - windows[:, 1])
    distance: npt.NDArray[np.int64] = np.maximum(near, -1)
    return distance


def statistics_split(stages: str, earlier: Eaten, later: Eaten) -> Iterator[LeakCheck]:
    """Statistics and learned columns of another split, whose train-role time the test may lie in.

    A statistic looks at recordings one by one, so that those of which no neuron is kept do not matter; the model of a
    learned column may have looked at all of them.
    """
    check = "statistics under another split than the test"
    under = str(earlier.manifest.meta["statistics"]["split_digest"])
    known = under == earlier.manifest.split_digest or under in later.splits
    yield _split_moved(
        check,
        stages,
        earlier,
        later,
        ((lambda one: one.statistics, True), (lambda one: one.learned, False)),
        "" if known else under,
    )


def thresholds_split(stages: str, earlier: Eaten, later: Eaten) -> Iterator[LeakCheck]:
    """Quantiles, z scores and ranks of another split, whose reference population the test's animals may be in."""
    check = "thresholds under another split than the test"
    yield _split_moved(check, stages, earlier, later, ((lambda one: list(one.thresholds), False),))


def _split_moved(
    check: str,
    stages: str,
    earlier: Eaten,
    later: Eaten,
    kinds: Sequence[tuple[Callable[[Grounds], Sequence[str]], bool]],
    unknown: str = "",
) -> LeakCheck:
    """What saw, under other roles, recordings or animals that are tested; `unknown` is a split whose roles none know.

    `kinds` are what is used, and whether only recordings with a kept neuron matter for it. What chose the neurons of a
    stage's own packed store is held against that stage by `packed_split`.
    """
    own = earlier.grounds[0]
    checked, found, said = 0, 0, ""
    for one in earlier.grounds:
        if earlier is later and any(one is before for before in earlier.grounds_before):
            continue
        for used, kept_only in kinds:
            names = used(one)
            checked += len(names)
            moved = later.moved(one, kept_only) if names else []
            if unknown and one is own:
                moved = [f"split {unknown[:12]}, whose roles are not known"]
            if names and moved:
                found += len(names)
                said = said or f"{', '.join(names)}{one.place}: other roles than in the test, first of {moved[0]}"
    return LeakCheck(check, stages, checked, found, said)


def movie_frames(stages: str, earlier: Eaten, later: Eaten) -> Iterator[LeakCheck]:
    """Movie frames that a split by segments holds out for the test, and that an earlier stage learnt from all the same.

    Under the same segments and fold no frame is in both. Otherwise windows are held against each other frame by frame;
    where they do not say which frame was shown, any time of the same movie counts.
    """
    check, held = "movie frames of the test were trained on", later.movie_split()
    if held is None:
        yield LeakCheck(check, stages, 0, 0, "the split of the test holds out no segments of movies")
        return
    movie, frame = later.shown([later.test_role])
    hit = np.zeros(len(movie), np.bool_)
    if earlier.movie_split() != held:
        learnt, seen = earlier.shown([role for role in LEARNING if role != later.test_role])
        code, _ = pd.factorize(np.concatenate([movie, learnt]))
        code, other = code[: len(movie)], code[len(movie) :]
        exact = np.isin(code * STRIDE + frame, (other * STRIDE + seen)[seen >= 0]) & (frame >= 0)
        whole = np.isin(code, other[seen < 0])
        hit = exact | whole | ((frame < 0) & np.isin(code, other))
        if (learnt == "").any():
            hit[:] = True
        elif len(learnt):
            hit |= movie == ""
    name = str(movie[int(hit.argmax())]) if hit.any() else ""
    detail = f"first of {name or 'time of unknown stimuli'}; train every stage under the segments and fold of the test"
    yield LeakCheck(check, stages, len(movie), int(hit.sum()), detail if hit.any() else "")


def held_out_units(stages: str, earlier: Eaten, later: Eaten) -> Iterator[LeakCheck]:
    """Donors, containers and cells that a split holds out for the test, but that an earlier stage learnt from."""
    for unit in ("donor", "container", "cell"):
        check = f"test {unit}s learnt from with labels"
        if earlier.label_free:
            yield LeakCheck(check, stages, 0, 0, "the earlier stage uses no labels")
        elif unit != "container" or later.across != "session":
            held = later.held_out(unit)
            yield _listed(check, stages, len(held), held & earlier.learnt(unit))


# -- two stages, whatever their order --------------------------------------------------------------------------------


def same_store(stages: str, first: Eaten, second: Eaten) -> Iterator[LeakCheck]:
    """Recordings of one name but of other content: their frames cannot be held against each other.

    Stores that were packed from one store hold the same recordings, and so may two states of a store.
    """
    check = "stages of different stores"
    if first.stores & second.stores:
        yield LeakCheck(check, stages, 1, 0)
        return
    mine, other = (eaten.manifest.meta.get("recordings") or {} for eaten in (first, second))
    names = sorted(set(mine) & set(other))
    moved = [name for name in names if mine[name] != other[name]]
    if moved or not (mine and other):
        digests = f"{first.manifest.store_digest[:12]} and {second.manifest.store_digest[:12]}"
        what = f"recording {moved[0]} is not the same in both: " if moved else ""
        yield LeakCheck(check, stages, max(len(names), 1), max(len(moved), 1), what + digests)
        return
    yield LeakCheck(check, stages, len(names), 0, "" if names else "no recording in common")


def declared_disjoint(stages: Sequence[Stage]) -> Iterator[LeakCheck]:
    """What a diet promised not to share with another, wherever in the run the two are eaten, as references too."""
    for name, eaten in stages:
        for declarer, pair in _promises(eaten):
            unit, check = pair["by"], f"{pair['by']}s shared although declared disjoint"
            own = eaten.meant_by(declarer)
            met = False
            for other, meant in stages:
                again = meant.manifest.meta["diet"] == eaten.manifest.meta["diet"]
                # A stage that eats the same diet once more is no other diet, even where this one is a part of it; but
                # two parts of one diet are held against each other.
                parts = other == name and eaten.is_part(declarer) and eaten.is_part(pair["from"])
                theirs = meant.meant_by(pair["from"]) if parts or not again else None
                if own is None or theirs is None:
                    continue
                met = True
                mine = eaten.units(unit, own)
                where = f"{name} | {other}" if other != name else name
                yield _listed(check, where, len(mine), mine & meant.units(unit, theirs))
            if not met:
                yield LeakCheck(
                    check, name, 0, 0, f"no other stage eats {pair['from']!r} under that name", is_promise=True
                )


def _promises(eaten: Eaten) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every declared pair of a stage's diet and of the diets that it refers to, with the diet that declares it."""
    meta = eaten.manifest.meta
    for name, document in [(eaten.manifest.name, meta["diet"]), *(meta.get("references") or {}).items()]:
        for pair in document.get("disjoint", ()):
            yield name, pair


# -- what was fitted, and a stage that is tested ----------------------------------------------------------------------


def fitted_roles(name: str, fitted: Sequence[Fitted]) -> Iterator[LeakCheck]:
    """Roles of time that a fit looked at and that are not of train."""
    check = "fitted beyond train-role time"
    for one in fitted:
        beyond = [role for role in one.roles if role not in TRAIN_ROLES]
        yield _listed(check, f"{one.kind} {one.name}", len(one.roles), beyond)
    if not fitted:
        yield LeakCheck(check, name, 0, 0, "nothing fitted was given")


def fitted_split(stages: str, fitted: Fitted, later: Eaten) -> Iterator[LeakCheck]:
    """A fit of another split, where it does not say which frames it looked at."""
    check, asked = "fitted under another split than the test", int(fitted.looked_at is None)
    apart = bool(fitted.sessions) and not later.tested_recordings & set(fitted.sessions)
    moved = bool(asked) and not apart and fitted.split_digest not in later.splits
    detail = f"{fitted.name}: split {str(fitted.split_digest)[:12]}, tested under {later.manifest.split_digest[:12]}"
    yield LeakCheck(check, stages, asked, int(moved), detail if moved else "")


def fitted_time(stages: str, fitted: Fitted, later: Eaten) -> Iterator[LeakCheck]:
    """A fit that looked at frames of a test window or within its guard."""
    looked = fitted.looked_at or {}
    place = later.recordings.get_indexer(pd.Index(list(looked), dtype=object))
    rows = [frames + at * STRIDE for at, frames in zip(place, looked.values(), strict=True) if at >= 0]
    seen = as_intervals(np.concatenate([np.empty((0, 2), np.int64), *rows]))
    yield _near("test windows seen by what was fitted", stages, seen, later, guard=False)
    yield _near("test windows within the guard of what was fitted", stages, seen, later, guard=True)


def fitted_donors(stages: str, fitted: Fitted, later: Eaten) -> Iterator[LeakCheck]:
    """A value for all neurons, or one that used labels, which was fitted on animals that the test holds out.

    An animal is known by its name or by its recording, since what was fitted may name recordings alone.
    """
    held = later.held_out_animals()
    asked = fitted.shared or fitted.uses_labels
    if asked:
        found = {one for session, one in held.items() if one in fitted.donors or session in fitted.sessions}
        yield _listed("test donors in what was fitted", stages, len(set(held.values())), found)
    else:
        yield LeakCheck("test donors in what was fitted", stages, 0, 0, "every neuron by itself, without labels")


STAGE_CHECKS = (
    statistics_window,
    statistics_labels,
    thresholds_reference,
    matched_time,
    two_roles,
    packed_split,
    annotations_used,
    learned_manifests,
)
"""Of every stage."""
TEST_CHECKS = (tested_time, tested_guard, statistics_split, thresholds_split, held_out_units, movie_frames)
"""Of every stage with every stage after it that is tested, itself included."""
FITTED_CHECKS = (fitted_split, fitted_time, fitted_donors)
"""Of everything fitted with every stage that is tested."""
