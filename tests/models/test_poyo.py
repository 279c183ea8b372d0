"""What must hold for POYO+ whatever its weights: sizes, symmetries, the window, and names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.losses import direction_objective
from poyodata.models.masking import causal_mask
from poyodata.models.poyo import PoyoPlus

MakeBatch = Callable[..., dict[str, Tensor]]


def names(n: int) -> list[str]:
    return [f"s:{i}" for i in range(n)]


def test_published_size_is_exact() -> None:
    config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0)
    model = PoyoPlus(config, names(60), ["s"])
    assert sum(p.numel() for p in model.perceiver.parameters()) == 1_269_120
    assert (config.n_steps, config.n_latents, config.context_dim, config.patch_frames) == (16, 256, 128, 1)
    # Beside it: value projection 64, latents 16, task 1, mask token 1, readout, 61 unit rows and a session row of 64.
    assert model.n_parameters == 1_269_120 + 64 * (1 + 16 + 1 + 1 + 61 + 1) + 8 * 65


@pytest.mark.parametrize("window_frames", [60, 80, 90])
def test_tiny_size_stays_tiny(window_frames: int) -> None:
    config = PoyoConfig.named("poyo-tiny", window_frames=window_frames, rate_hz=30.1)
    assert PoyoPlus(config, names(254), ["s"]).n_parameters <= 400_000
    assert config.n_latents == 16
    assert config.patch_frames / config.rate_hz == pytest.approx(0.65, abs=0.1)


def test_one_step_at_the_published_size(batches: MakeBatch) -> None:
    config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0)
    model = PoyoPlus(config, names(12), ["s"])
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = direction_objective(model, batches(2, 12, window_frames=57)).total
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


@pytest.mark.parametrize("tokens", ["gated", "paper"])
def test_padding_changes_nothing(config: PoyoConfig, batch: dict[str, Tensor], tokens: str) -> None:
    model = PoyoPlus(config.model_copy(update={"tokens": tokens}), names(5), ["s"]).eval()
    padded = dict(batch)
    padded["values"] = torch.cat((batch["values"], torch.full((6, 3, 24), 7.0)), dim=1)
    padded["neuron_index"] = torch.cat((batch["neuron_index"], torch.zeros(6, 3, dtype=torch.int64)), dim=1)
    padded["neuron_mask"] = torch.cat((batch["neuron_mask"], torch.zeros(6, 3, dtype=torch.bool)), dim=1)
    torch.testing.assert_close(model(padded), model(batch), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", ["gated", "paper"])
def test_order_of_neurons_changes_nothing(config: PoyoConfig, batch: dict[str, Tensor], tokens: str) -> None:
    model = PoyoPlus(config.model_copy(update={"tokens": tokens}), names(5), ["s"]).eval()
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = {**batch, "values": batch["values"][:, order], "neuron_index": batch["neuron_index"][:, order]}
    torch.testing.assert_close(model(shuffled), model(batch), atol=1e-5, rtol=1e-5)
    swapped = {**batch, "values": batch["values"][:, order]}  # values that change their neuron must matter
    assert not torch.allclose(model(swapped), model(batch), atol=1e-4)


def test_time_and_session_matter(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.extend_vocabulary(session_ids=["t"])
    model.eval()
    reversed_in_time = {**batch, "values": batch["values"].flip(2)}
    other_session = {**batch, "session_index": torch.ones_like(batch["session_index"])}
    for changed in (reversed_in_time, other_session):
        assert not torch.allclose(model(changed), model(batch), atol=1e-5)


def test_frames_after_the_last_whole_patch_are_not_used(batches: MakeBatch) -> None:
    config = PoyoConfig(window_frames=10, patch_frames=4, rate_hz=10.0, dim=8, dim_head=4, depth=0)
    model = PoyoPlus(config, names(5), ["s"]).eval()
    batch = batches(window_frames=10)
    changed = {**batch, "values": batch["values"].clone()}
    changed["values"][:, :, 8:] += 5.0
    assert torch.equal(model(changed), model(batch))


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


def test_same_seed_same_weights_and_the_random_state_is_untouched(config: PoyoConfig) -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again, other = (PoyoPlus(config, names(3), ["s"], seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.units, other.units)
    assert not torch.equal(first.project.weight, other.project.weight)


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


@pytest.mark.parametrize(
    ("neurons", "sessions", "said"),
    [
        pytest.param(["a", "a"], ["s"], "neuron name 'a' arrived twice", id="neuron-twice"),
        pytest.param(["a"], ["s", "s"], "session name 's' arrived twice", id="session-twice"),
        pytest.param(["a"], [], "at least one recording", id="no-session"),
    ],
)
def test_bad_names_are_refused(config: PoyoConfig, neurons: list[str], sessions: list[str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        PoyoPlus(config, neurons, sessions)


def test_unknown_names_are_counted_and_named(model: PoyoPlus) -> None:
    with pytest.raises(ModelError, match=r"1 of 2 neurons.*'s:9'.*extend_vocabulary"):
        model.rows_of(["s:0", "s:9"], ["s"])
