"""`SplitSpec`: how recordings and time are divided, as intent that reads and writes as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from poyodata.digests import json_digest
from poyodata.documents import DocumentKind, read_file, read_yaml, together, write_yaml
from poyodata.errors import SplitError, UsageError, nearest
from poyodata.splits.fractions import Fractions
from poyodata.splits.part import Part
from poyodata.splits.within import Blocks, EpochOut, MovieSegments, PaperTrials, Trials, Within

SPLIT = DocumentKind("split", "`name:` and `within:`", "leave entries out", "write several splits", SplitError)


class Across(Part):
    """Which recordings a model learns from, by the unit that must not be shared.

    Attributes
    ----------
    by : {"donor", "container", "session"}
        Splitting by container or session leaves the same mouse on both sides.
    assign : {"rank", "hash"}
        ``rank``: exact sizes, hash-ordered within each stratum. ``hash``: every unit falls where its own hash says, so
        that adding animals moves none, and sizes are random.
    stratify : {"cre_line", "area"} or None
        Divide each line (or area) by itself; needs enough donors in each.
    """

    by: Literal["donor", "container", "session"] = "donor"
    fractions: Fractions = Fractions(train=0.7, valid=0.1, test=0.2)
    assign: Literal["rank", "hash"] = "rank"
    stratify: Literal["cre_line", "area"] | None = None
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)


class SplitSpec(Part):
    """How recordings and time are divided: intent, without data.

    Examples
    --------
    >>> spec = SplitSpec(name="half", within=Blocks(fractions=Fractions(train=0.5, valid=0.0, test=0.5)))
    >>> SplitSpec.from_yaml(spec.to_yaml()) == spec
    True
    """

    split: Literal[1] = 1
    name: str = Field(min_length=1, max_length=200)
    across: Across | None = None
    within: Within

    @property
    def digest(self) -> str:
        """Sha256 of what the specification says, whatever it is called."""
        return json_digest(self.model_dump(mode="json", exclude={"name"}))

    @property
    def caution(self) -> str | None:
        """What a reader of results must know of this split; goes into every manifest made under it."""
        texts = []
        if self.across is not None and self.across.by != "donor":
            texts.append(f"a {self.across.by} is held out, not a mouse: the same mouse may be on both sides")
        if isinstance(self.within, PaperTrials):
            texts.append("every movie frame of test was shown in training")
        if isinstance(self.within, PaperTrials | Trials):
            texts.append("neighbouring trials lie on both sides, closer than the signal decays")
        return f"split {self.name!r}: {'; '.join(texts)}" if texts else None

    def to_yaml(self) -> str:
        """Write the specification as YAML that `from_yaml` reads back to an equal one."""
        return write_yaml(self.model_dump(mode="json", exclude_none=True), SPLIT)

    @classmethod
    def from_yaml(cls, text_or_path: str | Path) -> SplitSpec:
        """Read a specification from YAML text (a string with a line break) or from a file.

        Raises
        ------
        UsageError
            When there is no such file.
        SplitError
            When the text is not a split.
        """
        name = ""
        if isinstance(text_or_path, Path) or "\n" not in text_or_path:
            name = str(text_or_path)
            try:
                text_or_path = read_file(Path(name), SPLIT)
            except UsageError as error:
                raise UsageError(f"{str(error).removesuffix('.')}, or one of {', '.join(SPLITS)}.") from None
        values, places = read_yaml(text_or_path, name, SPLIT)
        if not isinstance(values, dict):
            kind = type(values).__name__
            raise places.error(f"a split is a mapping with `name` and `within`, and {kind} arrived.", 1, 1)
        try:
            return cls(**values)
        except SplitError as error:
            found = [places.problem(tuple(filter(None, one.path.split("."))), one.message) for one in error.problems]
            raise together(found, SPLIT) from None


_SEVEN_ONE_TWO = Fractions(train=0.7, valid=0.1, test=0.2)

SPLITS: Mapping[str, SplitSpec] = {
    spec.name: spec
    for spec in (
        SplitSpec(name="blocks-5fold", within=Blocks(folds=5)),
        SplitSpec(name="epoch-out", within=EpochOut()),
        SplitSpec(name="donor-70-10-20", across=Across(), within=Blocks(fractions=_SEVEN_ONE_TWO)),
        SplitSpec(name="movie-segments", within=MovieSegments(folds=5)),
        SplitSpec(name="paper-trial", within=PaperTrials()),
    )
}
"""The named specifications."""


def split_spec(spec: str | SplitSpec) -> SplitSpec:
    """Give the specification of this name, or of the file whose path ends in ``.yaml`` or ``.yml``.

    Raises
    ------
    UsageError
        When no specification is called so, or there is no such file.
    SplitError
        When the file holds no split.

    Examples
    --------
    >>> split_spec("blocks-5fold").within.folds
    5
    """
    if isinstance(spec, SplitSpec):
        return spec
    if spec.endswith((".yaml", ".yml")):
        return SplitSpec.from_yaml(Path(spec))
    if spec not in SPLITS:
        raise UsageError(f"no split is called {spec!r}: {nearest(spec, SPLITS)}")
    return SPLITS[spec]
