"""The keys of a diet's document: what they mean, and which values they take. Editors show these descriptions."""

from __future__ import annotations

import keyword
from typing import Annotated, Any, Literal, TypeAlias

import pydantic
from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, GetJsonSchemaHandler, Tag
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from poyodata.curation.language.expressions import MAX_CHARACTERS
from poyodata.curation.language.rules import LONGEST_NAME
from poyodata.curation.language.window_rule import FRAME_COLUMNS, WINDOW_COLUMNS

_WORDS = "|".join(keyword.kwlist)
PLAIN_NAME = f"(?!({_WORDS})(@|$))[A-Za-z][A-Za-z0-9_]{{0,127}}"
COLUMN = rf"^{PLAIN_NAME}(@[^@\s]([^@\n\r\t]{{0,126}}[^@\s])?)?$"
PRINTABLE_LINE = rf"^(?=.*\S)[^\n\r\t]{{1,{LONGEST_NAME}}}$"
"""Names as a schema can tell them; the reader also refuses what cannot be printed."""


_VALUE, _PARAMETER, _LIST = TAGS = ("\0value", "\0parameter", "\0list")
"""Names of kinds among which a value chooses. pydantic puts them into paths; no key can be called so."""


class _Strict(pydantic.BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise PydanticCustomError("no_constant", "a constant is a number, a text or a truth value")
    return value


Plain: TypeAlias = Annotated[bool | int | float | str, BeforeValidator(_scalar)]


class ParameterDocument(_Strict):
    """A value that can be set from outside, for sweeps: `poyodata diet resolve ... --set share=0.5`."""

    param: str = Field(
        description="Name of the parameter.", json_schema_extra={"pattern": f"^{PLAIN_NAME}$"}, examples=["share"]
    )
    default: Plain = Field(description="What holds where nothing else is set.")


def _which(value: Any) -> str:
    return _PARAMETER if isinstance(value, dict | ParameterDocument) else _VALUE


_Parameter: TypeAlias = Annotated[ParameterDocument, Tag(_PARAMETER)]
Number: TypeAlias = Annotated[Annotated[float, Tag(_VALUE)] | _Parameter, Discriminator(_which)]
Whole: TypeAlias = Annotated[Annotated[int, Tag(_VALUE)] | _Parameter, Discriminator(_which)]
Constant: TypeAlias = Annotated[Annotated[Plain, Tag(_VALUE)] | _Parameter, Discriminator(_which)]


def _one_or_several(value: Any) -> str:
    return _LIST if isinstance(value, list) else _VALUE


Texts: TypeAlias = Annotated[
    Annotated[str, Tag(_VALUE)] | Annotated[list[str], Tag(_LIST)], Discriminator(_one_or_several)
]

_SHARE: JsonDict = {"exclusiveMinimum": 0, "maximum": 1}
_COUNT: JsonDict = {"minimum": 1, "exclusiveMaximum": 2**63}
_SEED: JsonDict = {"minimum": 0, "exclusiveMaximum": 2**63}
_EXPRESSION: JsonDict = {"pattern": r"\S", "maxLength": MAX_CHARACTERS}
_COLUMN: JsonDict = {"pattern": COLUMN}
_COLUMNS: JsonDict = {"pattern": COLUMN, "minItems": 1, "uniqueItems": True}

_OF = "The pool: a rule."
_SEED_SAYS = "Another seed takes other neurons; samples of one seed are nested."


def _spell_out_all(value: Any) -> Any:
    return {"all": True} if value == "all" and isinstance(value, str) else value


class _AlsoAll:
    """Lets the schema know that ``all`` stands for ``{all: true}``."""

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"const": "all", "description": "Every neuron of the store."}, handler(core)]}


class SampleDocument(_Strict):
    """Part of what a rule keeps, by the smallest hash of (seed, neuron_id): nested, and stable under added data."""

    of: RuleLike = Field(description=_OF)
    fraction: Number | None = Field(None, description="Share of the pool, above 0.", json_schema_extra=_SHARE)
    n: Whole | None = Field(None, description="Number of neurons instead.", json_schema_extra=_COUNT)
    seed: Whole = Field(0, description=_SEED_SAYS, json_schema_extra=_SEED)
    within: str | None = Field(
        None, description="A column: fraction, or n, holds in each of its groups.", json_schema_extra=_COLUMN
    )


