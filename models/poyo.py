"""POYO+ for calcium imaging: from the traces of any neurons of any recordings to what the animal saw.

1. Every neuron's window is cut into patches; a patch and the neuron's own embedding make one token.
2. Latents, laid over the real window in time steps, read the tokens (cross-attention with rotary time).
3. The latents attend to one another, layer after layer.
4. A query (task and session embedding) at the window's middle reads the latents; a linear readout gives the answer.

Neurons and recordings are known by name: embeddings grow with :meth:`PoyoPlus.extend_vocabulary` and travel in the
state dict together with their names. Losses live elsewhere: the model only predicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from poyodata.digests import hash_order
from poyodata.errors import ModelError, nearest
from poyodata.models.config import PoyoConfig
from poyodata.models.perceiver import Perceiver, Rotation, rotation

Batch = Mapping[str, Tensor]


class PoyoPlus(nn.Module):
    """POYO+ encoder for calcium traces with a readout of grating direction.

    Parameters
    ----------
    config : PoyoConfig
        Shape of the model.
    neuron_ids, session_ids : sequence of str
        Names of the neurons and recordings that have embeddings from the start; row ``1 + i`` belongs to
        ``neuron_ids[i]`` (row 0 is padding), row ``i`` to ``session_ids[i]``.
    seed : int
        Seed of the initial weights; the global random state is neither read nor changed. A name's initial row depends
        on the name and the seed alone, so that extending a model or building it whole gives the same rows.

    Raises
    ------
    ModelError
        If names repeat, or there is no recording.

    Examples
    --------
    >>> config = PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0)
    >>> model = PoyoPlus(config, ["a:0", "a:1"], ["a"]).eval()
    >>> batch = {
    ...     "values": torch.zeros(3, 2, 60), "neuron_index": torch.tensor([[1, 2]] * 3),
    ...     "neuron_mask": torch.ones(3, 2, dtype=torch.bool), "session_index": torch.zeros(3, dtype=torch.int64),
    ... }
    >>> model(batch).shape
    torch.Size([3, 8])
    """

    def __init__(
        self, config: PoyoConfig, neuron_ids: Sequence[str], session_ids: Sequence[str], *, seed: int = 0
    ) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.neuron_ids = _unique(neuron_ids, "neuron")
        self.session_ids = _unique(session_ids, "session")
        if not self.session_ids:
            raise ModelError("a model needs the name of at least one recording; pass the loader's session_ids")
        dim = config.dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.perceiver = Perceiver(
                dim=dim,
                context_dim=config.context_dim,
                dim_head=config.dim_head,
                depth=config.depth,
                cross_heads=config.cross_heads,
                self_heads=config.self_heads,
                ffn_mult=config.ffn_mult,
                ffn_dropout=config.ffn_dropout,
                residual_dropout=config.residual_dropout,
                attention_dropout=config.attention_dropout,
            )
            self.project = nn.Linear(config.patch_frames, dim, bias=False)
            self.latents = nn.Parameter(torch.randn(config.latents_per_step, dim) * config.init_std)
            self.task = nn.Parameter(torch.randn(dim) * config.init_std)
            self.mask_token = nn.Parameter(torch.randn(dim) * config.init_std)
            self.readout = nn.Linear(dim, config.n_directions)
        padding = torch.zeros(1, dim)
        self.units = nn.Parameter(torch.cat((padding, self._rows(self.neuron_ids, "neuron", config.unit_init_std))))
        self.sessions = nn.Parameter(self._rows(self.session_ids, "session", config.init_std))

        patch_s = config.patch_frames / config.rate_hz
        # Angles follow from the config alone, so they are not part of a checkpoint.
        self._register_angles("patch", (torch.arange(config.n_patches) + 0.5) * patch_s)
        self._register_angles("latent", self.latent_times_s)
        self._register_angles("query", torch.tensor([config.window_s / 2]))

    def _register_angles(self, name: str, times_s: Tensor) -> None:
        angles = rotation(times_s, self.config.dim_head, self.config.t_min_s, self.config.t_max_s)
        self.register_buffer(f"{name}_cos", angles.cos, persistent=False)
        self.register_buffer(f"{name}_sin", angles.sin, persistent=False)

    def _angles(self, name: str) -> Rotation:
        return Rotation(self.get_buffer(f"{name}_cos"), self.get_buffer(f"{name}_sin"))

    @property
    def latent_times_s(self) -> Tensor:
        """Moments of the latents in seconds from the window's start, shape (n_latents,), time step by time step."""
        steps = (torch.arange(self.config.n_steps, dtype=torch.float64) + 0.5) * self.config.latent_step_s
        return steps.repeat_interleave(self.config.latents_per_step)

    # -- prediction ----------------------------------------------------------------------------------------------

    def encode(self, batch: Batch) -> Tensor:
        """Latents that have read the batch's windows.

        Parameters
        ----------
        batch : mapping
            ``values`` float32 (batch, neuron, time), ``neuron_index`` int64 (batch, neuron), ``neuron_mask`` bool
            (batch, neuron).

        Returns
        -------
        Tensor, shape (batch, n_latents, dim)

        Raises
        ------
        ModelError
            If the windows have another length than the config says, or the batch lacks a field.
        """
        values, index, mask = (_field(batch, name) for name in ("values", "neuron_index", "neuron_mask"))
        if values.ndim != 3 or values.shape[2] != self.config.window_frames:
            raise ModelError(
                f"values have shape {tuple(values.shape)}, expected (batch, neuron, {self.config.window_frames}); "
                "make the loader's windows as long as the model's window_frames"
            )
        tokens = self._tokens(values, index)
        latents = self.latents.repeat(self.config.n_steps, 1).expand(len(values), -1, -1)
        return self.perceiver.encode(latents, tokens, self._angles("latent"), self._angles("patch"), mask)

    def _tokens(self, values: Tensor, index: Tensor) -> Tensor:
        """Tokens of shape (batch, patch, neuron, context_dim)."""
        used = self.config.n_patches * self.config.patch_frames
        patches = torch.unflatten(values[..., :used], -1, (self.config.n_patches, self.config.patch_frames))
        value = self.project(patches.transpose(1, 2))
        unit = nn.functional.embedding(index, self.units, padding_idx=0)[:, None]
        if self.config.tokens == "paper":
            return torch.cat((unit.expand_as(value), value), dim=-1)
        return torch.addcmul(unit, unit, value)

    def process(self, z: Tensor) -> Tensor:
        """Latents after the processor; shapes (batch, n_latents, dim) in and out."""
        return self.perceiver.process(z, self._angles("latent"))

    def decode(self, z: Tensor, session_index: Tensor) -> Tensor:
        """Logits of shape (batch, n_directions) from processed latents (batch, n_latents, dim)."""
        query = self.task + self.sessions[session_index]
        answer = self.perceiver.decode(query[:, None], z, self._angles("query"), self._angles("latent"))
        return self.readout(answer[:, 0])  # type: ignore[no-any-return]

    def forward(self, batch: Batch) -> Tensor:
        """Logits of shape (batch, n_directions) for a batch as :meth:`encode` takes it, with ``session_index``."""
        return self.decode(self.process(self.encode(batch)), _field(batch, "session_index"))

    # -- vocabulary ----------------------------------------------------------------------------------------------

    def _rows(self, names: Sequence[str], kind: str, std: float) -> Tensor:
        seeds = hash_order((f"{kind}/{name}" for name in names), self.seed)
        rows = [np.random.Generator(np.random.PCG64(int(s))).standard_normal(self.config.dim) for s in seeds]
        return torch.from_numpy(np.asarray(rows, dtype=np.float32).reshape(len(rows), self.config.dim)) * std

    def extend_vocabulary(self, neuron_ids: Iterable[str] = (), session_ids: Iterable[str] = ()) -> tuple[int, int]:
        """Give rows to names that have none yet; rows that exist keep their place and their values.

        An optimiser made before must be made again, since the tables become other tensors.

        Returns
        -------
        tuple of int
            How many neurons and how many recordings were new.

        Examples
        --------
        >>> config = PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0)
        >>> PoyoPlus(config, ["a:0"], ["a"]).extend_vocabulary(["a:0", "b:0"], ["b"])
        (1, 1)
        """
        neurons = _unknown(neuron_ids, self.neuron_ids)
        sessions = _unknown(session_ids, self.session_ids)
        if neurons:
            rows = self._rows(neurons, "neuron", self.config.unit_init_std).to(self.units)
            self.units = nn.Parameter(torch.cat((self.units.detach(), rows)))
            self.neuron_ids += neurons
        if sessions:
            rows = self._rows(sessions, "session", self.config.init_std).to(self.sessions)
            self.sessions = nn.Parameter(torch.cat((self.sessions.detach(), rows)))
            self.session_ids += sessions
        return len(neurons), len(sessions)

    def rows_of(self, neuron_ids: Sequence[str], session_ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Where a loader's names stand in this model, to translate its indices into the model's.

        Returns
        -------
        tuple of Tensor
            int64 of shape (1 + neurons,), whose element 0 is the padding row, and int64 of shape (sessions,).

        Raises
        ------
        ModelError
            If a name has no row.
        """
        neurons = _positions(neuron_ids, self.neuron_ids, "neuron")
        sessions = _positions(session_ids, self.session_ids, "session")
        return torch.tensor([0, *(1 + i for i in neurons)]), torch.tensor(sessions, dtype=torch.int64)

    # -- state ---------------------------------------------------------------------------------------------------

    def get_extra_state(self) -> Tensor:
        """Give names and seed of the rows as UTF-8 JSON in a uint8 tensor: safe to load with ``weights_only=True``."""
        text = json.dumps({"neuron_ids": self.neuron_ids, "session_ids": self.session_ids, "seed": self.seed})
        return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Take names and seed of the rows from a state dict."""
        try:
            names = json.loads(bytes(state.tolist()).decode())
            neuron_ids, session_ids, seed = names["neuron_ids"], names["session_ids"], int(names["seed"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the state dict does not carry the names of neurons and recordings ({type(error).__name__}); "
                "load one that PoyoPlus.state_dict made"
            ) from error
        self.neuron_ids, self.session_ids = _unique(neuron_ids, "neuron"), _unique(session_ids, "session")
        self.seed = seed

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights and names; the tables take the size that the state has."""
        for table in ("units", "sessions"):
            if table in state_dict and state_dict[table].shape != getattr(self, table).shape:
                setattr(self, table, nn.Parameter(torch.empty_like(state_dict[table])))
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    @property
    def n_parameters(self) -> int:
        """Parameters in all, embeddings included."""
        return sum(p.numel() for p in self.parameters())


def _unique(names: Sequence[str], kind: str) -> tuple[str, ...]:
    kept = tuple(str(name) for name in names)
    if len(set(kept)) != len(kept):
        repeated = next(name for i, name in enumerate(kept) if name in kept[:i])
        raise ModelError(f"{kind} name {repeated!r} arrived twice; every {kind} needs one name of its own")
    return kept


def _unknown(names: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    have = set(known)
    return tuple(name for name in dict.fromkeys(str(name) for name in names) if name not in have)


def _positions(names: Sequence[str], known: Sequence[str], kind: str) -> list[int]:
    where = {name: i for i, name in enumerate(known)}
    missing = [name for name in names if name not in where]
    if missing:
        raise ModelError(
            f"{len(missing)} of {len(names)} {kind}s have no row in this model, first {missing[0]!r} "
            f"({nearest(missing[0], known)}) Train on them or call extend_vocabulary first"
        )
    return [where[name] for name in names]


def _field(batch: Batch, name: str) -> Tensor:
    try:
        return batch[name]
    except KeyError:
        raise ModelError(f"the batch has no {name!r}; it has {', '.join(sorted(batch))}") from None
