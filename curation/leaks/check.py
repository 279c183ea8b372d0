"""Leak checks over the whole lineage of a run: what a model is tested on must not have been seen before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, combinations_with_replacement

from poyodata.curation.leaks import checks as leak_checks
from poyodata.curation.leaks.checks import Stage
from poyodata.curation.leaks.fitted import Fitted
from poyodata.curation.leaks.report import LeakCheck, LeakReport
from poyodata.curation.leaks.stages import LEARNING, lay_out
from poyodata.curation.manifest import Manifest
from poyodata.errors import LeakError, UsageError, nearest

__all__ = ["LeakCheck", "LeakReport", "check_leaks"]


def check_leaks(
    stages: Sequence[tuple[str, Manifest]],
    *,
    fitted: Sequence[Fitted] = (),
    test_role: str = "test",
    allow_leakage: str | None = None,
    label_free: Sequence[str] = (),
) -> LeakReport:
    """Check the lineage of a run, first stage first.

    Parameters
    ----------
    stages : sequence of (name, Manifest)
        In the order in which the model goes through them, as in ``[("pretrain", a), ("finetune", b), ("test", b)]``.
        A stage learns from its train and valid windows; the test windows of every stage must be new to it and to all
        stages before it.
    fitted : sequence of Fitted
        What was fitted beside the weights and is used in the test: normalisations, vocabularies, thresholds.
    test_role : str
        Role that is tested on.
    allow_leakage : str, optional
        A reason to go on all the same; it then stands in the report.
    label_free : sequence of str
        Stages that use no labels at all, which may see held-out donors' train-role time.

    Returns
    -------
    LeakReport

    Raises
    ------
    LeakError
        Naming every leak with its count, unless `allow_leakage` gives a reason.
    UsageError
        No stage, a stage named twice, or a role or name that does not exist.
    """
    names = [name for name, _ in stages]
    if not stages or len(set(names)) < len(names):
        raise UsageError(f"a lineage has at least one stage, each with a name of its own; got {names}.")
    if allow_leakage is not None and not allow_leakage.strip():
        raise UsageError("allow_leakage must give a reason, which then stands in every report.")
    for name in label_free:
        if name not in names:
            raise UsageError(f"label_free names no stage {name!r}: {nearest(name, names)}")
    if test_role in LEARNING or not any((manifest.windows["role"] == test_role).any() for _, manifest in stages):
        roles = sorted({role for _, manifest in stages for role in manifest.roles} - set(LEARNING))
        raise UsageError(f"no stage has windows of role {test_role!r} to test on: {nearest(test_role, roles)}")
    checks = _checks(lay_out(stages, test_role, label_free), fitted)
    report = LeakReport(tuple(checks), allow_leakage)
    if report.leaks and allow_leakage is None:
        what = "1 leak" if len(report.leaks) == 1 else f"{len(report.leaks)} leaks"
        listed = "; ".join(
            f"{leak.check} [{leak.stages}]: {leak.found} of {leak.checked}, {leak.detail}" for leak in report.leaks
        )
        unchecked = "".join(f" Not checked: {one.check} [{one.stages}], {one.detail}." for one in report.unchecked)
        raise LeakError(
            f"{what} from training into the test: {listed}.{unchecked} Resolve all stages on one store with one split "
            'and fold, or give allow_leakage="<reason>", which then stands in every report.'
        )
    return report


def _checks(stages: Sequence[Stage], fitted: Sequence[Fitted]) -> Iterator[LeakCheck]:
    for (a, first), (b, second) in combinations(stages, 2):
        yield from leak_checks.same_store(_pair(a, b), first, second)
    for name, eaten in stages:
        for check in leak_checks.STAGE_CHECKS:
            yield from check(name, eaten)
    for (a, earlier), (b, later) in combinations_with_replacement(stages, 2):
        if len(later.tested):
            for pair_check in leak_checks.TEST_CHECKS:
                yield from pair_check(_pair(a, b), earlier, later)
    yield from leak_checks.declared_disjoint(stages)
    yield from leak_checks.fitted_roles(stages[-1][0], fitted)
    for one in fitted:
        for name, later in stages:
            if len(later.tested):
                for fitted_check in leak_checks.FITTED_CHECKS:
                    yield from fitted_check(_pair(f"{one.kind} {one.name}", name), one, later)


def _pair(a: str, b: str) -> str:
    return a if a == b else f"{a} -> {b}"