class BalanceDocument(_Strict):
    """As many neurons from every group."""

    of: RuleLike = Field(description=_OF)
    by: Texts = Field(
        description="Columns; every combination of their values is a group.",
        json_schema_extra=_COLUMNS,
        examples=[["cre_line"]],
    )
    n: Whole | None = Field(
        None,
        description="Neurons from every group; by default as many as the smallest group has.",
        json_schema_extra=_COUNT,
    )
    seed: Whole = Field(0, description=_SEED_SAYS, json_schema_extra=_SEED)


class TopDocument(_Strict):
    """The k neurons that are highest (or lowest) in something."""

    of: RuleLike = Field(description=_OF)
    k: Whole = Field(description="How many neurons.", json_schema_extra=_COUNT)
    by: str = Field(
        description="A column, or a number made of one: `reliability`, `abs(skewness)`.", json_schema_extra=_EXPRESSION
    )
    order: Literal["highest", "lowest"] = Field("highest", description="Which end is taken.")
    within: str | None = Field(
        None, description="A column: k neurons of each of its groups.", json_schema_extra=_COLUMN
    )


class MatchDocument(_Strict):
    """Random controls: as many neurons of a pool as another rule keeps, and like them in what `on` names."""

    to: RuleLike = Field(description="What is matched: a rule.")
    pool: RuleLike | None = Field(
        None, alias="from", description="The pool that is drawn from; every neuron by default."
    )
    on: Texts | None = Field(
        None,
        description="What must agree: columns of text (equal counts in every group), columns of numbers (the "
        "distribution), `windows` or `tokens` of train-role time. Without it, the number of neurons alone.",
        json_schema_extra=_COLUMNS,
        examples=[["session_id"], ["cre_line", "depth_um"]],
    )
    seed: Whole = Field(0, description="Of the draws.", json_schema_extra=_SEED)
    draw: Whole = Field(0, description="Number of the draw, from 0.", json_schema_extra=_SEED)


class TermDocument(_Strict):
    """One pool of a mix, whole, or one of fraction, share and n of it."""

    of: RuleLike = Field(description=_OF)
    name: str = Field(
        "",
        description="Label of its neurons in the manifest's column `term`.",
        json_schema_extra={"pattern": f"^$|{PRINTABLE_LINE}"},
    )
    fraction: Number | None = Field(None, description="Share of this pool.", json_schema_extra=_SHARE)
    share: Number | None = Field(None, description="Share of the result, instead.", json_schema_extra=_SHARE)
    n: Whole | None = Field(None, description="Number of neurons, instead.", json_schema_extra=_COUNT)
    seed: Whole = Field(0, description=_SEED_SAYS, json_schema_extra=_SEED)


class RuleDocument(_Strict):
    """Which neurons: exactly one operator."""

    all: Literal[True] | None = Field(None, description="Every neuron of the store; also written `neurons: all`.")
    where: str | None = Field(
        None,
        description="Neurons for which an expression is true. Compare columns with constants (== != < <= > >=, chains, "
        "`in [...]`), join with and / or / not; functions are abs, log10, isnan, zscore, rank, quantile and param.",
        json_schema_extra=_EXPRESSION,
        examples=["skewness <= 3.51 and kurtosis <= 22.62", "cre_line in ['Sst-IRES-Cre', 'Vip-IRES-Cre']"],
    )
    ids: list[str] | None = Field(
        None,
        description="Neurons by neuron_id, in quotes.",
        json_schema_extra={"minItems": 1, "uniqueItems": True, "pattern": PRINTABLE_LINE},
    )
    diet: str | None = Field(
        None,
        description="Neurons that another diet keeps: a preset, a diet of an installed package, or a file by its path, "
        "which ends in .yaml and begins at this file's folder.",
        json_schema_extra={"pattern": PRINTABLE_LINE},
        examples=["predictable", "unpredictable", "./mine.yaml"],
    )
    given: dict[str, Constant] | None = Field(
        None,
        alias="with",
        description="Values of parameters of the diet referred to.",
        json_schema_extra={"propertyNames": {"pattern": f"^{PLAIN_NAME}$"}},
        examples=[{"max_skewness": 3.0}],
    )
    union: list[RuleLike] | None = Field(
        None, description="Neurons of any of these rules.", json_schema_extra={"minItems": 2}
    )
    intersect: list[RuleLike] | None = Field(
        None, description="Neurons of all of these rules.", json_schema_extra={"minItems": 2}
    )
    difference: list[RuleLike] | None = Field(
        None,
        description="Neurons of the first rule that none of the others keeps.",
        json_schema_extra={"minItems": 2},
    )
    complement: RuleLike | None = Field(
        None, description="Neurons that the rule rejects; where it is unknown, so is this."
    )
    sample: SampleDocument | None = Field(None, description="Part of what a rule keeps.")
    balance: BalanceDocument | None = Field(None, description="As many neurons from every group.")
    top: TopDocument | None = Field(None, description="The k neurons that are highest or lowest in something.")
    match: MatchDocument | None = Field(None, description="Random controls for another rule.")
    mix: list[TermDocument] | None = Field(
        None, description="Several pools together, each whole or in part.", json_schema_extra={"minItems": 2}
    )


