"""Parameter counts of the published sizes, to the last one, without their memory."""

from __future__ import annotations

import pytest
import torch

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.legacy import LEGACY_READOUTS
from poyodata.models.poyo import PoyoPlus
from poyodata.models.sizes import SIZES


def on_meta(config: PoyoConfig) -> PoyoPlus:
    with torch.device("meta"):
        model = PoyoPlus(config, ["a:0", "a:1", "a:2"], ["a", "b"])
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
    return model


@pytest.mark.parametrize(
    ("size", "task", "total", "perceiver"),
    [
        pytest.param("poyo-1.3m", "direction", 1_575_342, 1_269_120, id="dim-64"),
        pytest.param("poyo-3.3m", "direction", 3_932_462, 3_324_672, id="dim-128"),
        pytest.param("poyo-32m", "movie_pixels", 36_887_969, 32_173_056, id="dim-512-movie"),
        pytest.param("poyo-115m", "direction", 119_507_502, 114_677_760, id="dim-1024-head-64"),
        pytest.param("poyo-330m", "direction", 327_911_982, 323_082_240, id="dim-1024-head-1024"),
        pytest.param("poyo-330m", "movie_pixels", 332_441_569, 323_082_240, id="dim-1024-head-1024-movie"),
    ],
)
def test_counts_of_the_released_code(size: str, task: str, total: int, perceiver: int) -> None:
    config = PoyoConfig.named(size, window_frames=57, rate_hz=30.0, tasks=(task,), layout="legacy")
    model = on_meta(config)
    assert sum(p.numel() for p in model.perceiver.parameters()) == perceiver
    # Besides: a row for each of three neurons and two recordings, and that of padding.
    assert model.n_parameters == total + config.dim * (1 + 3 + 2)
    # Of these, what follows from the readouts: all 14, of which one is used, or none but the image decoder.
    heads = sum(p.numel() for p in model.readouts.parameters())
    outputs = sum(readout.n_outputs for readout in LEGACY_READOUTS.values())
    assert (len(LEGACY_READOUTS), outputs) == (14, 4_654)
    if task == "direction":
        assert heads == outputs * (config.dim + 1)
    # Value projection, 4 token types, 5 depths, 16 latents, 32 queries.
    assert total == perceiver + heads + config.dim * (1 + 4 + 5 + 16 + 32)


@pytest.mark.parametrize("size", list(SIZES))
def test_every_size_can_be_made_as_the_paper_has_it(size: str) -> None:
    config = PoyoConfig.named(size, window_frames=57, rate_hz=30.0, tasks=("direction", "movie_pixels"))
    model = on_meta(config)
    own = sum(p.numel() for p in model.perceiver.parameters()) + sum(p.numel() for p in model.readouts.parameters())
    # Value projection, latents, a query a task, mask token, and rows of neurons, padding and recordings.
    rest = config.patch_frames + config.latents_per_step + 2 + 1 + 4 + 2
    assert model.n_parameters == own + rest * config.dim
    assert set(model.readouts.heads) == {"direction", "movie_pixels"}
    assert model.tasks[1].n_outputs == config.dim


@pytest.mark.parametrize("window_frames", [60, 80, 90])
def test_tiny_size_stays_tiny(window_frames: int) -> None:
    config = PoyoConfig.named("poyo-tiny", window_frames=window_frames, rate_hz=30.1)
    assert on_meta(config).n_parameters <= 400_000 - 254 * config.dim
    assert config.n_latents == 16
    assert config.patch_frames / config.rate_hz == pytest.approx(0.65, abs=0.1)


def test_unknown_size_suggests_a_known_one() -> None:
    with pytest.raises(ModelError, match="did you mean 'poyo-330m'"):
        PoyoConfig.named("poyo-330", window_frames=60, rate_hz=30.0)


def test_legacy_covers_the_first_second_whatever_the_window() -> None:
    config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0, layout="legacy")
    model = PoyoPlus(config, ["a:0"], ["a"]).eval()
    times = model.latent_times_s
    assert (len(times), times[0].item(), times[-1].item()) == (128, 0.0625, 0.9375)
    moments = model.tokens.times_s
    assert moments[:4].tolist() == pytest.approx([0.0, 1.0, 0.0, 1 / 30])
    assert len(moments) == 59
    batch = {
        "values": torch.ones(2, 1, 57),
        "neuron_index": torch.ones(2, 1, dtype=torch.int64),
        "session_index": torch.zeros(2, dtype=torch.int64),
    }
    assert model(batch)["direction"].shape == (2, 8)
    assert not model.mask_token.any()
    assert "mask_token" not in dict(model.named_parameters())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"tokens": "gated"}, "legacy.*has tokens='paper'", id="tokens"),
        pytest.param({"features": ("area",)}, "no feature 'area'", id="area"),
        pytest.param({"tasks": ("phase",)}, "no readout 'phase'", id="readout"),
        pytest.param({"tasks": ("direction", "movie_pixels")}, "'movie_pixels' alone", id="movie-and-direction"),
    ],
)
def test_what_the_released_code_does_not_have_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        PoyoConfig(layout="legacy", **changes)
