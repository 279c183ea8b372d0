"""`Ancestry`: the stages that a model went through, each with its manifest, so that a test can be held against all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from poyodata.curation.leaks.check import check_leaks
from poyodata.curation.leaks.fitted import TRAIN_ROLES, Fitted, fitted_on
from poyodata.curation.leaks.report import LeakReport
from poyodata.curation.manifest import Manifest
from poyodata.digests import canonical_json, json_digest
from poyodata.errors import ModelError, UsageError
from poyodata.models.recipes.library import from_text
from poyodata.models.recipes.recipe import TrainingRecipe

FOLDER = "stages"
"""Folder of a run that holds a folder for every stage, oldest first."""
UNFINISHED = f"{FOLDER}.unfinished"
"""What it is called until all of it is written."""
LOGGERS = "loggers.txt"
"""File in it that says who is told of the run."""
PROCESSES = "processes.txt"
"""File in it that says on how many devices of how many machines the run was planned."""


@dataclass(frozen=True, eq=False)
class Ancestor:
    """One stage of training: what was eaten, how, and why it went on if something leaked.

    Attributes
    ----------
    stage : {"pretrain", "finetune"}
    manifest : Manifest
    recipe : TrainingRecipe
    store : str
        Where the store lay.
    allow_leakage : str or None
        The reason given when this stage was started; it stands in every result that follows.
    from_run : str or None
        Folder of the run that it began with.
    """

    stage: Literal["pretrain", "finetune"]
    manifest: Manifest
    recipe: TrainingRecipe
    store: str
    allow_leakage: str | None = None
    from_run: str | None = None

    @property
    def uses_labels(self) -> bool:
        """Whether labels had any part in the loss."""
        return not (self.recipe.train.objective == "masked" and self.recipe.train.aux_weight == 0)

    def facts(self, before: str | None) -> dict[str, Any]:
        """What stands in a run's lineage: digests, chained by that of the stage before it."""
        own = {
            "stage": self.stage,
            "manifest": self.manifest.name,
            "manifest_digest": self.manifest.digest,
            "store_digest": self.manifest.store_digest,
            "split_digest": self.manifest.split_digest,
            "recipe": self.recipe.name,
            "recipe_digest": self.recipe.digest,
            "allow_leakage": self.allow_leakage,
            "before": before,
        }
        return {**own, "digest": json_digest(own)}


