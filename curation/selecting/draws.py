"""Many random controls at once: the columns, the strata and the windows are found for all draws together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from poyodata.curation.diet import Diet
from poyodata.curation.language import rules
from poyodata.curation.language.parameters import settled
from poyodata.curation.manifest import Manifest
from poyodata.curation.resolve import Ground
from poyodata.errors import UsageError

if TYPE_CHECKING:
    from poyodata.splits import Split, SplitSpec
    from poyodata.store import Store


def draw_controls(
    diet: Diet,
    store: Store,
    n: int,
    *,
    on: str | Sequence[str] = (),
    of: Diet | None = None,
    seed: int = 0,
    split: Split | SplitSpec | str | None = None,
    fold: int = 0,
) -> list[Manifest]:
    """Draw random controls `n` times: manifest k has the neurons that the diet with that number of the draw keeps.

    Its digest is another one than that of such a diet, since the name of the draw is in it.

    Draws of one seed are independent of each other, and the first few are the same however many are drawn.

    Parameters
    ----------
    diet : Diet
        What is matched; or a diet of random controls, ``target.matched(...)``, whose draws are then numbered on from
        its own.
    store : Store
    n : int
        How many draws.
    on, of, seed : optional
        Of `Diet.matched`, for a diet that is not yet one of controls.
    split : Split, SplitSpec or str, optional
        Default: what the diet names, else the store's default split.
    fold : int

    Returns
    -------
    list of Manifest
        ``imbalance()`` of each says what still differs from the target.

    Raises
    ------
    UsageError
        `on`, `of` or `seed` for a diet that says them itself.
    DietError
        `n` below 1; a group of which the pool has too few neurons, with what to do; and all that `resolve_diet` raises.
    """
    rules.check_count(n, "the number of draws", 1)
    if any(isinstance(rule, rules.Match) for rule, _ in rules.walk_rules(diet.neurons)):
        if on or of is not None or seed:
            raise UsageError(f"diet {diet.name!r} is matched already; say `on`, `of` and `seed` there, and not here.")
    else:
        diet = diet.matched(on, of=of, seed=seed)
    ground = Ground.prepare(diet, store, split, fold)
    return [ground.resolve(replace(diet, neurons=_further(diet.neurons, number))) for number in range(n)]


def _further(rule: rules.Rule, by: int) -> rules.Rule:
    """Number the draws of the outermost matches of a rule further on."""
    match rule:
        case rules.Match():
            return replace(rule, draw=settled(rule.draw) + by)
        case rules.Union() | rules.Intersect() | rules.Difference():
            return replace(rule, rules=tuple(_further(part, by) for part in rule.rules))
        case rules.Complement() | rules.Sample() | rules.Balance() | rules.Top():
            return replace(rule, of=_further(rule.of, by))
        case rules.Mix():
            return replace(rule, terms=tuple(replace(term, of=_further(term.of, by)) for term in rule.terms))
        case _:
            return rule
