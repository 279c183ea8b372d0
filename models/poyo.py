"""POYO+ for calcium imaging: from the traces of any neurons of any recordings to what the animal saw and did.

1. Every neuron's window is cut into patches; a patch and the neuron's own embedding make one token (`tokens.py`).
2. Latents, laid over the real window in time steps, read the tokens (cross-attention with rotary time).
3. The latents attend to one another, layer after layer (`perceiver.py`).
4. A query (task and session embedding) at the window's middle, or one at every frame, reads the latents; the task's
   readout gives the answer (`tasks.py`, `readouts.py`).

Neurons and recordings are known by name (`vocabulary.py`): embeddings grow with :meth:`PoyoPlus.extend_vocabulary` and
travel in the state dict together with their names. Losses live elsewhere: the model only predicts. Nothing in a forward
pass waits for the device: no value of a tensor is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.errors import ModelError, nearest
from poyodata.models.attention import Context
from poyodata.models.config import PoyoConfig
from poyodata.models.legacy import N_QUERIES, legacy_number
from poyodata.models.perceiver import Perceiver, Rotation, rotation
from poyodata.models.readouts import Readouts
from poyodata.models.tasks import Task
from poyodata.models.tokens import Tokens
from poyodata.models.vocabulary import Known, Names, merged_classes

Batch = Mapping[str, Tensor]


class AttentionMaps(NamedTuple):
    """Who reads what, each weight from 0 to 1; those of one reader sum to 1, or to 0 where there is nothing to read.

    Attributes
    ----------
    tokens : Tensor, shape (batch, head, latent, moment, neuron)
        What every latent takes from the tokens.
    latents : dict of Tensor, shape (batch, head, latent) or (batch, head, time, latent)
        What the query of every task takes from the processed latents.
    """

    tokens: Tensor
    latents: dict[str, Tensor]


class Loaded(NamedTuple):
    """What :meth:`PoyoPlus.load_by_name` took from a state, by name; whatever else has a name is as it was."""

    neurons: tuple[str, ...]
    sessions: tuple[str, ...]
    tasks: tuple[str, ...]


class PoyoPlus(nn.Module):
    """POYO+ encoder for calcium traces with a readout for every task.

    Parameters
    ----------
    config : PoyoConfig
        Shape of the model, and its tasks.
    neuron_ids, session_ids : sequence of str
        Names of the neurons and recordings that have embeddings from the start; row ``1 + i`` belongs to
        ``neuron_ids[i]`` (row 0 is padding), row ``i`` to ``session_ids[i]``.
    seed : int
        Seed of the initial weights; the global random state is neither read nor changed. A name's initial row depends
        on the name and the seed alone, so that extending a model or building it whole gives the same rows.

    Attributes
    ----------
    tasks : tuple of Task
        What the model is asked; outputs have their names.
    units, sessions, queries : Parameter
        Embeddings of neurons (1 + neuron, unit_dim), recordings (recording, dim) and tasks (task, dim).
    latents : Parameter
        Initial latents of a time step, shape (latents_per_step, dim).
    classes : dict of str to tuple of str
        What the numbers of a feature (``cre_line``), or of the answers to a task, mean; empty where nobody said.
    trained_neuron_ids, trained_session_ids, trained_tasks : frozenset of str
        What a stage of training was shown, and which readouts it trained; all else is as it was drawn.
    mask_token : Tensor
        What stands for a masked latent, shape (dim,): a parameter; in the legacy layout a buffer of zeros.

    Raises
    ------
    ModelError
        If names repeat, or there is no recording.

    Examples
    --------
    >>> config = PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0, tasks=("direction", "running"))
    >>> model = PoyoPlus(config, ["a:0", "a:1"], ["a"]).eval()
    >>> batch = {
    ...     "values": torch.zeros(3, 2, 60), "neuron_index": torch.tensor([[1, 2]] * 3),
    ...     "neuron_mask": torch.ones(3, 2, dtype=torch.bool), "session_index": torch.zeros(3, dtype=torch.int64),
    ... }
    >>> {name: tuple(answer.shape) for name, answer in model(batch).items()}
    {'direction': (3, 8), 'running': (3, 1)}
    """

    mask_token: Tensor

    def __init__(
        self, config: PoyoConfig, neuron_ids: Sequence[str], session_ids: Sequence[str], *, seed: int = 0
    ) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.tasks: tuple[Task, ...] = config.make_tasks()
        self._neurons = Names.of("neuron", neuron_ids)
        self._sessions = Names.of("session", session_ids)
        if not len(self._sessions):
            raise ModelError("a model needs the name of at least one recording; pass the loader's session_ids")
        self.classes: dict[str, tuple[str, ...]] = {}
        self.trained_neuron_ids: frozenset[str] = frozenset()
        self.trained_session_ids: frozenset[str] = frozenset()
        self.trained_tasks: frozenset[str] = frozenset()
        legacy = config.layout == "legacy"
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
            self.tokens = Tokens(config)
            self.latents = nn.Parameter(torch.randn(config.latents_per_step, dim) * config.init_std)
            if legacy:
                self.register_buffer("mask_token", torch.zeros(dim), persistent=False)
                self.queries = nn.Parameter(torch.randn(N_QUERIES, dim) * config.init_std)
            else:
                self.mask_token = nn.Parameter(torch.randn(dim) * config.init_std)
                self.queries = nn.Parameter(self._task_names.fresh_rows(dim, config.init_std, seed))
        self.readouts = Readouts(config, self.tasks, seed)
        padding = torch.zeros(1, config.unit_dim)
        self.units = nn.Parameter(torch.cat((padding, self._fresh(self._neurons))))
        self.sessions = nn.Parameter(self._fresh(self._sessions))

        # Angles follow from the config alone, so they are not part of a checkpoint.
        self._register_angles("token", self.tokens.times_s)
        self._register_angles("latent", self.latent_times_s)
        self._register_angles("step", self.latent_times_s[:: config.latents_per_step])
        self._register_angles("middle", torch.tensor([config.window_s / 2], dtype=torch.float64))
        frames = torch.arange(config.window_frames, dtype=torch.float64)
        self._register_angles("frame", (frames + 0.5) / config.rate_hz)

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
            ``values`` float32 (batch, neuron, time), ``neuron_index`` int64 (batch, neuron); where windows have padding
            ``neuron_mask`` bool (batch, neuron), where they differ in length ``time_mask`` bool (batch, time): a patch
            counts when all its frames do. Without masks the attention kernel is given none, and is a little faster.

        Returns
        -------
        Tensor, shape (batch, n_latents, dim)

        Raises
        ------
        ModelError
            If the windows have another length than the config says, the batch lacks a field, or has no window.
        """
        tokens, mask = self._tokens(batch)
        return self.perceiver.encode(self._initial(batch), tokens, self._angles("latent"), self._angles("token"), mask)

    def read(self, batch: Batch) -> Tensor:
        """What the latents take from the tokens, shape (batch, n_latents, dim), before residual and feed-forward."""
        tokens, mask = self._tokens(batch)
        return self.perceiver.read(  # type: ignore[no-any-return]
            self._initial(batch), tokens, self._angles("latent"), self._angles("token"), mask
        )

    def _initial(self, batch: Batch) -> Tensor:
        return self.latents.repeat(self.config.n_steps, 1).expand(len(batch["values"]), -1, -1)

    def _tokens(self, batch: Batch) -> tuple[Context, Tensor | None]:
        """Tokens of every neuron at every moment, and which of them there are, (batch, moment, neuron)."""
        values, index = _field(batch, "values"), _field(batch, "neuron_index")
        if values.ndim != 3 or values.shape[2] != self.config.window_frames:
            raise ModelError(
                f"values have shape {tuple(values.shape)}, expected (batch, neuron, {self.config.window_frames}); "
                "make the loader's windows as long as the model's window_frames"
            )
        if not len(values):
            raise ModelError("the batch has no window; leave empty batches out")
        units = functional.embedding(index, self.units, padding_idx=0)
        tokens = self.tokens(values, units, batch)
        mask, shape = batch.get("neuron_mask"), (len(values), tokens.n_moments, tokens.n_rows)
        shown = None if mask is None else mask[:, None].expand(shape)
        frames = batch.get("time_mask")
        if frames is not None:
            patches, length = self.config.n_patches, self.config.patch_frames
            whole = torch.unflatten(frames[:, : patches * length], 1, (patches, length)).all(dim=2)
            whole = functional.pad(whole, (tokens.n_moments - patches, 0), value=True)[:, :, None]
            shown = whole.expand(shape) if shown is None else shown & whole
        return tokens, shown

    def process(self, z: Tensor) -> Tensor:
        """Latents after the processor; shapes (batch, n_latents, dim) in and out."""
        return self.perceiver.process(z, self._angles("step"))

    def decode(self, z: Tensor, session_index: Tensor, tasks: Iterable[str | Task] | None = None) -> dict[str, Tensor]:
        """Answers from processed latents.

        Parameters
        ----------
        z : Tensor, shape (batch, n_latents, dim)
            Processed latents.
        session_index : Tensor, shape (batch,), int64
            Recordings of the windows.
        tasks : iterable of str or Task, optional
            What is asked; all of the model's tasks by default.

        Returns
        -------
        dict of Tensor
            By task (batch, n_outputs): logits of classes, values on the normalised scale; of a picture (batch, height,
            width) in [0, 1]. Tasks answered at every frame have a dimension of time after the batch's.
        """
        asked = self._asked(tasks)
        if not asked:
            return {}
        queries, times = self._queries(session_index, asked)
        answers = self.perceiver.decode(queries, z, times, self._angles("latent"))
        return {name: self.readouts(name, answer) for name, answer in self._by_task(answers, asked, 1).items()}

    def forward(self, batch: Batch, tasks: Iterable[str | Task] | None = None) -> dict[str, Tensor]:
        """Answers for a batch as :meth:`encode` takes it, with ``session_index``; by task, as :meth:`decode` says."""
        return self.decode(self.process(self.encode(batch)), _field(batch, "session_index"), tasks)

    def _asked(self, tasks: Iterable[str | Task] | None) -> tuple[Task, ...]:
        if tasks is None:
            return self.tasks
        known = {task.name: task for task in self.tasks}
        names = [task if isinstance(task, str) else task.name for task in tasks]
        for name in names:
            if name not in known:
                raise ModelError(f"this model has no task {name!r}; {nearest(name, known)}")
        return tuple(known[name] for name in dict.fromkeys(names))

    def _queries(self, session_index: Tensor, tasks: Sequence[Task]) -> tuple[Tensor, Rotation]:
        """Queries (batch, query, dim) of tasks one after the other, those at frames one a frame, and their angles."""
        session = functional.embedding(session_index, self.sessions)[:, None]
        parts, times = [], []
        for task in tasks:
            row = self._query_row(task)
            at_frames = task.at == "frames"
            query = self.queries[row : row + 1] + session
            parts.append(query.expand(-1, self.config.window_frames, -1) if at_frames else query)
            times.append(self._angles("frame" if at_frames else "middle"))
        if len(parts) == 1:
            return parts[0], times[0]
        angles = Rotation(torch.cat([time.cos for time in times]), torch.cat([time.sin for time in times]))
        return torch.cat(parts, dim=1), angles

    def _query_row(self, task: Task) -> int:
        if self.config.layout == "legacy":
            return legacy_number(task.name)
        # By name: torch.compile cannot look for a dataclass in a tuple.
        return [one.name for one in self.tasks].index(task.name)

    def _by_task(self, answers: Tensor, tasks: Sequence[Task], dim: int) -> dict[str, Tensor]:
        """Cut dimension `dim`, of queries, into tasks; it goes where a task has one query."""
        found, first = {}, 0
        for task in tasks:
            if task.at == "frames":
                found[task.name] = answers.narrow(dim, first, self.config.window_frames)
                first += self.config.window_frames
            else:
                found[task.name] = answers.select(dim, first)
                first += 1
        return found

    # -- pictures ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def attention_maps(self, batch: Batch, tasks: Iterable[str | Task] | None = None) -> AttentionMaps:
        """Which tokens the latents read, and which latents the tasks' queries read; as they are without dropout."""
        asked = self._asked(tasks)
        tokens, mask = self._tokens(batch)
        latent, token = self._angles("latent"), self._angles("token")
        first = self.perceiver.read.weights(self._initial(batch), tokens, latent, token, mask)
        first = torch.unflatten(first, -1, (tokens.n_moments, tokens.n_rows))
        if not asked:
            return AttentionMaps(first, {})
        z = self.trajectory(batch)[-1]
        queries, times = self._queries(_field(batch, "session_index"), asked)
        last = self.perceiver.answer.weights(queries, Context.of(z[:, :, None]), times, latent)
        return AttentionMaps(first, self._by_task(last, asked, 2))

    @torch.no_grad()
    def trajectory(self, batch: Batch) -> Tensor:
        """Latents on their way: shape (1 + depth, batch, n_latents, dim), after reading and after every layer.

        As they are without dropout. Latents stand time step by time step (`latent_times_s`):
        ``.unflatten(2, (n_steps, latents_per_step))`` gives time a dimension of its own.
        """
        was_training = self.training
        self.eval()
        try:
            z = self.encode(batch)
            return torch.stack([z, *self.perceiver.layer_by_layer(z, self._angles("step"))])
        finally:
            self.train(was_training)

    # -- vocabulary ----------------------------------------------------------------------------------------------

    @property
    def neuron_ids(self) -> tuple[str, ...]:
        """Names of the rows of `units`, without the first."""
        return self._neurons.names

    @property
    def session_ids(self) -> tuple[str, ...]:
        """Names of the rows of `sessions`."""
        return self._sessions.names

    @property
    def _task_names(self) -> Names:
        return Names.of("task", (task.name for task in self.tasks))

    def _fresh(self, names: Names) -> Tensor:
        config = self.config
        if names.kind == "neuron":
            return names.fresh_rows(config.unit_dim, config.unit_init_std, self.seed)
        return names.fresh_rows(config.dim, config.init_std, self.seed)

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
        neurons = Names("neuron", self._neurons.unknown(neuron_ids))
        sessions = Names("session", self._sessions.unknown(session_ids))
        if len(neurons):
            self.units = self._grown(self.units, neurons)
            self._neurons = Names("neuron", (*self._neurons, *neurons))
        if len(sessions):
            self.sessions = self._grown(self.sessions, sessions)
            self._sessions = Names("session", (*self._sessions, *sessions))
        return len(neurons), len(sessions)

    def _grown(self, table: nn.Parameter, names: Names) -> nn.Parameter:
        rows = torch.cat((table.detach(), self._fresh(names).to(table)))
        return nn.Parameter(rows, requires_grad=table.requires_grad)

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
        neurons = self._neurons.positions(neuron_ids)
        sessions = self._sessions.positions(session_ids)
        return torch.tensor([0, *(1 + i for i in neurons)]), torch.tensor(sessions, dtype=torch.int64)

    def mark_trained(self, neuron_ids: Iterable[str], session_ids: Iterable[str], tasks: Iterable[str] = ()) -> None:
        """Note what training shows; it goes with the state.

        Examples
        --------
        >>> config = PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0)
        >>> model = PoyoPlus(config, ["a:0", "b:0"], ["a", "b"])
        >>> model.mark_trained(["a:0"], ["a"], ["direction"])
        >>> sorted(model.trained_neuron_ids), sorted(model.trained_tasks)
        (['a:0'], ['direction'])
        """
        self.trained_neuron_ids |= frozenset(neuron_ids)
        self.trained_session_ids |= frozenset(session_ids)
        self.trained_tasks |= frozenset(tasks)

    def identify_only(self) -> list[nn.Parameter]:
        """Freeze all but the embeddings of neurons and recordings: unit identification, for new animals.

        Returns
        -------
        list of Parameter
            What still trains. Train it without weight decay: rows that no window shows then stay as they are, bit for
            bit. ``requires_grad_(True)`` undoes the freezing. Running averages of an image decoder are frozen too.

        Examples
        --------
        >>> config = PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0)
        >>> [tuple(table.shape) for table in PoyoPlus(config, ["a:0"], ["a"]).identify_only()]
        [(2, 64), (1, 64)]
        """
        self.requires_grad_(False)
        self.readouts.freeze_statistics()
        tables = [self.units, self.sessions]
        for table in tables:
            table.requires_grad_(True)
        return tables

    # -- state ---------------------------------------------------------------------------------------------------

    def get_extra_state(self) -> Tensor:
        """Give all that goes by name as UTF-8 JSON in a uint8 tensor: safe to load with ``weights_only=True``."""
        trained = (self.trained_neuron_ids, self.trained_session_ids, self.trained_tasks)
        names = (self._neurons, self._sessions, self._task_names)
        return Known(*names, self.seed, *trained, self.classes, self.config.dim_head).to_state()

    def _known(self, state_dict: Mapping[str, Any]) -> Known:
        """What a state says by name; one of a model that cuts the same weights into other heads is refused."""
        known = Known.from_state(state_dict.get("_extra_state"))
        if known.dim_head not in (None, self.config.dim_head):
            raise ModelError(
                f"the state is of a model with heads of {known.dim_head} channels, and this one has "
                f"{self.config.dim_head}; make the model with the config of the one that was saved"
            )
        return known

    def set_extra_state(self, state: Any) -> None:
        """Take names and seed of the rows from a state dict, and what was trained of them."""
        known = Known.from_state(state)
        self._neurons, self._sessions = known.neurons, known.sessions
        self.seed, self.classes = known.seed, known.classes
        self.trained_neuron_ids, self.trained_session_ids = known.trained_neurons, known.trained_sessions
        self.trained_tasks = known.trained_tasks

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Become what a state says: its weights, and its names; the tables take the size that the state has.

        For a model of other tasks, or one that keeps names of its own, see :meth:`load_by_name`.

        Raises
        ------
        ModelError
            If the state does not carry names, or is of a model with other tasks or heads.
        """
        tasks = self._known(state_dict).tasks
        if tasks.names != self._task_names.names:
            raise ModelError(
                f"the state is of a model with the tasks {', '.join(tasks)}, this one has "
                f"{', '.join(self._task_names)}; make the model with those, or call load_by_name"
            )
        for table in ("units", "sessions"):
            mine = getattr(self, table)
            if table in state_dict and state_dict[table].shape != mine.shape:
                setattr(self, table, nn.Parameter(mine.new_empty(state_dict[table].shape), mine.requires_grad))
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    @torch.no_grad()
    def load_by_name(self, state_dict: Mapping[str, Any], *, keep_others: bool = False) -> Loaded:
        """Take from a state whatever this model has too: the way from one diet, or set of tasks, to the next.

        Rows of neurons and recordings, queries and readouts go by name, wherever they stand. What the state lacks, and
        readouts with another number of outputs, stay as they are. All else must be there in the same shape, and nothing
        beside it.

        Parameters
        ----------
        state_dict : mapping
            Of a model with the same widths and layers, on any device.
        keep_others : bool
            Whether neurons and recordings that this model lacks are added to it, or left out.

        Returns
        -------
        Loaded
            What was taken.

        Raises
        ------
        ModelError
            If the state does not carry names, a weight that all tasks share is not there, or not here, or in another
            shape, heads are cut otherwise, or a number means another class there. The model is then as it was.
        """
        known = self._known(state_dict)
        neurons, sessions, tasks = known.neurons, known.sessions, known.tasks
        named = ("units", "sessions", "queries", "readouts.", "_extra_state")
        shared = {name: value for name, value in self.state_dict().items() if not name.startswith(named)}
        extra = [name for name in state_dict if not name.startswith(named) and name not in shared]
        if extra:
            raise ModelError(
                f"the state is of a model of another shape: it has {len(extra)} weights that this model lacks, first "
                f"{extra[0]}; make the model with the config of the one that was saved"
            )
        for name, value in [*shared.items(), ("units", self.units), ("sessions", self.sessions)]:
            theirs = state_dict.get(name)
            mine = value.shape[1:] if name in named else value.shape
            found = None if theirs is None else theirs.shape[1:] if name in named else theirs.shape
            if found != mine:
                said = "lacks it" if found is None else f"has it as {tuple(found)}"
                raise ModelError(
                    f"the state is of a model of another shape: {name} is {tuple(mine)} here, and the state {said}; "
                    "make the model with the config of the one that was saved"
                )
        self.classes = merged_classes(self.classes, known.classes)
        if keep_others:
            self.extend_vocabulary(neurons, sessions)
        for name, value in shared.items():
            value.copy_(state_dict[name])
        taken_neurons = _take(self.units, self._neurons, state_dict["units"], neurons, first=1)
        taken_sessions = _take(self.sessions, self._sessions, state_dict["sessions"], sessions)
        if self.config.layout == "legacy":
            self.queries.copy_(state_dict["queries"])
        else:
            _take(self.queries, self._task_names, state_dict["queries"], tasks)
        readouts = {key.removeprefix("readouts."): v for key, v in state_dict.items() if key.startswith("readouts.")}
        heads = self.readouts.take(readouts)
        taken_tasks = tuple(name for name in self._task_names if name in heads)
        self.mark_trained(
            known.trained_neurons.intersection(taken_neurons),
            known.trained_sessions.intersection(taken_sessions),
            known.trained_tasks.intersection(taken_tasks),
        )
        return Loaded(taken_neurons, taken_sessions, taken_tasks)

    @property
    def n_parameters(self) -> int:
        """Parameters in all, embeddings included."""
        return sum(p.numel() for p in self.parameters())


def _take(mine: Tensor, names: Names, theirs: Tensor, their_names: Names, first: int = 0) -> tuple[str, ...]:
    """Copy the rows of names that both have; row `first` is that of the first name."""
    here, there = names.shared(their_names)
    mine[[first + row for row in here]] = theirs.to(mine)[[first + row for row in there]]
    return tuple(names.names[row] for row in here)


def _field(batch: Batch, name: str) -> Tensor:
    try:
        return batch[name]
    except KeyError:
        raise ModelError(f"the batch has no {name!r}; it has {', '.join(sorted(batch))}") from None
