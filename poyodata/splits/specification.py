"""`SplitSpec`: how recordings and time are divided, as intent that reads and writes as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isclose
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poyodata.digests import json_digest
from poyodata.errors import SplitError, UsageError, nearest
from poyodata.vocabulary import DRIFTING_GRATINGS

ROLES = ("train", "valid", "test")
_Counts: TypeAlias = npt.NDArray[np.int64]


class _Part(BaseModel):
    """A frozen piece of a specification which refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SplitError(f"a split is not well formed: {_sentence(error)}") from error


def _sentence(error: ValidationError) -> str:
    """Say all of a validation's complaints in one line: place, complaint, what arrived."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'split'}: {item['msg']} (got {item['input']!r})"
        for item in error.errors(include_url=False)
    )


class Fractions(_Part):
    """Shares of the three roles; they sum to one. A role with share 0 is not asked for.

    Examples
    --------
    >>> Fractions(train=0.7, valid=0.1, test=0.2).counts(10).tolist()
    [7, 1, 2]
    """

    train: float = Field(gt=0, le=1)
    valid: float = Field(ge=0, lt=1)
    test: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> Fractions:
        if not isclose(self.train + self.valid + self.test, 1.0, abs_tol=1e-9):
            raise ValueError(f"train, valid and test sum to {self.train + self.valid + self.test:g}, not to 1")
        return self

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Shares in the order of `ROLES`, shape (role,), float64."""
        return np.array([self.train, self.valid, self.test])

    def counts(self, n: int) -> _Counts:
        """Divide `n` things by largest remainder, ties to the earlier role: shape (role,), int64."""
        exact = np.round(self.shares * n, 9)
        whole = np.floor(exact).astype(np.int64)
        for at in np.argsort(whole - exact, kind="stable")[: n - int(whole.sum())]:
            whole[at] += 1
        return whole

    def fills(self, counts: _Counts) -> bool:
        """Whether every role that is asked for got something."""
        return bool(((counts > 0) | (self.shares == 0)).all())

    def smallest(self) -> int:
        """Fewest things of which every role that is asked for gets one."""
        return next(n for n in range(1, ceil(2 / min(self.shares[self.shares > 0])) + 2) if self.fills(self.counts(n)))


class Across(_Part):
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
    seed: int = 0


class Blocks(_Part):
    """Contiguous blocks within each stimulus epoch, snapped to trials (movies: to repeats); no block crosses an epoch.

    With `folds`, block f of every epoch is test, block f + 1 (cyclically) valid, the others train. With `fractions`,
    the first share of every epoch is train, then comes valid, then test.
    """

    kind: Literal["blocks"] = "blocks"
    folds: int | None = Field(default=None, ge=3)
    fractions: Fractions | None = None
    guard_s: float = Field(default=2.0, ge=0)

    @model_validator(mode="after")
    def _one_of(self) -> Blocks:
        if (self.folds is None) == (self.fractions is None):
            raise ValueError("blocks take either `folds` or `fractions`")
        return self


class EpochOut(_Part):
    """One recorded epoch of a stimulus is test, everything else train; there is no valid role.

    Two presentations in a row between which a gap of the recording or a change of role lies are both dropped.
    """

    kind: Literal["epoch-out"] = "epoch-out"
    stimulus: str = DRIFTING_GRATINGS
    guard_s: float = Field(default=2.0, ge=0)


class Trials(_Part):
    """Trials of every stimulus dealt out in hash order; only the frames of trials have a role.

    Neighbouring trials land on both sides, closer than a 2 s guard would allow: the guard is 0 unless given.
    """

    kind: Literal["trials"] = "trials"
    fractions: Fractions
    seed: int = 0
    guard_s: float = Field(default=0.0, ge=0)


Within: TypeAlias = Annotated[Blocks | EpochOut | Trials, Field(discriminator="kind")]


class SplitSpec(_Part):
    """How recordings and time are divided: intent, without data.

    Examples
    --------
    >>> spec = SplitSpec(name="half", within=Blocks(fractions=Fractions(train=0.5, valid=0.0, test=0.5)))
    >>> SplitSpec.from_yaml(spec.to_yaml()) == spec
    True
    """

    split: Literal[1] = 1
    name: str = Field(min_length=1)
    across: Across | None = None
    within: Within

    @property
    def digest(self) -> str:
        """Sha256 of what the specification says, whatever it is called."""
        return json_digest(self.model_dump(mode="json", exclude={"name"}))

    def to_yaml(self) -> str:
        """Write the specification as YAML that `from_yaml` reads back to an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_none=True), sort_keys=False)

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
        if isinstance(text_or_path, Path) or "\n" not in text_or_path:
            path = Path(text_or_path)
            if not path.is_file():
                raise UsageError(
                    f"no split file at {path}; give the path of a YAML file, or one of {', '.join(SPLITS)}."
                )
            text_or_path = path.read_text(encoding="utf-8")
        try:
            values = yaml.safe_load(text_or_path)
        except yaml.YAMLError as error:
            raise SplitError(f"the split is not YAML: {error}") from error
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise SplitError(f"a split is a mapping with `name` and `within`, and {type(values).__name__} arrived.")
        return cls(**values)


_SEVEN_ONE_TWO = Fractions(train=0.7, valid=0.1, test=0.2)

SPLITS: Mapping[str, SplitSpec] = {
    spec.name: spec
    for spec in (
        SplitSpec(name="blocks-5fold", within=Blocks(folds=5)),
        SplitSpec(name="epoch-out", within=EpochOut()),
        SplitSpec(name="donor-70-10-20", across=Across(), within=Blocks(fractions=_SEVEN_ONE_TWO)),
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
