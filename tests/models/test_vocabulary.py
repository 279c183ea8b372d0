"""Rows go by name, wherever they stand: tables grow, states load, and what is learned is not lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus
from poyodata.models.vocabulary import Names, names_from_bytes, names_to_bytes


def test_extension_keeps_rows_and_equals_building_whole(config: PoyoConfig) -> None:
    model = PoyoPlus(config, ["a", "b"], ["s"], seed=5)
    with torch.no_grad():
        model.units[1:] += 1.0  # as if learned
    learned = model.units.detach().clone()
    assert model.extend_vocabulary(["b", "c", "c"], ["s", "t"]) == (1, 1)
    whole = PoyoPlus(config, ["a", "b", "c"], ["s", "t"], seed=5)
    assert model.neuron_ids == ("a", "b", "c")
    assert model.session_ids == ("s", "t")
    assert torch.equal(model.units[:3], learned)
    assert torch.equal(model.units[3], whole.units[3])
    assert torch.equal(model.sessions, whole.sessions)
    assert model.extend_vocabulary(["a"], ["t"]) == (0, 0)


def test_rows_follow_names_not_positions(config: PoyoConfig) -> None:
    forward, backward = PoyoPlus(config, ["a", "b"], ["s"]), PoyoPlus(config, ["b", "a"], ["s"])
    assert torch.equal(forward.units[[1, 2]], backward.units[[2, 1]])
    neurons, sessions = backward.rows_of(["a"], ["s"])
    assert (neurons.tolist(), sessions.tolist()) == ([0, 2], [0])


def test_state_dict_carries_names_and_sizes(config: PoyoConfig) -> None:
    model = PoyoPlus(config, ["a", "ü/☃"], ["s", "t"], seed=1)
    other = PoyoPlus(config, ["x"], ["y"], seed=2)
    other.load_state_dict(model.state_dict())
    assert other.neuron_ids == ("a", "ü/☃")
    assert other.session_ids == ("s", "t")
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("neurons", "sessions", "said"),
    [
        pytest.param(["a", "a"], ["s"], "neuron name 'a' arrived twice", id="neuron-twice"),
        pytest.param(["a"], ["s", "s"], "session name 's' arrived twice", id="session-twice"),
        pytest.param(["a"], [], "at least one recording", id="no-session"),
        pytest.param("abc", ["s"], r"'abc' is one neuron name.*give \['abc'\]", id="text-for-neurons"),
        pytest.param(["a"], "st", "'st' is one session name", id="text-for-sessions"),
    ],
)
def test_bad_names_are_refused(config: PoyoConfig, neurons: list[str], sessions: list[str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        PoyoPlus(config, neurons, sessions)


def test_a_text_is_no_list_of_names_to_grow_by(model: PoyoPlus) -> None:
    with pytest.raises(ModelError, match="'mouse1' is one neuron name"):
        model.extend_vocabulary("mouse1")
    assert len(model.neuron_ids) == 5


def test_unknown_names_are_counted_and_named(model: PoyoPlus) -> None:
    with pytest.raises(ModelError, match=r"1 of 2 neurons.*'s:9'.*extend_vocabulary"):
        model.rows_of(["s:0", "s:9"], ["s"])


def learned(config: PoyoConfig, neurons: list[str], sessions: list[str], seed: int) -> PoyoPlus:
    """A model none of whose weights is as it was made."""
    model = PoyoPlus(config, neurons, sessions, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += torch.randn(weight.shape, generator=generator)
    return model


def with_tasks(config: PoyoConfig, *tasks: str, **changes: object) -> PoyoConfig:
    return PoyoConfig(**{**config.model_dump(), "tasks": tasks, **changes})


def test_a_state_with_other_names_gives_the_rows_of_those_that_both_have(config: PoyoConfig) -> None:
    old = learned(config, ["a", "b", "c"], ["s", "t"], seed=1)
    new = PoyoPlus(config, ["d", "c", "a"], ["u", "t"], seed=2)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    taken = new.load_by_name(old.state_dict())
    assert taken == (("c", "a"), ("t",), ("direction",))
    assert (new.neuron_ids, new.session_ids, new.seed) == (("d", "c", "a"), ("u", "t"), 2)
    assert torch.equal(new.units[[2, 3]], old.units[[3, 1]])
    assert torch.equal(new.sessions[1], old.sessions[1])
    assert torch.equal(new.units[:2], fresh["units"][:2])
    assert torch.equal(new.sessions[0], fresh["sessions"][0])
    for name, weight in old.named_parameters():
        if name not in ("units", "sessions"):
            assert torch.equal(dict(new.named_parameters())[name], weight), name


def test_names_that_the_model_lacks_are_left_out_or_kept(config: PoyoConfig) -> None:
    old = learned(config, ["a", "b"], ["s"], seed=1)
    left_out, kept = (PoyoPlus(config, ["c"], ["t"], seed=2) for _ in range(2))
    left_out.load_by_name(old.state_dict())
    assert left_out.neuron_ids == ("c",)
    assert kept.load_by_name(old.state_dict(), keep_others=True).neurons == ("a", "b")
    assert (kept.neuron_ids, kept.session_ids) == (("c", "a", "b"), ("t", "s"))
    assert torch.equal(kept.units[2:], old.units[1:])
    assert torch.equal(kept.sessions[1], old.sessions[0])


def test_readouts_and_queries_go_by_task(config: PoyoConfig) -> None:
    old = learned(with_tasks(config, "scene", "direction", "movie_frame"), ["a"], ["s"], seed=1)
    small = with_tasks(config, "direction", "running", "movie_frame", n_outputs={"movie_frame": 30})
    new = PoyoPlus(small, ["a"], ["s"], seed=2)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    assert new.load_by_name(old.state_dict()).tasks == ("direction",)
    assert torch.equal(new.queries[[0, 2]], old.queries[[1, 2]])
    assert torch.equal(new.queries[1], fresh["queries"][1])
    heads, old_heads = new.readouts.heads, old.readouts.heads
    assert torch.equal(heads["direction"].weight, old_heads["direction"].weight)
    for name in ("running", "movie_frame"):  # new, and of another size
        assert torch.equal(heads[name].weight, fresh[f"readouts.heads.{name}.weight"])


def test_a_state_of_other_tasks_is_not_become(config: PoyoConfig) -> None:
    state = PoyoPlus(with_tasks(config, "running"), ["a"], ["s"]).state_dict()
    with pytest.raises(ModelError, match=r"tasks running, this one has direction.*load_by_name"):
        PoyoPlus(config, ["a"], ["s"]).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"dim": 32}, r"shape: latents is \(4, 16\) here, and the state has it as \(4, 32\)", id="wider"),
        pytest.param({"depth": 0}, "the state lacks it", id="fewer-layers"),
        pytest.param({"depth": 2}, "has 11 weights that this model lacks, first perceiver.layers.1", id="more-layers"),
        pytest.param({"features": ("area",)}, "lacks, first tokens", id="features"),
        pytest.param({"tokens": "patched"}, "tokens.project", id="tokens"),
    ],
)
def test_a_state_of_another_shape_is_refused_and_changes_nothing(
    config: PoyoConfig, change: dict[str, object], said: str
) -> None:
    state = PoyoPlus(PoyoConfig(**{**config.model_dump(), **change}), ["a"], ["s"], seed=1).state_dict()
    model = PoyoPlus(config, ["a"], ["s"], seed=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelError, match=said):
        model.load_by_name(state, keep_others=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(None, id="none"),
        pytest.param(torch.tensor([1, 2], dtype=torch.uint8), id="no-json"),
        pytest.param(names_to_bytes({"neuron_ids": ["a"]}), id="half"),
        pytest.param(torch.tensor(list(b"[1]"), dtype=torch.uint8), id="list"),
    ],
)
def test_a_state_without_names_is_refused(config: PoyoConfig, state: Tensor | None) -> None:
    model = PoyoPlus(config, ["a"], ["s"])
    foreign = {**model.state_dict(), "_extra_state": state}
    for load in (model.load_state_dict, model.load_by_name):
        with pytest.raises(ModelError, match="state dict"):
            load(foreign)


@pytest.mark.parametrize("way", ["load_state_dict", "load_by_name"])
def test_heads_are_not_cut_anew(config: PoyoConfig, way: str) -> None:
    state = PoyoPlus(config, ["a"], ["s"]).state_dict()
    changes = {"dim_head": 4, "cross_heads": 2 * config.cross_heads, "self_heads": 2 * config.self_heads}
    model = PoyoPlus(PoyoConfig(**{**config.model_dump(), **changes}), ["a"], ["s"])
    assert {name: value.shape for name, value in model.state_dict().items() if name != "_extra_state"} == {
        name: value.shape for name, value in state.items() if name != "_extra_state"
    }
    with pytest.raises(ModelError, match="heads of 8 channels, and this one has 4"):
        getattr(model, way)(state)
    said = names_from_bytes(state["_extra_state"])
    del said["dim_head"]  # as it was written before
    getattr(model, way)({**state, "_extra_state": names_to_bytes(said)})


def test_growing_keeps_frozen_tables_frozen(config: PoyoConfig) -> None:
    model = PoyoPlus(config, ["a"], ["s"]).requires_grad_(False)
    model.extend_vocabulary(["b"], ["t"])
    assert not any(weight.requires_grad for weight in model.parameters())


def test_rows_of_a_name_do_not_depend_on_the_others() -> None:
    several, one = Names("neuron", ("a", "b", "c")), Names("neuron", ("c",))
    assert torch.equal(several.fresh_rows(8, 0.02, seed=4)[2], one.fresh_rows(8, 0.02, seed=4)[0])
    assert not torch.equal(one.fresh_rows(8, 0.02, seed=5), one.fresh_rows(8, 0.02, seed=4))
    assert not torch.equal(Names("session", ("c",)).fresh_rows(8, 0.02, 4), one.fresh_rows(8, 0.02, 4))
    spread = Names.of("neuron", range(500)).fresh_rows(8, 0.02, seed=0).std().item()
    assert spread == pytest.approx(0.02, rel=0.1)


def test_names_survive_as_bytes() -> None:
    names = {"neuron_ids": ["ü/☃", ""], "seed": 3}
    assert names_from_bytes(names_to_bytes(names)) == names