@dataclass(frozen=True, eq=False)
class Ancestry:
    """The stages of a model, first stage first.

    Attributes
    ----------
    stages : tuple of Ancestor
    """

    stages: tuple[Ancestor, ...] = ()

    def then(self, stage: Ancestor) -> Ancestry:
        """Give the ancestry with one more stage."""
        return replace(self, stages=(*self.stages, stage))

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What stands in a run's lineage, one entry a stage; the last digest covers all of them."""
        entries: list[dict[str, Any]] = []
        for stage in self.stages:
            entries.append(stage.facts(entries[-1]["digest"] if entries else None))
        return entries

    @property
    def digest(self) -> str:
        """Digest of the last stage, which covers those before it."""
        return str(self.facts[-1]["digest"])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason that was given for going on although something leaked, in the order of stages."""
        return tuple(dict.fromkeys(one.allow_leakage for one in self.stages if one.allow_leakage))

    def names(self) -> list[str]:
        """Name every stage for reports: ``pretrain``, ``finetune``, ``finetune 2``."""
        names: list[str] = []
        for one in self.stages:
            times = sum(name.split(" ")[0] == one.stage for name in names)
            names.append(one.stage if not times else f"{one.stage} {times + 1}")
        return names

    def check(
        self, tested: Manifest | None = None, *, role: str = "test", allow_leakage: str | None = None
    ) -> LeakReport | None:
        """Hold every window tested on against everything that any stage has seen or fitted.

        A leak for which an earlier stage gave a reason stays in the report under that reason; any other needs one now.

        Parameters
        ----------
        tested : Manifest, optional
            What is tested on after all stages, where that is not the last stage's own manifest; the stages' own test
            windows count in any case.
        role : str
            Role that is tested on.
        allow_leakage : str, optional
            A reason to go on all the same.

        Returns
        -------
        LeakReport or None
            None where no manifest has windows of `role`: then there is nothing that could leak.

        Raises
        ------
        LeakError
            Naming every leak, unless a reason is given.
        """
        further = () if tested is None or tested.digest == self.stages[-1].manifest.digest else ((role, tested),)
        reasons = [*self.reasons, *([allow_leakage] if allow_leakage is not None else [])]
        if not reasons:
            return self._report(role, further, None)
        report = self._report(role, further, "; ".join(dict.fromkeys(reasons)))
        if report is not None and allow_leakage is None and not self._covered(role, report):
            self._report(role, further, None)
        return report

    def _covered(self, role: str, report: LeakReport) -> bool:
        """Whether every leak is one for which a reason was given when it arose."""
        known: set[tuple[str, str, int]] = set()
        for number, one in enumerate(self.stages):
            if one.allow_leakage:
                then = Ancestry(self.stages[: number + 1])._report(role, (), one.allow_leakage)
                known |= set() if then is None else {(leak.check, leak.stages, leak.found) for leak in then.leaks}
        return {(leak.check, leak.stages, leak.found) for leak in report.leaks} <= known

    def _report(
        self, role: str, further: Sequence[tuple[str, Manifest]], allow_leakage: str | None
    ) -> LeakReport | None:
        names = self.names()
        lineage = [*((name, one.manifest) for name, one in zip(names, self.stages, strict=True)), *further]
        if not any((manifest.windows["role"] == role).any() for _, manifest in lineage):
            return None
        free = [name for name, one in zip(names, self.stages, strict=True) if not one.uses_labels]
        fitted = list(_normalisations(names, self.stages))
        return check_leaks(lineage, fitted=fitted, test_role=role, allow_leakage=allow_leakage, label_free=free)

    def save(self, run: Path, loggers: Sequence[str] = (), processes: tuple[int, int] = (1, 1)) -> None:
        """Write every stage into a folder of a run, all or nothing: its manifest, its recipe, its entry of the lineage.

        Parameters
        ----------
        run : Path
        loggers : sequence of str
            Who is told of the run.
        processes : tuple of int
            Devices on each machine, and machines.

        Raises
        ------
        ModelError
            The folder cannot be written to.
        """
        try:
            self._save(run, loggers, processes)
        except OSError as error:
            raise ModelError(
                f"cannot write {run / FOLDER} ({error.strerror or error}); make room, then begin again with the same "
                "folder, or choose another."
            ) from error

    def _save(self, run: Path, loggers: Sequence[str], processes: tuple[int, int]) -> None:
        unfinished = run / UNFINISHED
        if unfinished.exists():
            shutil.rmtree(unfinished)  # of a process that was killed while it wrote
        for number, (one, facts) in enumerate(zip(self.stages, self.facts, strict=True)):
            folder = unfinished / f"{number}-{one.stage}"
            one.manifest.save(folder / "manifest")
            (folder / "recipe.yaml").write_text(one.recipe.to_yaml(), encoding="utf-8")
            (folder / "stage.json").write_text(
                canonical_json({**facts, "store": one.store, "from_run": one.from_run}) + "\n", encoding="utf-8"
            )
        (unfinished / LOGGERS).write_text(" ".join(loggers) + "\n", encoding="utf-8")
        (unfinished / PROCESSES).write_text(" ".join(map(str, processes)) + "\n", encoding="utf-8")
        # A run without its last stage would go on as the run before it: the folder appears whole or not at all.
        unfinished.rename(run / FOLDER)

    @classmethod
    def load(cls, run: Path) -> Ancestry:
        """Read what `save` wrote, and verify the chain of digests.

        Raises
        ------
        UsageError
            The folder holds no run.
        ModelError
            A stage was changed or taken away.
        """
        # Not what else lies there: macOS puts ``._0-finetune`` beside what it copies.
        numbered = [path for path in (run / FOLDER).glob("*-*") if path.name.split("-")[0].isdecimal()]
        folders = sorted(numbered, key=lambda path: int(path.name.split("-")[0]))
        if not folders and (run / UNFINISHED).exists():
            raise UsageError(
                f"the run in {str(run)!r} was stopped before it began, and there is nothing to go on with; begin it "
                "again with the same folder."
            )
        if not folders:
            raise UsageError(f"{str(run)!r} holds no run; give the folder that `poyodata train` wrote (--out).")
        made = cls()
        recorded: list[dict[str, Any]] = []
        for folder in folders:
            try:
                facts = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
                if not isinstance(facts, dict) or not isinstance(facts.get("from_run"), str | None):
                    raise ValueError("stage.json is not as it was written")
                recipe = from_text((folder / "recipe.yaml").read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ModelError(f"{folder} is damaged ({error}); copy the run again, or train again.") from None
            manifest = Manifest.load(folder / "manifest")
            store, from_run = str(facts.pop("store", "")), facts.pop("from_run", None)
            made = made.then(Ancestor(recipe.stage, manifest, recipe, store, facts.get("allow_leakage"), from_run))
            recorded.append(facts)
        if recorded != made.facts:
            raise ModelError(
                f"{run / FOLDER} was changed after it was written: its lineage differs; copy it again, or train again."
            )
        return made


def _normalisations(names: Iterable[str], stages: Sequence[Ancestor]) -> Iterable[Fitted]:
    """Say what the normalisation of every stage looked at: its train-role windows."""
    for name, one in zip(names, stages, strict=True):
        if one.recipe.loader.normalise:
            yield fitted_on(one.manifest, name, "normalisation", roles=TRAIN_ROLES)
