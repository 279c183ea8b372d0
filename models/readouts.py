"""Readouts: from what a query found among the latents to classes, values or a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from poyodata.digests import hash_order
from poyodata.models.config import PoyoConfig
from poyodata.models.legacy import LEGACY_READOUTS
from poyodata.models.tasks import Task
from poyodata.models.unet import UNetDecoder, make_decoder


class Readouts(nn.Module):
    """One head a task: linear for classes and values, an image decoder for pictures.

    Initial weights of a head depend on its task and the seed alone, not on the other tasks.

    Parameters
    ----------
    config : PoyoConfig
        Width, image decoder, layout.
    tasks : sequence of Task
        What is answered.
    seed : int
        Seed of the initial weights.

    Examples
    --------
    >>> config = PoyoConfig(dim=8, tasks=("direction", "running"))
    >>> readouts = Readouts(config, config.make_tasks(), seed=0)
    >>> readouts("direction", torch.zeros(2, 8)).shape, readouts("running", torch.zeros(2, 5, 8)).shape
    (torch.Size([2, 8]), torch.Size([2, 5, 1]))
    """

    def __init__(self, config: PoyoConfig, tasks: Sequence[Task], seed: int) -> None:
        super().__init__()
        self.images = frozenset(task.name for task in tasks if task.kind == "image")
        n_outputs = {task.name: task.n_outputs for task in tasks}
        if config.layout == "legacy" and not self.images:
            n_outputs = {name: readout.n_outputs for name, readout in LEGACY_READOUTS.items()}
        self.heads = nn.ModuleDict()
        for name, count in n_outputs.items():
            own = int(hash_order([f"readout/{name}"], seed)[0])
            if name in self.images:
                level = config.layout != "legacy"
                self.heads[name] = make_decoder(config.image, config.dim, config.image_size, level=level, seed=own)
                continue
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(own)
                self.heads[name] = nn.Linear(config.dim, count)

    def forward(self, name: str, answer: Tensor) -> Tensor:
        """Read a task's answer.

        Parameters
        ----------
        name : str
            Of the task.
        answer : Tensor, shape (batch, dim) or (batch, time, dim)
            What its query found.

        Returns
        -------
        Tensor, shape (batch, n_outputs) or (batch, time, n_outputs)
            Logits or values; of a picture (batch, height, width) or (batch, time, height, width), 0 to 1.
        """
        head = self.heads[name]
        if name in self.images and answer.ndim == 3:
            return torch.unflatten(head(answer.flatten(0, 1)), 0, answer.shape[:2])
        return head(answer)  # type: ignore[no-any-return]

    def freeze_statistics(self) -> None:
        """Keep the running averages of image decoders as they are, also in training."""
        for head in self.heads.values():
            if isinstance(head, UNetDecoder):
                head.freeze_statistics()

    def take(self, state: Mapping[str, Tensor]) -> tuple[str, ...]:
        """Copy the heads that `state` has in the same shape; names of those that it has."""
        taken = []
        for name, head in self.heads.items():
            prefix = f"heads.{name}."
            theirs = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            mine = head.state_dict()
            if {key: value.shape for key, value in mine.items()} == {k: v.shape for k, v in theirs.items()}:
                head.load_state_dict(theirs)
                taken.append(name)
        return tuple(taken)
