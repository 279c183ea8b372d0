"""A Lightning `DataModule` of one manifest: loaders for training, validation, test and prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from poyodata.curation.manifest import Manifest
from poyodata.errors import LoaderError, nearest
from poyodata.loaders.arguments import By, way_of
from poyodata.loaders.loader import Loader
from poyodata.loaders.make import make_loader
from poyodata.loaders.torch.dataset import as_data_loader
from poyodata.loaders.transforms import Normalisation
from poyodata.store import Store

if TYPE_CHECKING:
    import lightning

STAGES: Mapping[str, str] = {"train": "train", "valid": "valid", "test": "test", "predict": "test"}
"""Role that each stage reads, unless its options say another."""

_OF_STAGES: Mapping[str, tuple[str, ...]] = {
    "fit": ("train", "valid"),
    "validate": ("valid",),
    "test": ("test",),
    "predict": ("predict",),
}


class StageLoader:
    """What a Trainer iterates: batches of a loader, its epoch and its state; nothing for Lightning to replace.

    Parameters
    ----------
    batches : Loader or WindowDataLoader
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    @property
    def batch_sampler(self) -> Any:
        """Where a Trainer looks for ``sampler.set_epoch``; an own ``sampler`` it would want to replace."""
        return SimpleNamespace(sampler=self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.batches)

    def state_dict(self) -> dict[str, Any]:
        """Where it is; saved in Lightning's checkpoints."""
        state: dict[str, Any] = self.batches.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on in the middle of an epoch."""
        self.batches.load_state_dict(state)


def make_data_module(
    store: Store,
    manifest: Manifest,
    *,
    num_workers: int = 0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **arguments: Any,
) -> lightning.LightningDataModule:
    """Make a ``LightningDataModule``; everything that can be wrong is told when a Trainer sets it up.

    The Trainer's ranks share every epoch, and its checkpoints hold where the training loader is: a run that goes on
    from one reads not one window twice and loses none.

    Parameters
    ----------
    store : Store
    manifest : Manifest
    num_workers : int
        0 reads in the process of the Trainer, which is fastest; else that many spawned workers.
    options : mapping of stage to mapping
        Arguments of `make_loader` for ``train``, ``valid``, ``test`` or ``predict`` alone:
        ``{"valid": {"batch_size": 64}, "predict": {"split": "valid"}}``. Those of ``test`` count for
        ``predict`` too.
    **arguments
        Of `make_loader`, for all stages: ``recipe``, ``window_s``, ``batch_size``, ``seed`` ...; ``jitter_frames`` and
        ``shuffle`` count for ``train`` alone.

    Returns
    -------
    lightning.LightningDataModule
        With ``loader(stage)`` for the loader itself.

    Raises
    ------
    LoaderError
        Lightning is not installed, or there is no such stage.
    """
    try:
        import lightning
    except ImportError as error:
        raise LoaderError("lightning is not installed; `pip install poyodata[train]`.") from error
    given = {name: dict(mine) for name, mine in (options or {}).items()}
    for name in given:
        if name not in STAGES:
            raise LoaderError(f"there is no stage {name!r}: {nearest(name, STAGES)}")
    for name in ("rank", "world", "split"):
        if name in arguments:
            raise LoaderError(f"{name!r} is decided by the stage and the Trainer; leave it out.")

    class DietDataModule(lightning.LightningDataModule):
        """Loaders of one manifest; made by `make_data_module`."""

        def __init__(self) -> None:
            super().__init__()
            self.store = store
            self.manifest = manifest
            self._loaders: dict[str, Loader] = {}
            self._fitted: dict[By, Normalisation] = {}

        def setup(self, stage: str | None = None) -> None:
            """Make the loaders of a stage (``fit``, ``validate``, ``test`` or ``predict``; None for all)."""
            names = STAGES if stage is None else _OF_STAGES[str(getattr(stage, "value", stage))]
            for name in names:
                # A diet without validation time is trained without.
                if name != "valid" or "valid" in manifest.roles or stage == "validate":
                    self.loader(name)

        def loader(self, stage: str) -> Loader:
            """Give the loader of ``train``, ``valid``, ``test`` or ``predict``, made when it is first asked for."""
            if stage not in self._loaders:
                self._loaders[stage] = self._make(stage)
            return self._loaders[stage]

        def train_dataloader(self) -> Any:
            """Batches to learn from."""
            return self._batches("train")

        def val_dataloader(self) -> Any:
            """Batches to validate on; none where the diet has no such time."""
            return self._batches("valid") if "valid" in manifest.roles else []

        def test_dataloader(self) -> Any:
            """Batches to test on."""
            return self._batches("test")

        def predict_dataloader(self) -> Any:
            """Batches to predict."""
            return self._batches("predict")

        def _batches(self, stage: str) -> StageLoader:
            loader = self.loader(stage)
            return StageLoader(as_data_loader(loader, num_workers) if num_workers else loader)

        def _make(self, stage: str) -> Loader:
            common = dict(arguments)
            if stage != "train":
                common.pop("jitter_frames", None)
                common.pop("shuffle", None)
            own = {**given.get("test" if stage == "predict" else stage, {}), **given.get(stage, {})}
            split = own.pop("split", STAGES[stage])
            asked = {**common, **own}
            normalise, recipe = asked.get("normalise"), asked.get("recipe")
            by = None if isinstance(normalise, Normalisation) else way_of(normalise)
            if recipe is not None and by is not None:
                by = recipe.normalise or None
            if by in self._fitted:
                # Fitted once for each way that is asked for: it is of the train role, whatever the stage.
                asked["normalise"] = self._fitted[by]
            trainer = self.trainer
            rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
            made = make_loader(store, manifest, split, rank=rank, world=world, **asked)
            if by is not None:
                self._fitted[by] = made.normalisation
            return made

    return DietDataModule()