OPERATORS: tuple[str, ...] = tuple(name for name in RuleDocument.model_fields if name != "given")
"""Keys of which a rule has exactly one."""

RuleLike = Annotated[RuleDocument, BeforeValidator(_spell_out_all), _AlsoAll()]


class StatisticsDocument(_Strict):
    """What statistics are computed on."""

    window: Literal["train", "all"] = Field(
        "train", description="Time: train-role alone, or all. `all` looks at test time, and every leak check says so."
    )
    reference: Literal["train", "all"] = Field(
        "train",
        description="Neurons that quantile, zscore and rank compare with: those of recordings to learn from, or all.",
    )


class WindowSampleDocument(_Strict):
    """Part of the windows, by the smallest hash of (seed, recording, frames)."""

    fraction: Number | None = Field(
        None, description="Share of the windows of each recording and role.", json_schema_extra=_SHARE
    )
    n: Whole | None = Field(
        None, description="Number of windows of each recording and role instead.", json_schema_extra=_COUNT
    )
    seed: Whole = Field(0, description="Another seed takes other windows.", json_schema_extra=_SEED)
    roles: list[Literal["train", "valid", "test", "identify"]] = Field(
        ["train"],
        description="Roles that are thinned; windows of the others all stay.",
        json_schema_extra={"minItems": 1},
    )


class WindowsDocument(_Strict):
    """Which time of a recording is eaten, within the roles of the split."""

    where: str | None = Field(
        None,
        description=f"Condition on what was shown. Columns: {', '.join(WINDOW_COLUMNS)}.",
        json_schema_extra=_EXPRESSION,
        examples=["stimulus == 'drifting_gratings' and not blank"],
    )
    while_: str | None = Field(
        None,
        alias="while",
        description=f"Condition on single frames, which cuts windows. Columns: {', '.join(FRAME_COLUMNS)}.",
        json_schema_extra=_EXPRESSION,
        examples=["running_cm_s < 1"],
    )
    min_length_s: Number | None = Field(
        None,
        description="Shorter windows are left out, in seconds, to the nearest whole frame of each recording.",
        json_schema_extra={"exclusiveMinimum": 0, "exclusiveMaximum": 1e6},
    )
    sample: WindowSampleDocument | None = Field(None, description="Which part of the windows is taken.")


class DisjointDocument(_Strict):
    """A promise that is checked: nothing is shared with another diet."""

    other: str = Field(
        alias="from", description="The other diet, by name or path.", json_schema_extra={"pattern": PRINTABLE_LINE}
    )
    by: Literal["donor", "container", "session", "cell", "neuron"] = Field(
        description="What the two do not share.",
    )


class DietDocument(_Strict):
    """A diet of poyodata: which neurons and which time a model may eat."""

    diet: Literal[1] = Field(description="Version of this format.")
    name: str = Field(
        "unnamed", description="Name of the diet, on one line.", json_schema_extra={"pattern": PRINTABLE_LINE}
    )
    description: str = Field("", description="What it is for, in words.", json_schema_extra={"pattern": r"^[^\t\r]*$"})
    splits: str | None = Field(
        None,
        description="Name of the split, or the path of its file; by default the store's own.",
        json_schema_extra={"pattern": PRINTABLE_LINE},
        examples=["donor-70-10-20", "blocks-5fold", "paper-trial"],
    )
    statistics: StatisticsDocument = Field(
        StatisticsDocument(), description="Time and neurons that statistics look at."
    )
    missing: Literal["exclude", "include", "error"] = Field(
        "exclude", description="What becomes of neurons for which the rule is unknown, because a value is missing."
    )
    neurons: RuleLike = Field(description="Which neurons: a rule.")
    windows: WindowsDocument = Field(WindowsDocument(), description="Which time.")
    disjoint: list[DisjointDocument] = Field([], description="Diets that this one shares nothing with.")


for _model in (SampleDocument, BalanceDocument, TopDocument, MatchDocument, TermDocument, RuleDocument, DietDocument):
    _model.model_rebuild()
