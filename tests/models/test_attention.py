"""Attention in pieces is attention to the whole, forwards and backwards."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from poyodata.errors import ModelError
from poyodata.models import attention
from poyodata.models.attention import Context, attend
from poyodata.models.config import PoyoConfig
from poyodata.models.perceiver import CrossAttention, Rotation, rotation
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


def times_of(query: Tensor) -> list[Rotation]:
    times = [rotation(torch.arange(n) * 0.3, CHANNELS, 0.3, 4.0) for n in (query.shape[1], MOMENTS)]
    return [Rotation(each.cos.to(query), each.sin.to(query)) for each in times]


def asked(layer: CrossAttention, query: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
    return layer(query, Context.of(context), *times_of(query), mask)


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


KeepWatch = Callable[[Tensor, Tensor], None]


def watch(monkeypatch: pytest.MonkeyPatch, seen: KeepWatch) -> None:
    """Show all keys and values as they are made."""
    projected = CrossAttention._projected

    def spy(*args: object) -> object:
        context, keys_values = projected(*args)  # type: ignore[arg-type]

        def watched(at: slice, *parts: Tensor) -> tuple[Tensor, Tensor]:
            k, v = keys_values(at, *parts)
            seen(k, v)
            return k, v

        return context, watched

    monkeypatch.setattr(CrossAttention, "_projected", spy)


def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of the keys and values of every call."""
    calls: list[int] = []
    watch(monkeypatch, lambda k, v: calls.append(k.nbytes + v.nbytes))
    return calls


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(A_MOMENT * MOMENTS, [7], id="all fit"),
        pytest.param(A_MOMENT * MOMENTS - 1, [4, 3], id="all but fit"),
        pytest.param(A_MOMENT * 3, [3, 3, 1], id="three at a time"),
        pytest.param(A_MOMENT * 2 - 1, [1] * 7, id="two but fit"),
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


@pytest.mark.parametrize("gradients", [True, False], ids=["training", "answering"])
def test_keys_and_values_are_let_go_at_once(gradients: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    there: list[weakref.ref[Tensor]] = []

    def seen(k: Tensor, v: Tensor) -> None:
        assert sum(each() is not None for each in there) <= 2  # the piece before, until its names are taken
        there.extend((weakref.ref(k), weakref.ref(v)))

    watch(monkeypatch, seen)
    with torch.set_grad_enabled(gradients):
        taken = asked(layer_of(), *inputs(), None)
    assert len(there) == 2 * MOMENTS and not any(each() is not None for each in there)
    assert taken.requires_grad is gradients
    if gradients:
        taken.sum().backward()
        assert len(there) == 4 * MOMENTS and not any(each() is not None for each in there)


def test_windows_of_many_neurons_are_cut_as_shipped() -> None:
    """What the encoder keeps for the gradient: tokens alone are 47 MB here, keys and values 93."""
    config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0)
    model, n = PoyoPlus(config, [f"n{i}" for i in range(200)], ["a"]), 8
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        model.encode({"values": torch.zeros(n, 200, 57), "neuron_index": torch.arange(1, 201).repeat(n, 1)})
    assert sum(kept.values()) < 25e6


def test_a_gradient_s_gradient_is_refused_or_right(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, (query, context) = layer_of(torch.float64), inputs(torch.float64)

    def second(limit: int) -> Tensor:
        monkeypatch.setattr(attention, "PIECE_BYTES", limit)
        (first,) = torch.autograd.grad(asked(layer, query, context, None).square().sum(), context, create_graph=True)
        return torch.autograd.grad(first.square().sum(), context)[0]

    with pytest.raises(ModelError, match=r"gradient of a gradient.*SDPBackend\.MATH"):
        second(1)
    with sdpa_kernel(SDPBackend.MATH):
        torch.testing.assert_close(second(1), second(2**30))


def test_function_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    layer, (query, context) = layer_of(), inputs()
    found = torch.func.grad(lambda c: asked(layer, query, c, None).square().sum())(context.detach())
    (expected,) = torch.autograd.grad(asked(layer, query, context, None).square().sum(), context)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_gradients_may_be_asked_for_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    layer, (query, context) = layer_of(), inputs()
    (expected,) = torch.autograd.grad(asked(layer, query, context, None).sum(), context)
    taken = asked(layer, query, context, None).sum()
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(taken, context)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)  # of the other layers under autocast


def test_compilers_are_given_the_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    layer, (query, context) = layer_of(), inputs()
    times = times_of(query)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        compiled(query, Context.of(context), *times), asked(layer, query, context, None), atol=2e-6, rtol=1e-4
    )


def test_masks_are_where_the_numbers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", 1)
    layer, (query, context) = layer_of(), inputs()
    times = times_of(query)
    expected = layer(query, Context.of(context), *times, late_windows())
    mask = late_windows()
    torch.set_default_device("meta")
    try:
        found = layer(query, Context.of(context), *times, mask)
    finally:
        torch.set_default_device(None)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("limit", [1, 2**30], ids=["pieces", "whole"])
@pytest.mark.parametrize("strided", [False, True], ids=["beside each other", "strided"])
def test_attend_takes_any_keys_and_values(limit: int, strided: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PIECE_BYTES", limit)
    q, x = torch.randn(2, 1, 3, 8), torch.randn(2, 4, 5, 8)
    if strided:
        q, x = (each.transpose(-1, -2).contiguous().transpose(-1, -2) for each in (q, x))
    found = attend(q, Context.of(x), lambda at, x: (x[:, at].flatten(1, 2)[:, None],) * 2, None)
    flat = x.flatten(1, 2)
    expected = torch.softmax(q[:, 0] @ flat.transpose(1, 2) / 8**0.5, dim=-1) @ flat
    torch.testing.assert_close(found[:, 0], expected)
