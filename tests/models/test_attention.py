"""Attention in pieces is attention to the whole, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from poyodata.models import attention
from poyodata.models.attention import Context, attend
from poyodata.models.config import PoyoConfig
from poyodata.models.perceiver import CrossAttention, rotation
from poyodata.models.poyo import PoyoPlus

B, MOMENTS, ROWS, DIM, HEADS, CHANNELS = 3, 7, 4, 10, 2, 8
A_MOMENT = 2 * ROWS * B * HEADS * CHANNELS * 4  # bytes of keys and values

Mask = Callable[[], Tensor | None]


def no_window_two() -> Tensor:
    mask = torch.rand(B, MOMENTS, ROWS, generator=torch.Generator().manual_seed(3)) > 0.4
    mask[1] = False
    return mask


def late_windows() -> Tensor:
    mask = torch.ones(B, MOMENTS, ROWS, dtype=torch.bool)
    mask[0, :4] = False
    mask[2, 5:] = False
    return mask


MASKS = [
    pytest.param(lambda: None, id="no mask"),
    pytest.param(lambda: torch.ones(B, MOMENTS, ROWS, dtype=torch.bool), id="all there"),
    pytest.param(no_window_two, id="a window of nothing"),
    pytest.param(late_windows, id="nothing in a piece"),
]


def layer_of(dtype: torch.dtype = torch.float32, **changes: float) -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(12, DIM, HEADS, CHANNELS, **{"dropout": 0.0, **changes}, rotate_values=True).to(dtype)


def asked(layer: CrossAttention, query: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
    times = [rotation(torch.arange(n) * 0.3, CHANNELS, 0.3, 4.0) for n in (query.shape[1], MOMENTS)]
    times = [type(each)(each.cos.to(query), each.sin.to(query)) for each in times]
    return layer(query, Context.of(context), *times, mask)


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    query = torch.randn(B, 5, 12, generator=draws, dtype=dtype)
    return query.requires_grad_(), torch.randn(B, MOMENTS, ROWS, DIM, generator=draws, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("moments", [1, 3, 6], ids=lambda n: f"{n} moments a piece")
def test_pieces_make_the_whole(mask: Mask, moments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, (query, context) = layer_of(), inputs()
    leaves = (query, context, *layer.parameters())
    found = []
    for limit in (A_MOMENT * MOMENTS, A_MOMENT * moments):
        monkeypatch.setattr(attention, "PIECE_BYTES", limit)
        taken = asked(layer, query, context, mask())
        weight = torch.randn(taken.shape, generator=torch.Generator().manual_seed(2))
        found.append((taken, *torch.autograd.grad((taken * weight).sum(), leaves)))
    for whole, pieces in zip(*found, strict=True):
        assert whole.isfinite().all()
        torch.testing.assert_close(pieces, whole, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("mask", MASKS)
def test_gradients_are_those_of_differences(mask: Mask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 2 * A_MOMENT)
    layer, (query, context) = layer_of(torch.float64), inputs(torch.float64)
    assert torch.autograd.gradcheck(lambda q, c: asked(layer, q, c, mask()), (query, context), fast_mode=True)


def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of the keys and values of every call."""
    calls: list[int] = []
    projected = CrossAttention._projected

    def spy(*args: object) -> object:
        context, keys_values = projected(*args)  # type: ignore[arg-type]

        def counted(at: slice, *parts: Tensor) -> tuple[Tensor, Tensor]:
            k, v = keys_values(at, *parts)
            calls.append(k.nbytes + v.nbytes)
            return k, v

        return context, counted

    monkeypatch.setattr(CrossAttention, "_projected", spy)
    return calls


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(A_MOMENT * MOMENTS, [7], id="all fit"),
        pytest.param(A_MOMENT * MOMENTS - 1, [4, 3], id="all but fit"),
        pytest.param(A_MOMENT * 3, [3, 3, 1], id="three at a time"),
        pytest.param(1, [1] * 7, id="not one fits"),
    ],
)
def test_no_more_is_there_at_a_time(limit: int, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", limit)
    calls = spied(monkeypatch)
    taken = asked(layer_of(), *inputs(), None)
    assert [each // A_MOMENT for each in calls] == expected
    taken.sum().backward()
    again = expected if len(expected) > 1 else []
    assert [each // A_MOMENT for each in calls] == [*expected, *again]


@pytest.mark.parametrize("why", ["dropout", "autocast", "bfloat16"])
def test_what_the_kernel_cannot_is_attended_to_as_a_whole(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    calls = spied(monkeypatch)
    dtype = torch.bfloat16 if why == "bfloat16" else torch.float32
    layer = layer_of(dtype, dropout=0.2 if why == "dropout" else 0.0)
    with torch.autocast("cpu", torch.bfloat16, enabled=why == "autocast"):
        asked(layer, *inputs(dtype), None).float().sum().backward()
    assert len(calls) == 1


def test_dropout_is_off_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    calls = spied(monkeypatch)
    asked(layer_of(dropout=0.2).eval(), *inputs(), None)
    assert len(calls) == MOMENTS


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"tokens": "paper"}, id="paper"),
        pytest.param({"tokens": "paper", "features": ("cre_line", "depth")}, id="paper with features"),
        pytest.param({"tokens": "gated", "patch_frames": 3, "features": ("cre_line",)}, id="gated"),
        pytest.param({"tokens": "patched", "patch_frames": 3, "features": ("depth",)}, id="patched"),
        pytest.param({"layout": "legacy", "tokens": "paper"}, id="legacy"),
    ],
)
@pytest.mark.parametrize("frozen", [False, True], ids=["training", "identifying"])
def test_every_weight_of_the_model_gets_its_gradient(
    changes: dict[str, object], frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PoyoConfig.named("poyo-tiny", window_frames=12, rate_hz=12.0, attention_dropout=0.0, **changes)
    model = PoyoPlus(config, ["a:0", "a:1", "a:2"], ["a"]).eval()
    if frozen:
        model.identify_only()
    batch = {
        "values": torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(0)),
        "neuron_index": torch.tensor([[1, 2, 3], [2, 0, 0]]),
        "neuron_mask": torch.tensor([[True, True, True], [True, False, False]]),
        "session_index": torch.zeros(2, dtype=torch.int64),
        "neuron_cre_line": torch.tensor([[1, 0, -1], [0, -1, -1]]),
        "neuron_depth_um": torch.tensor([[100.0, 400.0, float("nan")], [400.0, 0.0, 0.0]]),
    }
    found = []
    for limit in (2**30, 1):
        monkeypatch.setattr(attention, "PIECE_BYTES", limit)
        model.zero_grad()
        sum((answer**2).sum() for answer in model(batch).values()).backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert "units" in found[1] and ("perceiver.read.to_kv.weight" in found[1]) is not frozen
    for name, whole in found[0].items():
        torch.testing.assert_close(found[1][name], whole, atol=1e-5, rtol=1e-3, msg=lambda said, n=name: f"{n}: {said}")


def test_nothing_is_kept_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    with torch.no_grad():
        assert not asked(layer_of(), *inputs(), None).requires_grad


def test_attend_takes_any_keys_and_values() -> None:
    q, x = torch.randn(2, 1, 3, 8), torch.randn(2, 4, 5, 8)
    found = attend(q, Context.of(x), lambda at, x: (x[:, at].flatten(1, 2)[:, None],) * 2, None)
    flat = x.flatten(1, 2)
    expected = torch.softmax(q[:, 0] @ flat.transpose(1, 2) / 8**0.5, dim=-1) @ flat
    torch.testing.assert_close(found[:, 0], expected)
