"""Structural similarity and signal-to-noise ratio: by definition, as a kept library has them, and as a loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from poyodata.errors import ModelError
from poyodata.models.ssim import psnr, ssim
from tests.models.pictures import noisy_frames, some_frames, ssim_by_definition

PAIRS = [
    pytest.param(noisy_frames(3, 64, 128, 0), noisy_frames(3, 64, 128, 1), id="unrelated"),
    pytest.param(some_frames(3), np.clip(some_frames(3) + 0.05 * noisy_frames(3, 64, 128, 1), 0, 1), id="nearly equal"),
    pytest.param(some_frames(2), 1 - some_frames(2), id="negative"),
    pytest.param(np.zeros((1, 16, 24)), np.ones((1, 16, 24)), id="black and white"),
    pytest.param(noisy_frames(2, 17, 11, 2), noisy_frames(2, 17, 11, 3), id="odd sizes"),
    pytest.param(noisy_frames(1, 6, 6, 2), noisy_frames(1, 6, 6, 3), id="smallest"),
]


@pytest.mark.parametrize(("prediction", "target"), PAIRS)
def test_similarity_is_that_of_the_definition(prediction: np.ndarray, target: np.ndarray) -> None:
    expected = ssim_by_definition(prediction, target)
    p, t = torch.from_numpy(prediction), torch.from_numpy(target)
    np.testing.assert_allclose(ssim(p, t).numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ssim(p.float(), t.float()).numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(ssim(255 * p, 255 * t, data_range=255).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_similarity_and_noise_are_those_of_torchmetrics() -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    target = torch.from_numpy(some_frames(4)).float()
    prediction = (target + 0.1 * torch.from_numpy(noisy_frames(4, 64, 128, 1)).float()).clamp(0, 1)
    kept = structural_similarity_index_measure(prediction[:, None], target[:, None], data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(prediction, target), kept, rtol=0, atol=1e-5)
    kept = peak_signal_noise_ratio(prediction, target, data_range=1.0, dim=(1, 2), reduction="none")
    torch.testing.assert_close(psnr(prediction, target), kept)


def test_noise_is_that_of_the_definition() -> None:
    target = some_frames(3)
    prediction = np.clip(target + np.array([0.01, 0.1, 0.0])[:, None, None] * noisy_frames(3, 64, 128, 1), 0, 1)
    with np.errstate(divide="ignore"):
        expected = 20 * np.log10(1 / np.sqrt(((prediction - target) ** 2).mean((1, 2))))
    found = psnr(torch.from_numpy(prediction), torch.from_numpy(target)).numpy()
    np.testing.assert_allclose(found, expected)
    assert np.isposinf(found[2])
    assert psnr(torch.zeros(1, 4, 4), torch.full((1, 4, 4), 255.0), data_range=255).item() == 0


def test_a_frame_does_not_see_the_others() -> None:
    p, t = (torch.from_numpy(noisy_frames(5, 16, 24, seed)) for seed in (0, 1))
    alone = torch.cat([ssim(p[i : i + 1], t[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(ssim(p, t), alone, rtol=1e-12, atol=1e-12)
    assert ssim(p[:0], t[:0]).shape == psnr(p[:0], t[:0]).shape == (0,)


def test_gradient() -> None:
    p, t = (torch.from_numpy(noisy_frames(2, 8, 9, seed)) for seed in (0, 1))
    assert torch.autograd.gradcheck(lambda frames: ssim(frames, t), (p.requires_grad_(),))
    equal = t.clone().requires_grad_()
    ssim(equal, t).sum().backward()
    assert equal.grad is not None
    assert float(equal.grad.abs().max()) < 1e-9  # equal frames are a maximum, also where they are flat


def test_half_precision_loses_nothing() -> None:
    p, t = (torch.from_numpy(some_frames(2, seed=seed)).float() for seed in (0, 1))
    expected = ssim(p, t)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ssim(p, t), expected)
    narrow = p.bfloat16()
    assert torch.equal(ssim(narrow, t), ssim(narrow.float(), t))
    assert ssim(narrow, t.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("prediction", "target", "said"),
    [
        pytest.param(torch.zeros(2, 8, 8), torch.zeros(2, 8, 9), r"\(2, 8, 8\) and targets \(2, 8, 9\)", id="shapes"),
        pytest.param(torch.zeros(8, 8), torch.zeros(8, 8), r"expected the same \(n, height, width\)", id="no batch"),
        pytest.param(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8).byte(), "divide grey levels by 255", id="integers"),
    ],
)
def test_what_are_no_frames_is_refused(prediction: torch.Tensor, target: torch.Tensor, said: str) -> None:
    for measure in (ssim, psnr):
        with pytest.raises(ModelError, match=said):
            measure(prediction, target)


def test_frames_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ModelError, match=r"5x8 pixels arrived; .* needs 6x6 at least"):
        ssim(torch.zeros(1, 5, 8), torch.zeros(1, 5, 8))
