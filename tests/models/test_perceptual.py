"""AlexNet's features: the convolutions by definition, and no file but AlexNet's weights is taken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from poyodata.errors import ModelError
from poyodata.models.image_losses import perceptual_term
from poyodata.models.perceptual import AlexNetFeatures
from tests.models.pictures import noisy_frames

SHAPES = {
    "features.0.weight": (64, 3, 11, 11),
    "features.0.bias": (64,),
    "features.3.weight": (192, 64, 5, 5),
    "features.3.bias": (192,),
}


def some_weights() -> dict[str, torch.Tensor]:
    """Random ones, with two of the layers that the features do not use."""
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return {**state, "features.6.weight": torch.zeros(384, 192, 3, 3), "classifier.6.bias": torch.zeros(1000)}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "alexnet.pth"
    torch.save(some_weights(), path)
    return path


def convolution(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2)))
    patches = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("cyxij,ocij->oyx", patches, weight, optimize=True) + bias[:, None, None]


def features_by_definition(frame: np.ndarray, white: float) -> np.ndarray:
    state = {name: value.numpy().astype(np.float64) for name, value in some_weights().items()}
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = (white * frame[None] - mean[:, None, None]) / std[:, None, None]
    x = np.maximum(convolution(x, state["features.0.weight"], state["features.0.bias"], stride=4), 0)
    x = sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))
    return convolution(x, state["features.3.weight"], state["features.3.bias"], stride=1)


@pytest.mark.parametrize("white", [1.0, 255.0], ids=["0..1", "0..255, as released"])
def test_features_are_those_of_the_definition(weights: Path, white: float) -> None:
    frames, others = noisy_frames(2, 37, 45, 0), noisy_frames(2, 37, 45, 1)
    features = AlexNetFeatures(weights, white=white).to(torch.float64)
    expected = [np.stack([features_by_definition(frame, white) for frame in x]) for x in (frames, others)]
    # Mean and deviation of the channels are kept in single precision.
    found = features(torch.from_numpy(frames))
    np.testing.assert_allclose(found.numpy(), expected[0], rtol=1e-5, atol=1e-6 * np.abs(expected[0]).max())
    found = perceptual_term(torch.from_numpy(frames), torch.from_numpy(others), features)
    np.testing.assert_allclose(found.numpy(), ((expected[0] - expected[1]) ** 2).mean((1, 2, 3)), rtol=1e-5)


def test_features_are_frozen_and_leave_no_trace_in_a_checkpoint(weights: Path) -> None:
    features = AlexNetFeatures(weights)
    assert not list(features.parameters())
    assert not features.state_dict()
    assert features.digest == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert {buffer.dtype for buffer in features.double().buffers()} == {torch.float64}


def test_gradient_reaches_the_prediction_alone(weights: Path) -> None:
    features = AlexNetFeatures(weights).double()
    p, t = (torch.from_numpy(noisy_frames(1, 31, 33, seed)).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(lambda frames: perceptual_term(frames, t.detach(), features), (p,), fast_mode=True)
    perceptual_term(p, t, features).sum().backward()
    assert p.grad is not None
    assert t.grad is None


def test_frames_too_small_are_refused(weights: Path) -> None:
    with pytest.raises(ModelError, match="at least 31x31"):
        AlexNetFeatures(weights)(torch.zeros(1, 30, 64))


class _Caller:
    """Calls when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return Path.touch, (Path("called"),)  # type: ignore[return-value]


def _changed(**changes: Any) -> dict[str, Any]:
    return {**some_weights(), **{name.replace("_", ".", 2): value for name, value in changes.items()}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"no archive", r"holds no weights \(UnpicklingError\)", id="no archive"),
        pytest.param(b"", r"holds no weights \(EOFError\)", id="empty"),
        pytest.param([torch.zeros(2)], "holds a list, no weights by name", id="list"),
        pytest.param({}, r"no 'features.0.weight' \(it has nothing", id="nothing"),
        pytest.param({"conv1": torch.zeros(2)}, r"no 'features.0.weight' \(it has conv1", id="another network"),
        pytest.param(
            _changed(features_3_weight=torch.zeros(128, 64, 5, 5)),
            r"features.3.weight is torch.float32 \(128, 64, 5, 5\), expected floating \(192, 64, 5, 5\)",
            id="shape",
        ),
        pytest.param(_changed(features_0_bias=torch.zeros(64).long()), "is torch.int64", id="integers"),
        pytest.param(_changed(features_0_bias="none"), "features.0.bias is str", id="text"),
        pytest.param(_changed(features_3_bias=torch.full((192,), torch.nan)), "NaN or infinity", id="NaN"),
        pytest.param({"features.0.weight": _Caller()}, r"holds no weights \(UnpicklingError\)", id="code"),
    ],
)
def test_another_file_is_refused(content: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ModelError, match=said) as refused:
        AlexNetFeatures(path)
    assert str(path) in str(refused.value)
    assert not (tmp_path / "called").exists()


def test_a_missing_file_and_a_wrong_digest_are_refused(weights: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no file .* AlexNet"):
        AlexNetFeatures(weights.with_name("absent.pth"))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    right = weights.rename(weights.with_name(f"alexnet-owt-{digest[:8]}.pth"))
    AlexNetFeatures(right)
    wrong = right.rename(right.with_name("alexnet-owt-7be5be79.pth"))
    with pytest.raises(ModelError, match=r"promises a digest of 7be5be79\.\.\., it has " + digest[:8]):
        AlexNetFeatures(wrong)
