"""What must hold for POYO+ whatever its weights: sizes, symmetries, the window, and names."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.masking import causal_mask
from poyodata.models.poyo import PoyoPlus

MakeBatch = Callable[..., dict[str, Tensor]]


def names(n: int) -> list[str]:
    return [f"s:{i}" for i in range(n)]


def answer(model: PoyoPlus, batch: dict[str, Tensor]) -> Tensor:
    return model(batch)["direction"]


def test_shape_of_the_published_size() -> None:
    config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0)
    assert (config.n_steps, config.n_latents, config.context_dim, config.patch_frames) == (16, 256, 128, 1)


def test_one_step_at_the_published_size(batches: MakeBatch) -> None:
    config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0)
    model = PoyoPlus(config, names(12), ["s"])
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        batch = batches(2, 12, window_frames=57)
        loss = nn.functional.cross_entropy(answer(model, batch), batch["direction"])
    loss.backward()
    optimizer.step()
    unmoved = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert unmoved == {"mask_token"}  # the only parameter that plain cross-entropy does not use
    assert torch.equal(model.units[0], torch.zeros(64))  # padding stays zero


@pytest.mark.parametrize(
    ("window_frames", "rate_hz", "step_s"),
    [
        pytest.param(57, 30.0, 0.125, id="published"),
        pytest.param(60, 30.0, 0.125, id="whole-steps"),
        pytest.param(300, 30.1, 0.125, id="ten-seconds"),
        pytest.param(1, 30.0, 0.125, id="one-frame"),
        pytest.param(80, 30.1, 80 / 30.1 / 4, id="four-steps"),
    ],
)
def test_latents_cover_the_real_window(window_frames: int, rate_hz: float, step_s: float) -> None:
    config = PoyoConfig(window_frames=window_frames, rate_hz=rate_hz, latent_step_s=step_s, dim=8, dim_head=4, depth=0)
    times = PoyoPlus(config, names(1), ["s"]).latent_times_s
    assert len(times) == config.n_latents
    edges = torch.cat((times.unique() - step_s / 2, times.unique()[-1:] + step_s / 2))
    assert edges[0].item() == pytest.approx(0.0, abs=1e-9)
    torch.testing.assert_close(edges.diff(), torch.full_like(edges[1:], step_s))
    assert edges[-2] < config.window_s <= edges[-1] + 1e-6


@pytest.mark.parametrize("tokens", ["gated", "paper", "patched"])
def test_padding_changes_nothing(config: PoyoConfig, batch: dict[str, Tensor], tokens: str) -> None:
    model = PoyoPlus(config.model_copy(update={"tokens": tokens}), names(5), ["s"]).eval()
    padded = dict(batch)
    padded["values"] = torch.cat((batch["values"], torch.full((6, 3, 24), 7.0)), dim=1)
    padded["neuron_index"] = torch.cat((batch["neuron_index"], torch.zeros(6, 3, dtype=torch.int64)), dim=1)
    padded["neuron_mask"] = torch.cat((batch["neuron_mask"], torch.zeros(6, 3, dtype=torch.bool)), dim=1)
    torch.testing.assert_close(answer(model, padded), answer(model, batch), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", ["gated", "paper", "patched"])
def test_order_of_neurons_changes_nothing(config: PoyoConfig, batch: dict[str, Tensor], tokens: str) -> None:
    model = PoyoPlus(config.model_copy(update={"tokens": tokens}), names(5), ["s"]).eval()
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = {**batch, "values": batch["values"][:, order], "neuron_index": batch["neuron_index"][:, order]}
    torch.testing.assert_close(answer(model, shuffled), answer(model, batch), atol=1e-5, rtol=1e-5)
    swapped = {**batch, "values": batch["values"][:, order]}  # values that change their neuron must matter
    assert not torch.allclose(answer(model, swapped), answer(model, batch), atol=1e-4)


def test_time_and_session_matter(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.extend_vocabulary(session_ids=["t"])
    model.eval()
    reversed_in_time = {**batch, "values": batch["values"].flip(2)}
    other_session = {**batch, "session_index": torch.ones_like(batch["session_index"])}
    for changed in (reversed_in_time, other_session):
        assert not torch.allclose(answer(model, changed), answer(model, batch), atol=1e-5)


def test_frames_after_the_last_whole_patch_are_not_used(batches: MakeBatch) -> None:
    config = PoyoConfig(window_frames=10, patch_frames=4, rate_hz=10.0, dim=8, dim_head=4, depth=0)
    model = PoyoPlus(config, names(5), ["s"]).eval()
    batch = batches(window_frames=10)
    changed = {**batch, "values": batch["values"].clone()}
    changed["values"][:, :, 8:] += 5.0
    assert torch.equal(answer(model, changed), answer(model, batch))


def test_same_seed_same_weights_and_the_random_state_is_untouched(config: PoyoConfig) -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again, other = (PoyoPlus(config, names(3), ["s"], seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.units, other.units)
    assert not torch.equal(first.tokens.project.weight, other.tokens.project.weight)


def test_masked_latents_are_the_last_in_time(config: PoyoConfig) -> None:
    model = PoyoPlus(config, names(1), ["s"])
    mask = causal_mask(config.n_steps, config.latents_per_step, 0.5)
    assert model.latent_times_s[mask].min() > model.latent_times_s[~mask].max()
    assert int(mask.sum()) == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"values": torch.zeros(6, 5, 23)}, r"\(6, 5, 23\).*window_frames", id="window"),
        pytest.param({"values": torch.zeros(6, 24)}, r"\(6, 24\)", id="shape"),
        pytest.param({"values": torch.zeros(0, 5, 24)}, "no window", id="empty"),
    ],
)
def test_wrong_windows_are_refused(
    model: PoyoPlus, batch: dict[str, Tensor], change: dict[str, Tensor], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        model({**batch, **change})


def test_a_missing_field_is_named(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    del batch["session_index"]
    with pytest.raises(ModelError, match="no 'session_index'"):
        model(batch)


def test_a_batch_without_padding_needs_no_mask(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.eval()
    without = {name: value for name, value in batch.items() if name != "neuron_mask"}
    torch.testing.assert_close(answer(model, without), answer(model, batch))


def test_who_is_asked_nothing_answers_nothing(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    assert model(batch, tasks=[]) == {}
    maps = model.attention_maps(batch, tasks=[])
    assert maps.latents == {}
    assert maps.tokens.isfinite().all()


def test_a_window_without_neurons_is_answered(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    lost = {**batch, "neuron_mask": batch["neuron_mask"].clone()}
    lost["neuron_mask"][2] = False
    found = answer(model, lost)
    found.sum().backward()
    assert found.isfinite().all()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_frames_that_do_not_exist_change_nothing(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.eval()
    length = model.config.patch_frames
    known = torch.ones(6, 24, dtype=torch.bool)
    known[2, -length:] = False
    masked = {**batch, "time_mask": known}
    changed = {**masked, "values": batch["values"].clone()}
    changed["values"][2, :, -length:] += 5.0
    torch.testing.assert_close(answer(model, changed), answer(model, masked))
    same, other = answer(model, masked), answer(model, batch)
    torch.testing.assert_close(same[[0, 1, 3, 4, 5]], other[[0, 1, 3, 4, 5]])
    assert not torch.allclose(same[2], other[2], atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_no_value_of_a_tensor_is_asked_for(config: PoyoConfig, batch: dict[str, Tensor], dropout: float) -> None:
    # On the meta device tensors have no values: what asks for one (item, bool, a copy to the host) fails there.
    everything = {
        "tasks": ("direction", "running", "movie_pixels"),
        "frame_tasks": ("running",),
        "features": ("cre_line", "area", "depth", "position"),
        "attention_dropout": dropout,
    }
    with torch.device("meta"):
        model = PoyoPlus(PoyoConfig(**{**config.model_dump(), **everything}), names(5), ["s"]).train()
    whole = {**batch, "time_mask": torch.ones(6, 24, dtype=torch.bool)}
    whole |= {f"neuron_{name}": torch.zeros(6, 5, dtype=torch.int64) for name in ("cre_line", "area")}
    whole |= {f"neuron_{name}_um": torch.zeros(6, 5) for name in ("depth", "x", "y")}
    found = model({name: value.to("meta") for name, value in whole.items()})
    sum(each.sum() for each in found.values()).backward()
    assert {each.device.type for each in found.values()} == {"meta"}
    with pytest.raises((NotImplementedError, RuntimeError)):
        bool(found["direction"].sum() > 0)


def test_attention_maps_are_what_the_model_uses(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.eval()
    hidden = {**batch, "neuron_mask": batch["neuron_mask"].clone()}
    hidden["neuron_mask"][:, 4] = False
    maps = model.attention_maps(hidden)
    config = model.config
    assert maps.tokens.shape == (6, 2, config.n_latents, config.n_patches, 5)
    torch.testing.assert_close(maps.tokens.sum(dim=(3, 4)), torch.ones(6, 2, config.n_latents))
    assert not maps.tokens[..., 4].any()
    assert maps.latents["direction"].shape == (6, 2, config.n_latents)
    torch.testing.assert_close(maps.latents["direction"].sum(dim=2), torch.ones(6, 2))
    hidden["neuron_mask"][2] = False
    lost = model.attention_maps(hidden).tokens
    assert not lost[2].any()
    torch.testing.assert_close(lost[[0, 1, 3, 4, 5]], maps.tokens[[0, 1, 3, 4, 5]])
    # Neurons that no latent looks at could as well be hidden: a value of one that is looked at moves the latents.
    assert maps.tokens[..., :4].min() > 0


def test_trajectory_starts_and_ends_as_the_model_does(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.train()
    path = model.trajectory(batch)
    assert model.training
    assert path.shape == (1 + model.config.depth, 6, model.config.n_latents, model.config.dim)
    model.eval()
    torch.testing.assert_close(path[0], model.encode(batch))
    torch.testing.assert_close(path[-1], model.process(model.encode(batch)))


def test_a_copy_is_a_model_of_its_own(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.eval()
    other = copy.deepcopy(model)
    other.extend_vocabulary(["new"], ["other"])
    assert (len(model.neuron_ids), len(other.neuron_ids)) == (5, 6)
    assert torch.equal(answer(model, batch), answer(other, batch))
