"""Terms of the image loss by their formulas; a frame's loss is its own; the released sum; gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from poyodata.errors import ModelError
from poyodata.models.image_losses import (
    ImageLossWeights,
    fft_term,
    focal_term,
    frame_terms,
    gradient_term,
    image_loss,
    l1_term,
    reach_term,
)
from tests.models.pictures import noisy_frames, some_frames, ssim_by_definition

ALL = ImageLossWeights(focal=2.0, l1=3.0, fft=5.0, perceptual=7.0, ssim=11.0, gradient=13.0)


def features(frames: Tensor) -> Tensor:
    """Stand-ins for AlexNet's: squares of every second pixel."""
    return frames[:, None, ::2, ::2] ** 2


def focal_by_definition(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    error = np.abs(p - t)
    return np.array([np.mean(e / (e.max() + 1e-8) * e) for e in error])


def fft_by_definition(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The whole spectrum with frequency 0 moved to the middle, and weights that rise from there."""
    height, width = p.shape[1:]
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(n)) for n in (height, width))
    radius = np.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
    weight = 1 + 2 * radius / np.sqrt(0.5)
    spectra = [np.abs(np.fft.fftshift(np.fft.fft2(x), axes=(1, 2))) / np.sqrt(height * width) for x in (p, t)]
    return (weight * np.abs(spectra[0] - spectra[1])).mean((1, 2))


DEFINITIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "focal": focal_by_definition,
    "l1": lambda p, t: np.abs(p - t).mean((1, 2)),
    "fft": fft_by_definition,
    "perceptual": lambda p, t: ((p[:, ::2, ::2] ** 2 - t[:, ::2, ::2] ** 2) ** 2).mean((1, 2)),
    "ssim": lambda p, t: 1 - ssim_by_definition(p, t),
    "gradient": lambda p, t: (
        np.abs(np.diff(p, axis=1) - np.diff(t, axis=1)).mean((1, 2))
        + np.abs(np.diff(p, axis=2) - np.diff(t, axis=2)).mean((1, 2))
    ),
}


@pytest.mark.parametrize("size", [(64, 128), (10, 14), (9, 11), (8, 9), (9, 8)], ids=str)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_term_is_that_of_its_formula(name: str, size: tuple[int, int]) -> None:
    p, t = (noisy_frames(3, *size, seed=seed) for seed in (0, 1))
    found = frame_terms(torch.from_numpy(p), torch.from_numpy(t), ALL, features)[name]
    np.testing.assert_allclose(found.numpy(), DEFINITIONS[name](p, t), rtol=1e-9)


def test_total_is_the_weighted_sum_of_means() -> None:
    p, t = (noisy_frames(3, 10, 14, seed=seed) for seed in (0, 1))
    loss = image_loss(torch.from_numpy(p), torch.from_numpy(t), ALL, features)
    means = {name: float(by_definition(p, t).mean()) for name, by_definition in DEFINITIONS.items()}
    assert {name: pytest.approx(term.item()) for name, term in loss.terms.items()} == means
    assert loss.total.item() == pytest.approx(sum(ALL.active[name] * mean for name, mean in means.items()))


def test_defaults_are_the_published_weights() -> None:
    assert ImageLossWeights().active == {"focal": 50.0, "l1": 50.0, "fft": 50.0, "ssim": 0.1}
    p, t = (torch.from_numpy(noisy_frames(2, 8, 8, seed=seed)) for seed in (0, 1))
    terms = {name: DEFINITIONS[name](p.numpy(), t.numpy()).mean() for name in ("focal", "l1", "fft", "ssim")}
    expected = 50 * terms["focal"] + 50 * terms["l1"] + 50 * terms["fft"] + 0.1 * terms["ssim"]
    assert image_loss(p, t).total.item() == pytest.approx(expected)
    assert image_loss(t, t).total.item() == pytest.approx(0, abs=1e-12)


# -- each term's own traps -----------------------------------------------------------------------------------------


def test_high_frequencies_weigh_three_times_as_much_and_not_the_other_way_round() -> None:
    rows, columns = np.indices((16, 32))
    flat = torch.full((1, 16, 32), 0.1, dtype=torch.float64)
    checkered = torch.from_numpy(0.1 * (-1.0) ** (rows + columns))[None]
    grey = torch.full_like(flat, 0.5)
    cost = {
        formula: [fft_term(change, torch.zeros_like(grey), formula=formula).item() for change in (flat, checkered)]
        for formula in ("paper", "released")
    }
    assert cost["paper"][1] == pytest.approx(3 * cost["paper"][0])
    assert cost["released"][1] == pytest.approx(cost["released"][0] / 3)


def test_spectra_do_not_grow_with_the_image() -> None:
    cost, released, error = [], [], []
    for size in ((32, 64), (64, 128), (128, 256)):
        p, t = (torch.from_numpy(noisy_frames(2, *size, seed=seed)) for seed in (0, 1))
        cost.append(fft_term(p, t).mean().item())
        released.append(fft_term(p, t, formula="released").mean().item())
        error.append((p - t).square().mean().sqrt().item())
    np.testing.assert_allclose(cost, cost[0], rtol=0.03)
    assert released[2] > 3.5 * released[0]
    assert all(c < 3 * e for c, e in zip(cost, error, strict=True))


def test_focal_gradient_never_rewards_a_larger_error() -> None:
    p = torch.from_numpy(noisy_frames(1, 8, 9, 0)).requires_grad_()
    t = torch.from_numpy(noisy_frames(1, 8, 9, 1))
    focal_term(p, t).sum().backward()
    error = (p - t).detach()
    assert p.grad is not None
    torch.testing.assert_close(p.grad, 2 * error / (error.abs().max() + 1e-8) / error[0].numel())


def test_reach_is_what_is_missing_to_black_and_white() -> None:
    assert reach_term(torch.tensor([[[0.25, 0.5]], [[0.5, 0.75]]])).tolist() == [0.5, 0.5]
    assert reach_term(torch.tensor([[[0.0, 1.0]]])).item() == 0


# -- frames are judged one by one ----------------------------------------------------------------------------------


def test_a_frames_loss_does_not_depend_on_the_others() -> None:
    p, t = (torch.from_numpy(noisy_frames(4, 10, 14, seed=seed)) for seed in (0, 1))
    together = frame_terms(p, t, ALL, features)
    among_others = frame_terms(torch.cat((p[:1], 0.5 * p[1:])), torch.cat((t[:1], t[1:] ** 2)), ALL, features)
    for name, term in together.items():
        alone = torch.cat([frame_terms(p[i : i + 1], t[i : i + 1], ALL, features)[name] for i in range(4)])
        torch.testing.assert_close(term, alone, rtol=1e-12, atol=1e-14, msg=name)
        torch.testing.assert_close(term[:1], among_others[name][:1], rtol=1e-12, atol=1e-14, msg=name)
    singly = [image_loss(p[i : i + 1], t[i : i + 1], ALL, features).total for i in range(4)]
    torch.testing.assert_close(image_loss(p, t, ALL, features).total, torch.stack(singly).mean())


def test_frames_without_a_target_do_not_count() -> None:
    p, t = (torch.from_numpy(noisy_frames(3, 10, 14, seed=seed)) for seed in (0, 1))
    t[1, 3, 4] = torch.nan
    p.requires_grad_()
    loss = image_loss(p, t, ALL, features)
    loss.total.backward()
    kept = image_loss(p.detach()[[0, 2]], t[[0, 2]], ALL, features)
    torch.testing.assert_close(loss.total.detach(), kept.total)
    assert {name: pytest.approx(term.item()) for name, term in loss.terms.items()} == {
        name: term.item() for name, term in kept.terms.items()
    }
    assert p.grad is not None
    assert not p.grad[1].any()
    assert p.grad[0].all()


@pytest.mark.parametrize("weights", [ImageLossWeights(), ImageLossWeights.legacy()], ids=["paper", "legacy"])
@pytest.mark.parametrize("n", [0, 2])
def test_no_target_at_all_costs_nothing(n: int, weights: ImageLossWeights) -> None:
    p = torch.rand(n, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = image_loss(p, torch.full((n, 8, 8), torch.nan), weights)
    loss.total.backward()
    assert loss.total.item() == 0
    assert set(loss.terms) == set(weights.active)
    assert p.grad is not None
    assert not p.grad.any()


# -- gradients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", [l1_term, fft_term, gradient_term, focal_term], ids=lambda term: term.__name__)
def test_gradient_of_a_term(term: Callable[[Tensor, Tensor], Tensor]) -> None:
    p, t = (torch.from_numpy(noisy_frames(2, 4, 6, seed=seed)) for seed in (0, 1))
    # The largest error is a constant of the focal term: here it is that of a pixel which is not varied.
    corner = torch.zeros_like(p)
    corner[:, 0, 0] = 4.0
    assert torch.autograd.gradcheck(lambda x: term(torch.where(corner > 0, corner, x), t), (p.requires_grad_(),))


def test_gradient_of_the_whole() -> None:
    p, t = (torch.from_numpy(noisy_frames(2, 8, 9, seed=seed)) for seed in (0, 1))
    weights = ImageLossWeights(focal=0, perceptual=1, gradient=1)
    assert torch.autograd.gradcheck(lambda x: image_loss(x, t, weights, features).total, (p.requires_grad_(),))
    legacy = ImageLossWeights.legacy()
    assert torch.autograd.gradcheck(lambda x: image_loss(x, t, legacy).total, (p,))


def test_half_precision_and_autocast_lose_nothing() -> None:
    p, t = (torch.from_numpy(some_frames(2, 16, 24, seed=seed)).float() for seed in (0, 1))
    expected = image_loss(p, t).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(image_loss(p, t).total, expected)
    assert image_loss(p.bfloat16(), t).total.dtype == torch.float32


@pytest.mark.parametrize("weights", [ALL, ImageLossWeights.legacy()], ids=["paper", "legacy"])
def test_nothing_is_read_back_from_the_device(weights: ImageLossWeights) -> None:
    # Tensors without values: to read one is an error.
    with FakeTensorMode():
        p, t = torch.empty(3, 8, 8, requires_grad=True), torch.empty(3, 8, 8)
        loss = image_loss(p, t, weights, features if weights.perceptual else None)
        loss.total.backward()
        with pytest.raises(Exception, match="_local_scalar_dense"):
            loss.total.item()


# -- the released code ---------------------------------------------------------------------------------------------


def released_total(p: np.ndarray, t: np.ndarray) -> float:
    """What the released code sums, on grey levels of 0..255, with its coefficients as they evaluate."""
    data_range = max(np.ptp(p), np.ptp(t))
    unlike = 1 - ssim_by_definition(p, t, data_range).mean()
    height, width = p.shape[1:]
    y, x = np.meshgrid(np.arange(height) - height // 2, np.arange(width) - width // 2, indexing="ij")
    distance = np.sqrt(y**2 + x**2)
    weight = 1 + 2 * distance / distance.max()
    spectra = np.abs(weight * np.abs(np.fft.fft2(p)) - weight * np.abs(np.fft.fft2(t))).mean()
    edges = np.abs(np.diff(p - t, axis=1)).mean() + np.abs(np.diff(p - t, axis=2)).mean()
    perceived = ((p[:, ::2, ::2] ** 2 - t[:, ::2, ::2] ** 2) ** 2).mean()
    return float(
        20000 * 0.6 / (255 * 128) * np.abs(p - t).mean()
        + 128 / 255 * 100 * 0.4 * unlike
        + 128 / 255 * 0.1 * unlike
        + perceived / (255 * 128 * 1000)
        + 40000 * 0.005 / (255 * 128) * 0.01 * spectra
        + 128 / 255 * 0.001 * edges
        + 0.01 * (max(p.min(), 0) + max(255 - p.max(), 0))
    )


@pytest.mark.parametrize("size", [(64, 128), (9, 12)], ids=str)
def test_legacy_is_the_sum_of_the_released_code(size: tuple[int, int]) -> None:
    p, t = 0.1 + 0.6 * noisy_frames(3, *size, seed=0), 0.2 + 0.7 * noisy_frames(3, *size, seed=1)
    found = image_loss(
        torch.from_numpy(p),
        torch.from_numpy(t),
        ImageLossWeights.legacy(perceptual=True),
        lambda frames: features(255 * frames),
    )
    assert found.total.item() == pytest.approx(released_total(255 * p, 255 * t), rel=1e-9)


def test_legacy_is_in_effect_l1_and_similarity_whatever_its_names_say() -> None:
    p, t = (torch.from_numpy(some_frames(3, seed=seed)) for seed in (0, 1))
    legacy = ImageLossWeights.legacy()
    found = image_loss(p, t, legacy)
    shares = {name: legacy.active[name] * value.item() / found.total.item() for name, value in found.terms.items()}
    assert shares["l1"] + shares["ssim"] > 0.98
    assert shares["fft"] < 0.02


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"l1": -1.0}, "the weight l1=-1.0", id="negative"),
        pytest.param({"fft": float("nan")}, "the weight fft=nan", id="NaN"),
        pytest.param({"focal": 0, "l1": 0, "fft": 0, "ssim": 0}, "every weight of the image loss is 0", id="none"),
        pytest.param({"formula": "legacy"}, "formula='legacy'", id="formula"),
    ],
)
def test_weights_without_sense_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        ImageLossWeights(**settings)  # type: ignore[arg-type]


def test_features_and_their_weight_come_together_or_not_at_all() -> None:
    frames = torch.zeros(1, 8, 8)
    with pytest.raises(ModelError, match="the weight is 1 and features are missing"):
        image_loss(frames, frames, ImageLossWeights(perceptual=1))
    with pytest.raises(ModelError, match="the weight is 0 and features are given"):
        image_loss(frames, frames, perceptual=features)
    with pytest.raises(ModelError, match="predicted frames have shape"):
        image_loss(frames, frames[0])
