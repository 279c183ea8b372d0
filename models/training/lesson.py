"""A step of training, as Lightning is told to do it; what is written after a step; and when training ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

from poyodata.models.batches import Cycle
from poyodata.models.checkpoint import TrainingState, save_checkpoint
from poyodata.models.collapse import CollapseMonitor
from poyodata.models.masking import drop_neurons
from poyodata.models.objectives import latent_terms
from poyodata.models.poyo import PoyoPlus
from poyodata.models.teacher import Teacher
from poyodata.models.training.bar import AdvanceBar
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.draws import step_draws
from poyodata.models.training.folder import RunFolder
from poyodata.models.training.history import History
from poyodata.models.training.objective import Objective
from poyodata.models.training.optimizers import learning_rate, optimizer_of, set_rate
from poyodata.models.training.ranks import gathered, on_first
from poyodata.models.training.rows import Row, Rows
from poyodata.models.training.signals import StopSignals
from poyodata.models.training.state import load_optimizer, load_teacher, optimizer_tensors, teacher_tensors
from poyodata.models.training.validation import Validation

_log = logging.getLogger(__name__)


@dataclass
class Course:
    """What a run consists of, and how far it is.

    Attributes
    ----------
    config : TrainConfig
    objective : Objective
    cycle : Cycle
        The batches; its state is saved.
    history, rows : History, Rows
        Of steps, and of validations.
    validation : Validation
    stop : StopSignals
    facts : mapping
        What every checkpoint says.
    folder : RunFolder or None
    started : callable
        Called once the run is ready for its first step, in the first process alone.
    advance : callable
        Of a progress bar.
    resumed : TrainingState or None
        Where the run goes on.
    step, windows : int
        Steps taken and windows seen, those of earlier processes included.
    seconds : float
        Of earlier processes.
    saved : int or None
        Step of the last checkpoint.
    stopped : bool
        Whether the validation ended the run.
    collapse : CollapseMonitor
        Follows the spread of latents, where the objective measures it.
    warnings : list of str
        What the run must be read with.
    """

    config: TrainConfig
    objective: Objective
    cycle: Cycle
    history: History
    rows: Rows
    validation: Validation
    stop: StopSignals
    facts: Mapping[str, Any]
    folder: RunFolder | None = None
    started: Callable[[], None] = lambda: None
    advance: AdvanceBar = lambda _steps, _windows: None
    resumed: TrainingState | None = None
    step: int = 0
    windows: int = 0
    seconds: float = 0.0
    saved: int | None = None
    stopped: bool = False
    collapse: CollapseMonitor = field(default_factory=CollapseMonitor)
    warnings: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @property
    def elapsed(self) -> float:
        """Seconds of training, those of earlier processes included."""
        return self.seconds + time.perf_counter() - self.began

    @property
    def owes_validation(self) -> bool:
        """Whether the last step was to be validated and was not: its checkpoint is saved before."""
        rows = self.rows.rows
        return self.step > 0 and self.validation.due(self.step) and (not rows or rows[-1]["step"] != self.step)

    def watch(self, rows: Sequence[Row]) -> list[str]:
        """Look at rows of steps; what there is to warn of, which is noted too."""
        seen = [self.collapse.see(int(row["step"]), row["latent_spread"]) for row in rows if "latent_spread" in row]
        said = [sentence for sentence in seen if sentence is not None and not self.warnings]
        self.warnings += said[:1]
        return said[:1]


class Lesson(lightning.LightningModule):
    """One optimiser step at a time, each with random draws of its own."""

    def __init__(self, model: PoyoPlus, course: Course) -> None:
        super().__init__()
        self.model, self.course, self.config = model, course, course.config
        self.objective: Objective = torch.compile(course.objective) if self.config.compile else course.objective
        self.teacher: Teacher | None = None
        self.first = course.step
        self._parts: list[dict[str, Tensor]] = []
        self._part_windows = 0
        self._norm: Tensor | None = None
        self._block_norms: dict[str, Tensor] = {}
        self._told = (course.windows, time.perf_counter())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give Lightning the optimiser."""
        return optimizer_of(self.model, self.config)

    def on_train_start(self) -> None:
        """Go on where a checkpoint was taken, or save where the run begins."""
        course = self.course
        # Not before: the model is now where it is trained, and so is the copy.
        if self.config.objective == "masked" and self.config.target == "average":
            self.teacher = Teacher(self.model, self.config.teacher_rate)
        if course.resumed is not None:
            load_optimizer(self._optimizer(), course.resumed.tensors)
            if self.teacher is not None:
                load_teacher(self.teacher, course.resumed.tensors)
        course.stop.install()
        course.began = time.perf_counter()
        if course.folder is not None:
            if course.resumed is None:
                self.save()
            on_first(course.started)
        if course.owes_validation:
            self._validate_and_end()

    def on_fit_end(self) -> None:
        """Validate where that is all that is left: then no step is taken, and training does not start."""
        if self.course.owes_validation:
            self._validate()

    # -- a step --------------------------------------------------------------------------------------------------

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch."""
        draws = step_draws(
            self.config.seed,
            self.course.step,
            self.device,
            part=batch_idx % self.config.accumulate,
            rank=self.global_rank,
        )
        with draws as rng:
            shown = drop_neurons(batch, self.config.unit_dropout, rng)
            teacher = None if self.teacher is None else self.teacher.model
            loss = self.objective(self.model, shown, rng=rng, teacher=teacher)
        terms = loss.terms
        if self.config.objective == "masked" and teacher is None and self._logged(self.course.step + 1):
            # A forward pass without dropout, at readings alone; a teacher has none, and measures itself at every step.
            terms = {**terms, **latent_terms(self.model, shown)}
        self._parts.append({"loss": loss.total.detach(), **terms})
        self._part_windows += len(batch["values"])
        return loss.total

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the rate, measure the gradient and clip it."""
        set_rate(optimizer, self.course.step, self.config)
        params = [p for p in self.model.parameters() if p.grad is not None]
        if self.loggers and self._logged(self.course.step + 1):
            self._block_norms = block_norms(self.model)
        self._norm = torch.nn.utils.clip_grad_norm_(params, self.config.clip)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Note what a step did, and do what is due after it."""
        course = self.course
        if self.first + self.global_step == course.step:
            return  # more batches belong to this step
        if self.teacher is not None:
            self.teacher.follow(self.model)
        known: Row = {
            "step": course.step + 1,
            "lr": self.config.lr * learning_rate(course.step, self.config),
            "windows": self._part_windows,
        }
        norm = {} if self._norm is None else {"gradient_norm": self._norm}
        course.history.add(known, [{**part, **norm} for part in self._parts])
        course.step += 1
        course.advance(1, self._part_windows * self.trainer.world_size)
        self._parts, self._part_windows = [], 0
        self._after_step()

    # -- after a step --------------------------------------------------------------------------------------------

    def _logged(self, step: int) -> bool:
        return step % self.config.log_every == 0 or step == self.config.steps

    def _after_step(self) -> None:
        course, step = self.course, self.course.step
        alone = self.trainer.world_size == 1
        last = step == self.config.steps
        validated = course.validation.due(step)
        saved = course.folder is not None and (step % self.config.checkpoint_every == 0 or last)
        stop = alone and course.stop.received is not None
        if not (self._logged(step) or validated or saved or stop):
            return
        rows = course.history.read()
        course.windows += sum(int(row["windows"]) for row in rows)
        for sentence in course.watch(rows):
            on_first(partial(_log.warning, sentence))
        if not alone:
            # A signal reaches processes at different steps; they agree where they meet anyway.
            course.stop.received = next((one for one in gathered(course.stop.received) if one is not None), None)
            stop = course.stop.received is not None
        if self._logged(step):
            self._tell(rows[-1])
        if saved or (stop and course.folder is not None):
            self.save()  # before the validation: should that fail, no step is lost
        if validated:
            self._validate_and_end()
        if stop:
            self.trainer.should_stop = True

    def _tell(self, row: Row) -> None:
        """Tell the loggers of a step: its row, gradients by block, and speed."""
        windows, when = self._told
        now = time.perf_counter()
        self._told = (self.course.windows, now)
        if not self.loggers:
            return
        blocks, self._block_norms = self._block_norms, {}
        norms = torch.stack(list(blocks.values())).tolist() if blocks else []
        told = {f"train/{name}": value for name, value in row.items() if name != "step"}
        told |= {f"gradient/{name}": norm for name, norm in zip(blocks, norms, strict=True)}
        told["speed/samples_per_second"] = (self.course.windows - windows) / max(now - when, 1e-9)
        for logger in self.loggers:
            logger.log_metrics(told, step=int(row["step"]))

    def _validate(self) -> None:
        course = self.course
        with step_draws(self.config.seed, course.step, self.device, part=1, rank=self.global_rank):
            found = course.validation.run(self.model)
        better = course.validation.judge(course.step, found)
        course.rows.append([{"step": course.step, **found}])
        for logger in self.loggers:
            logger.log_metrics({f"valid/{name}": value for name, value in found.items()}, step=course.step)
        if better and course.folder is not None:
            best, facts = course.folder.best, {**course.facts, "steps": course.step, "best": course.validation.best}
            on_first(partial(save_checkpoint, self.model, best, facts))
        course.stopped = course.validation.exhausted

    def _validate_and_end(self) -> None:
        """Validate, and end the run where that says so, or where it was the last step; the end is saved, too."""
        course = self.course
        self._validate()
        if course.folder is not None and (course.stopped or course.step == self.config.steps):
            self.save()
        if course.stopped:
            self.trainer.should_stop = True

    def save(self) -> None:
        """Write the last checkpoint; the tables that it is of are on the disk first."""
        course = self.course
        if course.folder is None:
            return
        last = course.folder.last
        for table in (course.history.rows, course.rows):
            table.sync()
        progress = {
            "step": course.step,
            "windows": course.windows,
            "seconds": round(course.elapsed, 3),
            "stopped": course.stopped,
            "batches": course.cycle.state_dict(),
            "metrics": course.history.rows.state(),
            "validations": course.rows.state(),
            "validation": course.validation.state(),
        }
        tensors = {**optimizer_tensors(self._optimizer()), **teacher_tensors(self.teacher)}
        facts = {**course.facts, "steps": course.step, "windows": course.windows}
        on_first(partial(save_checkpoint, self.model, last, facts, TrainingState(tensors, progress)))
        course.saved = course.step

    def _optimizer(self) -> torch.optim.Optimizer:
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        return optimizer  # type: ignore[no-any-return]


def block_norms(model: PoyoPlus) -> dict[str, Tensor]:
    """Norm of the gradient of every block of a model: parameters of the same module, by its name.

    Examples
    --------
    >>> from torch import nn
    >>> layers = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    >>> layers(torch.ones(1, 1)).sum().backward()
    >>> list(block_norms(layers))
    ['0', '1']
    """
    blocks: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            # perceiver.layers.3.attention.to_qkv.weight belongs to perceiver.layers.3; units to units.
            block = ".".join(name.split(".")[:-1][:3]) or name
            blocks.setdefault(block, []).append(parameter.grad)
    return {
        name: torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        for name, gradients in blocks.items()
    }
