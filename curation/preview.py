"""`Preview`: what a diet would keep, counted from tables alone and fast enough for sliders.

What a rule looks at is gathered once for each open store, split and column, and kept as long as the store is. A preview
of other thresholds only asks the rule again; one that names another column gathers that column alone.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.evidence import ALL_TIME, source_of
from poyodata.curation.language.rule_document import rule_text
from poyodata.curation.language.rules import Balance, Everyone
from poyodata.curation.language.window_rule import WindowRule
from poyodata.curation.resolve import Ground
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import Step, select_neurons
from poyodata.splits import Split, SplitSpec, default_split, resolve_split
from poyodata.vocabulary import CURATION_COLUMNS

if TYPE_CHECKING:
    from poyodata.store import Store

GROUPS: tuple[str, ...] = ("role", "cre_line", "area")
"""Columns by whose values a preview counts."""

_LABELLED = ("valid_roi", "exclusion_label")


@dataclass(frozen=True)
class Preview:
    """Counts of what a diet would keep. Made by ``diet.preview(store)``.

    Attributes
    ----------
    name, rule : str
    kept, rejected, unknown : int
        Neurons; they add up to all that were considered.
    recordings, donors : int
        Of the kept neurons.
    by_role, by_cre_line, by_area : dict of str to int
        Kept neurons of every role of the split, line and area that were considered.
    tokens : dict of str to int
        Neurons x frames of each role of the split, of the kept neurons; windows that a diet asks for can only take
        away from that.
    steps : tuple of Step
        The funnel.
    warnings : tuple of str
    """

    name: str
    rule: str
    kept: int
    rejected: int
    unknown: int
    recordings: int
    donors: int
    by_role: Mapping[str, int]
    by_cre_line: Mapping[str, int]
    by_area: Mapping[str, int]
    tokens: Mapping[str, int]
    cut: bool = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)
    warnings: tuple[str, ...] = ()

    def funnel(self) -> pd.DataFrame:
        """Count step by step: step, rule, kept, rejected, unknown, counts."""
        return pd.DataFrame([asdict(step) for step in self.steps])

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain mappings and lists, for JSON."""
        facts = {name: value for name, value in vars(self).items() if name not in ("cut", "steps")}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in facts.items()}
        return plain | {"warnings": list(self.warnings), "steps": [asdict(step) for step in self.steps]}

    def _facts(self) -> dict[str, str]:
        def listed(counts: Mapping[str, int]) -> str:
            return ", ".join(f"{name or '(none)'} {count:,}" for name, count in counts.items())

        facts = {
            "kept": f"{self.kept:,} neurons in {self.recordings:,} recordings of {self.donors:,} donors",
            "rejected": f"{self.rejected:,}",
            "unknown": f"{self.unknown:,}",
            "roles": listed(self.by_role),
            "CRE lines": listed(self.by_cre_line),
            "areas": listed(self.by_area),
            "tokens": ("at most " if self.cut else "") + listed(self.tokens),
            "warnings": "; ".join(self.warnings),
        }
        return {name: value for name, value in facts.items() if value}

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.rule}", *(f"  {name:<10} {value}" for name, value in self._facts().items())]
        return "\n".join([*lines, "", self.funnel().to_string(index=False, max_colwidth=60)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return (
            f"<table><caption>{html.escape(f'{self.name}: {self.rule}')}</caption>{rows}</table>"
            f"{self.funnel().to_html(index=False)}"
        )


def preview_diet(diet: Diet, store: Store, split: Split | SplitSpec | str | None = None, fold: int = 0) -> Preview:
    """Count what a diet would keep of a store.

    Parameters
    ----------
    diet : Diet
    store : Store
        Kept open between previews: what was gathered is kept with it.
    split : Split, SplitSpec or str, optional
        Default: what the diet names, else the store's default split.
    fold : int

    Returns
    -------
    Preview
        Also of a diet that keeps nothing.

    Raises
    ------
    DietError
        What resolving would refuse, but for keeping nothing and for windows, which are not looked at.
    SplitError
        The split cannot be made from this store.
    """
    diet = diet.bound()
    known = _known(store)
    chosen = _resolved(store, split or diet.splits, fold)
    references = References(diet)
    if references.counted:  # windows and tokens of recordings are those of this very diet
        ground = Ground.prepare(diet, store, chosen)
        table, invalid, remarks = ground.evidence.table, ground.invalid, ground.evidence.warnings
    else:
        table, invalid, remarks = known.table(diet, store, chosen, references.columns)
    selection = select_neurons(diet, table, references, trace=True, allow_empty=True)
    kept = np.flatnonzero(selection.kept)
    _, rejected, unknown = selection.trace[-1][1].counts()
    groups = {name: _counted(*known.codes(table, chosen, name), kept) for name in GROUPS}
    session, sessions = known.codes(table, chosen, "session_id")
    donor, _ = known.codes(table, chosen, "donor_id")
    per_session = np.bincount(session[kept], minlength=len(sessions))
    frames = known.frames(chosen).reindex(sessions, fill_value=0)
    tokens = {str(role): int(per_session @ frames[role].to_numpy(np.int64)) for role in frames.columns}
    total = len(store.neurons)
    first = [
        Step("split", f"recordings of split {chosen.spec.name}", len(table) + invalid, total - len(table) - invalid, 0)
    ]
    if invalid:
        what = "regions of interest without an exclusion label"
        first.append(Step("valid_roi", what, len(table), invalid, 0))
    return Preview(
        name=diet.name,
        rule=rule_text(diet.neurons),
        kept=len(kept),
        rejected=rejected,
        unknown=unknown,
        recordings=int((per_session > 0).sum()),
        donors=len(np.unique(donor[kept])),
        by_role=groups["role"],
        by_cre_line=groups["cre_line"],
        by_area=groups["area"],
        tokens=tokens,
        cut=diet.windows != WindowRule(),
        steps=(*first, *selection.steps),
        warnings=(*chosen.warnings, *remarks, *selection.warnings),
    )


class _Known:
    """What was gathered of one open store."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, bool], tuple[pd.DataFrame, int]] = {}
        self._columns: dict[tuple[str, bool, str, str], pd.Series[Any]] = {}
        self._codes: dict[tuple[str, int, str], tuple[npt.NDArray[np.int64], list[str]]] = {}
        self._frames: dict[str, pd.DataFrame] = {}
        self._default: SplitSpec | None = None

    def default_split(self, store: Store) -> SplitSpec:
        """The split that suits the store."""
        self._default = self._default or default_split(store)
        return self._default

    def table(
        self, diet: Diet, store: Store, split: Split, columns: Sequence[str]
    ) -> tuple[pd.DataFrame, int, list[str]]:
        """Neurons considered with the columns that the rule names, how many were left out for a label, and remarks."""
        labelled = any(name in _LABELLED for name in columns)
        base, invalid = self._base(store, split, labelled)
        window = diet.statistics_window
        # Roles stand there for whoever counts by them; no rule may ask for them, and gathering says so.
        wanted = [name for name in columns if name not in base.columns or name in CURATION_COLUMNS]
        lacking = [name for name in wanted if (split.digest, labelled, window, name) not in self._columns]
        found: dict[str, pd.Series[Any]] = {}
        remarks: list[str] = []
        if lacking:
            ground = Ground.prepare(_asking(diet, lacking, labelled), store, split)
            remarks = list(ground.evidence.warnings)
            # A model may write its columns again while the store is open.
            learned = {name for known in ground.evidence.learned.values() for name in known["columns"]}
            found = {name: ground.evidence.table[name] for name in lacking}
            self._columns |= {
                (split.digest, labelled, window, name): values for name, values in found.items() if name not in learned
            }
        values = {
            name: found[name] if name in found else self._columns[split.digest, labelled, window, name]
            for name in wanted
        }
        if window == "all" and ALL_TIME not in remarks and any(source_of(name) for name in wanted if name not in found):
            remarks.insert(0, ALL_TIME)  # what was kept from an earlier preview is of all time as well
        return base.assign(**values) if values else base, invalid, remarks

    def _base(self, store: Store, split: Split, labelled: bool) -> tuple[pd.DataFrame, int]:
        if (split.digest, labelled) not in self._tables:
            ground = Ground.prepare(_asking(Diet.everyone(), (), labelled), store, split)
            self._tables[split.digest, labelled] = ground.evidence.table, ground.invalid
        return self._tables[split.digest, labelled]

    def codes(self, table: pd.DataFrame, split: Split, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Number the values of a column in their order."""
        key = (split.digest, len(table), name)
        if key not in self._codes:
            codes, names = pd.factorize(table[name].fillna("").astype("str"), sort=True)
            self._codes[key] = codes.astype(np.int64), [str(value) for value in names]
        return self._codes[key]

    def frames(self, split: Split) -> pd.DataFrame:
        """Frames of every role in every recording."""
        if split.digest not in self._frames:
            time = split.windows.assign(n=split.windows["stop_frame"] - split.windows["start_frame"])
            frames = time.pivot_table(index="session_id", columns="role", values="n", aggfunc="sum", fill_value=0)
            self._frames[split.digest] = frames.astype("int64")
        return self._frames[split.digest]


def _known(store: Store) -> _Known:
    # On the store itself, as its splits are: what is kept goes when the store does.
    known: _Known = vars(store).setdefault("_previewed", _Known())
    return known


def _resolved(store: Store, asked: Split | SplitSpec | str | None, fold: int) -> Split:
    if asked is None or isinstance(asked, str | SplitSpec):
        return resolve_split(store, asked or _known(store).default_split(store), fold=fold)
    return asked.on(store)


def _counted(codes: npt.NDArray[np.int64], names: Sequence[str], kept: npt.NDArray[np.intp]) -> dict[str, int]:
    counts = np.bincount(codes[kept], minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def _asking(diet: Diet, columns: Sequence[str], labelled: bool) -> Diet:
    """A diet that names some columns, under the options of another: what gathers them."""
    names = [*columns, *(["valid_roi"] if labelled and "valid_roi" not in columns else [])]
    return Diet(
        Balance(Everyone(), tuple(names)) if names else Everyone(),
        name=diet.name,
        statistics_window=diet.statistics_window,
        statistics_reference=diet.statistics_reference,
        folder=diet.folder,
    )
