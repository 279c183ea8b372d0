"""`Recipe`: how data is shown to a model. Which data, a diet says; the two are hashed apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from poyodata.digests import json_digest
from poyodata.documents import plain_text
from poyodata.documents.places import RECIPE
from poyodata.errors import RecipeError, UsageError, nearest
from poyodata.loaders.checks import finite_number, truth, whole_number
from poyodata.loaders.masks.mask import Mask
from poyodata.loaders.masks.mask_spec import MaskSpec
from poyodata.loaders.transforms.crop import Crop
from poyodata.loaders.transforms.jitter import Jitter
from poyodata.loaders.transforms.noise import Noise
from poyodata.loaders.transforms.normalise import Normalise
from poyodata.loaders.transforms.unit_dropout import UnitDropout
from poyodata.loaders.views import TwoViews

TransformChoice = Normalise | UnitDropout | Jitter | Crop | Noise

TRANSFORMS: Mapping[str, type[TransformChoice]] = {
    kind.name: kind for kind in (Normalise, UnitDropout, Jitter, Crop, Noise)
}
LAYOUTS = ("dense", "tokens", "token-views", "jagged")


@dataclass(frozen=True)
class WindowsChoice:
    """Which windows there are.

    Parameters
    ----------
    mode : {"trial", "fixed", "frames", "whole"}
        One window a trial; back to back; from every frame; each stretch whole.
    window_s : float, seconds, optional
        Length; not for ``whole``.
    n_frames : int, optional
        Length in frames, in the place of `window_s`.
    offset_s : float, seconds
        For ``trial``: start after the onset; negative for context before it.
    hop_s : float, seconds, optional
        For ``fixed``: from one window to the next; by default they touch.
    random_phase : bool, optional
        For ``fixed``: whether every epoch begins elsewhere; by default in the roles to learn from.
    stimulus : str, optional
        For ``frames``: only during this one.

    Raises
    ------
    RecipeError
        An option is out of range, or is not of this mode.
    """

    mode: Literal["trial", "fixed", "frames", "whole"] = "trial"
    window_s: float | None = None
    n_frames: int | None = None
    offset_s: float = 0.0
    hop_s: float | None = None
    random_phase: bool | None = None
    stimulus: str | None = None

    def __post_init__(self) -> None:
        if self.window_s is not None and self.n_frames is not None:
            raise RecipeError("a window's length is given by `window_s` or by `n_frames`, and not by both.")
        for name, value in (("window_s", self.window_s), ("hop_s", self.hop_s)):
            if value is not None and finite_number(f"`{name}`", value, RecipeError) <= 0:
                raise RecipeError(f"`{name}` is above 0, got {value}.")
        if self.n_frames is not None:
            whole_number("`n_frames`", self.n_frames, 1, RecipeError)
        finite_number("`offset_s`", self.offset_s, RecipeError)
        if self.random_phase is not None:
            truth("`random_phase`", self.random_phase, RecipeError)
        for name, given, modes in (
            ("window_s", self.window_s is not None, ("trial", "fixed", "frames")),
            ("n_frames", self.n_frames is not None, ("trial", "fixed", "frames")),
            ("offset_s", self.offset_s != 0, ("trial",)),
            ("hop_s", self.hop_s is not None, ("fixed",)),
            ("random_phase", self.random_phase is not None, ("fixed",)),
            ("stimulus", self.stimulus is not None, ("frames",)),
        ):
            if given and self.mode not in modes:
                raise RecipeError(f"`{name}` is for mode {' and '.join(modes)}, and not for mode {self.mode!r}.")


@dataclass(frozen=True)
class SamplingChoice:
    """Which windows when.

    Parameters
    ----------
    how : {"uniform", "weighted", "balanced", "same-recording"}
    by : str, optional
        For ``balanced``: a column of windows (``direction_deg``) or of recordings (``cre_line``).
    weights : mapping of str to float, optional
        For ``weighted``: weight of each term of the diet.
    n_windows : int, optional
        For ``weighted`` and ``balanced``: windows in an epoch.
    shuffle : bool, optional
        For ``uniform`` and ``same-recording``; by default in role ``train``.
    drop_last : bool
        Leave out a last batch that is not full.

    Raises
    ------
    RecipeError
        An option is missing, out of range, or not of this kind.
    """

    how: Literal["uniform", "weighted", "balanced", "same-recording"] = "uniform"
    by: str | None = None
    weights: Mapping[str, float] | None = None
    n_windows: int | None = None
    shuffle: bool | None = None
    drop_last: bool = False

    def __post_init__(self) -> None:
        if (self.by is not None) != (self.how == "balanced"):
            raise RecipeError("sampling is balanced `by` a column: `how: balanced` and `by` go together.")
        if (self.weights is not None) != (self.how == "weighted"):
            raise RecipeError("sampling is weighted by `weights` of terms: `how: weighted` and `weights` go together.")
        weights = () if self.weights is None else self.weights.values()
        if self.weights is not None and not (
            all(finite_number("a weight", weight, RecipeError) >= 0 for weight in weights) and any(weights)
        ):
            raise RecipeError("`weights` are 0 or above, and one of them is above 0.")
        if self.n_windows is not None:
            whole_number("`n_windows`", self.n_windows, 1, RecipeError)
            if self.how not in ("weighted", "balanced"):
                raise RecipeError("`n_windows` is for sampling that is weighted or balanced.")
        truth("`drop_last`", self.drop_last, RecipeError)
        if self.shuffle is not None:
            truth("`shuffle`", self.shuffle, RecipeError)
        if self.shuffle is not None and self.how in ("weighted", "balanced"):
            raise RecipeError(f"`shuffle` is not for sampling that is {self.how}: that is random already.")


@dataclass(frozen=True)
class Recipe:
    """How data is shown: windows, their order, targets, transforms, masks or views, and the layout of batches.

    Parameters
    ----------
    windows : WindowsChoice
    sampling : SamplingChoice
    targets : mapping of str to mapping
        Options of each target, by name; see `poyodata.loaders.targets.make_targets`.
    transforms : tuple
        In the order in which they act among those of the same place.
    masks : MaskSpec, optional
    views : TwoViews, optional
        Pairs of windows; they bring their own windows and their own dropout of neurons.
    layout : {"dense", "tokens", "token-views", "jagged"}
    name : str, optional
        For people; not in the digest.
    diet : str, optional
        Name or file of the diet that this is usually for; not in the digest.

    Raises
    ------
    RecipeError
        Parts contradict each other.

    Examples
    --------
    >>> recipe = Recipe.from_yaml('''
    ... recipe: 1
    ... windows: {mode: trial, window_s: 1.9}
    ... targets: [direction]
    ... transforms: [normalise, {name: unit_dropout, max_units: 200}]
    ... masks: [{scheme: neuron}, {scheme: across, by: x_um, bins: 4}]
    ... ''')
    >>> recipe.masks.labels, recipe.transform(UnitDropout).max_units
    (('neuron', 'across:x_um/4'), 200)
    >>> Recipe.from_yaml(recipe.to_yaml()) == recipe
    True
    """

    windows: WindowsChoice = field(default_factory=WindowsChoice)
    sampling: SamplingChoice = field(default_factory=SamplingChoice)
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    transforms: tuple[TransformChoice, ...] = ()
    masks: MaskSpec | None = None
    views: TwoViews | None = None
    layout: Literal["dense", "tokens", "token-views", "jagged"] = "dense"
    name: str | None = None
    diet: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", _by_own_name(self.targets))
        if self.layout not in LAYOUTS:
            raise RecipeError(f"batches are laid out {', '.join(LAYOUTS)}: {nearest(str(self.layout), LAYOUTS)}")
        kinds = [one.name for one in self.transforms]
        for kind in ("normalise", "unit_dropout", "crop", "jitter"):
            if kinds.count(kind) > 1:
                raise RecipeError(f"transform {kind!r} stands there {kinds.count(kind)} times; keep one.")
        if self.views is None:
            return
        if self.windows != WindowsChoice():
            raise RecipeError("`views` bring their own windows (views.window_s); leave `windows` out.")
        for kind, instead in (("unit_dropout", "views.keep"), ("jitter", "views.max_gap_s"), ("crop", "window_s")):
            if kind in kinds:
                raise RecipeError(f"transform {kind!r} does not go with `views`, which have {instead}; leave it out.")

    def transform(self, kind: type[Any]) -> Any:
        """Give the transform of a class, else None: ``recipe.transform(UnitDropout)``."""
        return next((one for one in self.transforms if isinstance(one, kind)), None)

    @property
    def normalise(self) -> Literal["neuron", "recording", False]:
        """What `make_loader` takes: how values are normalised, False for not at all."""
        found: Normalise | None = self.transform(Normalise)
        return False if found is None else found.by

    @property
    def digest(self) -> str:
        """Sha256 of how data is shown: the same for every spelling, and whatever the recipe is called."""
        parts = {word: part for word, part in self._parts(whole=True).items() if word not in ("name", "diet")}
        return json_digest({"format": 2} | parts)

    def to_dict(self) -> dict[str, Any]:
        """Write the recipe as plain mappings and lists: what differs from the defaults."""
        return {"recipe": 1} | {word: part for word, part in self._parts(whole=False).items() if part not in ({}, [])}

    def to_yaml(self) -> str:
        """Write the recipe as YAML, which `from_yaml` reads back to an equal recipe."""
        return plain_text.write_yaml(self.to_dict(), RECIPE)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Recipe:
        """Read a recipe from what `to_dict` gives.

        Raises
        ------
        RecipeError
            With everything that is wrong.
        """
        from poyodata.documents.places import Places
        from poyodata.loaders.recipe_document import build

        return build(dict(value), Places(kind=RECIPE))

    @classmethod
    def from_yaml(cls, source: str | Path) -> Recipe:
        """Read a recipe from YAML text, or from a file: a ``Path``, or a text of one line that ends in .yaml or .yml.

        A document begins with ``recipe: 1`` and has the keys beside it; or it has ``recipe: {...}`` beside ``diet``.

        Raises
        ------
        RecipeError
            With line and path of everything that is wrong.
        UsageError
            No such file, or neither a text nor a path.
        """
        from poyodata.loaders.recipe_document import build

        if not isinstance(source, str | Path):
            raise UsageError(f"a recipe is read from a text or a path, got {type(source).__name__}.")
        if isinstance(source, str) and ("\n" in source or not source.strip().endswith((".yaml", ".yml"))):
            return build(*plain_text.read_yaml(source, kind=RECIPE))
        path = Path(source)
        return build(*plain_text.read_yaml(plain_text.read_file(path, RECIPE), str(path), RECIPE))

    def _parts(self, *, whole: bool) -> dict[str, Any]:
        masks: dict[str, Any] = {}
        if self.masks is not None:
            spec = self.masks
            ratios = [{"ratio": one.share} if whole else {} for one in spec.masks]
            masks["masks"] = [
                {"scheme": one.scheme} | options_of(one, whole) | ratio
                for one, ratio in zip(spec.masks, ratios, strict=True)
            ]
            masks["mask_draw"] = spec.draw_scheme
            masks["on_single_group"] = spec.on_single_group
        views: dict[str, Any] = {}
        if self.views is not None:
            gap = {"min_gap_s": plain(self.views.window_s)} if whole else {}
            views["views"] = gap | options_of(self.views, whole)
        texts = {"name": self.name, "diet": self.diet}
        return {
            **{word: text for word, text in texts.items() if text is not None},
            "windows": _whole_windows(self.windows) if whole else options_of(self.windows),
            "sampling": options_of(self.sampling, whole),
            "targets": _whole_targets(self.targets) if whole else _short_targets(self.targets),
            "transforms": [{"name": one.name} | options_of(one, whole) for one in self.transforms],
            **masks,
            **views,
            "layout": self.layout,
        }


def _by_own_name(targets: Any) -> dict[str, dict[str, Any]]:
    """Targets by the name that they have in a batch; ``target`` says the kind where that is another."""
    if not isinstance(targets, Mapping):
        raise RecipeError(f"`targets` map names to options, got {targets!r}; give {{'direction': {{}}}}.")
    named: dict[str, dict[str, Any]] = {}
    for key, options in targets.items():
        if not isinstance(options, Mapping):
            raise RecipeError(f"options of target {key!r} are a mapping, got {options!r}; give {{}} for none.")
        rest = dict(options)
        name, kind = rest.pop("name", None) or key, rest.pop("target", key)
        if not isinstance(name, str) or not isinstance(kind, str):
            raise RecipeError(f"names of targets are texts, got {name!r} of kind {kind!r}.")
        if name in named:
            raise RecipeError(f"two targets are named {name!r}; give one of them another `name`.")
        named[name] = ({} if kind == name else {"target": kind}) | rest
    return named


def _short_targets(targets: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    return [{"name": name} | plain(options) if options else name for name, options in targets.items()]


def _whole_targets(targets: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Targets with all options that their kinds have, whatever was left to a default, in the order of their names."""
    from poyodata.loaders.targets.target import defaults_of

    whole = []
    for name in sorted(targets):
        kind = str(targets[name].get("target", name))
        given = {**defaults_of(kind), **targets[name], "name": name, "target": kind}
        # A vocabulary is known by its digest.
        whole.append(plain({word: getattr(one, "digest", one) for word, one in given.items() if one is not None}))
    return whole


def _whole_windows(choice: WindowsChoice) -> dict[str, Any]:
    """Windows with all options; a length and a hop that are what they would be without saying so are not said."""
    whole = options_of(choice, whole=True)
    if choice.hop_s == choice.window_s:
        whole.pop("hop_s", None)
    if choice.mode == "frames" and choice.n_frames == 1:
        whole.pop("n_frames")
    return whole


def options_of(value: Any, whole: bool = False) -> dict[str, Any]:
    """Fields of a frozen dataclass as plain values: all of them, or those that differ from the defaults."""
    options: dict[str, Any] = {}
    for one in fields(value):
        mine = getattr(value, one.name)
        if mine is None or (not whole and one.default is not MISSING and mine == one.default):
            continue
        options[one.name] = plain(mine)
    return options


def plain(value: Any) -> Any:
    """Tuples as lists, and whole numbers without a point, so that 2 and 2.0 have one digest."""
    if isinstance(value, Mapping):
        return {str(word): plain(one) for word, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


__all__ = ["LAYOUTS", "TRANSFORMS", "Mask", "Recipe", "SamplingChoice", "TransformChoice", "WindowsChoice"]
