"""The image decoders: layout and size, pixels that never die, batch normalisation, and eight frames learned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.errors import ModelError
from poyodata.models.image_losses import image_loss
from poyodata.models.pixels import IMAGE_SIZES, unit_range
from poyodata.models.ssim import ssim
from poyodata.models.unet import UNetDecoder, make_decoder
from tests.models.pictures import some_frames

LAYOUTS = ("large", "small")


def some_latents(n: int, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(n), dtype=dtype)


# -- layout --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dim", "size", "count"),
    [
        pytest.param("unet", 1024, (128, 256), 9_299_937, id="published"),
        pytest.param("unet", 1024, (64, 128), 9_299_937 - 46_368, id="one sub-pixel stage less"),
        pytest.param("unet-small", 64, (64, 128), 728_481, id="small, dim 64"),
        pytest.param("unet-small", 512, (64, 128), 4_685_217, id="small, dim 512"),
        pytest.param("unet-small", 64, (128, 256), 728_481, id="small, resized"),
    ],
)
def test_number_of_parameters(name: str, dim: int, size: tuple[int, int], count: int) -> None:
    with torch.device("meta"):
        decoder = make_decoder(name, dim, size)  # type: ignore[arg-type]
    assert sum(p.numel() for p in decoder.parameters()) == count


def decoded_by_list(decoder: UNetDecoder, h: Tensor) -> Tensor:
    """The published list of steps, one after the other, in evaluation mode."""
    modules = dict(decoder.named_modules())

    def conv(x: Tensor, name: str) -> Tensor:
        weight, bias = modules[name].weight, modules[name].bias
        assert isinstance(weight, Tensor)
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)  # type: ignore[arg-type]

    def norm(x: Tensor, name: str) -> Tensor:
        found = modules[name]
        assert isinstance(found, nn.BatchNorm2d)
        mean, var = found.running_mean[:, None, None], found.running_var[:, None, None]  # type: ignore[index]
        x = (x - mean) / torch.sqrt(var + 1e-5) * found.weight[:, None, None] + found.bias[:, None, None]
        return torch.where(x > 0, x, 0.2 * x)

    def up(x: Tensor, name: str) -> Tensor:
        return norm(conv(bilinear(x, 2, 2), f"{name}.convolve"), f"{name}.normalise")

    def bilinear(x: Tensor, rows: int, columns: int) -> Tensor:
        size = (x.shape[2] * rows, x.shape[3] * columns)
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)

    level = modules["level"]
    assert isinstance(level, nn.BatchNorm1d)
    h = (h - level.running_mean) / torch.sqrt(level.running_var + 1e-5)  # type: ignore[operator]
    x = h[:, :, None, None]
    for i, channels in enumerate((128, 64, 32, 16)):
        side = 2 ** (i + 1)
        x = up(x, f"scales.{i}.enlarge")
        assert x.shape[1:] == (channels, side, side)
        project = modules[f"scales.{i}.project"]
        assert isinstance(project, nn.Linear)
        skip = (h @ project.weight.T + project.bias).reshape(len(h), channels, side, side)
        x = conv(torch.cat((x, skip), dim=1), f"scales.{i}.mix")
    x = up(x, "enlarge")
    assert x.shape[1:] == (32, 32, 32)
    if decoder.layout == "small":
        x = up(x, "refine")
        x = bilinear(x, decoder.size[0] // 64, decoder.size[1] // 64)
    else:
        for i in range(len(decoder.sharpen)):
            x = conv(x, f"sharpen.{i}.convolve")
            x = torch.einsum("ncabhw->nchawb", x.unflatten(1, (32, 2, 2))).flatten(4).flatten(2, 3)
            x = norm(x, f"sharpen.{i}.normalise")
            x = norm(conv(x, f"sharpen.{i}.refine.convolve"), f"sharpen.{i}.refine.normalise")
        x = norm(conv(bilinear(x, 1, 2), "refine.convolve"), "refine.normalise")
    return torch.sigmoid(conv(x, "head"))[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("size", IMAGE_SIZES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_answers_are_those_of_the_published_steps(layout: str, size: tuple[int, int]) -> None:
    decoder = UNetDecoder(5, size, layout=layout, seed=1).double()  # type: ignore[arg-type]
    latents = some_latents(2, 5, torch.float64)
    with torch.no_grad():
        decoder(latents)  # running averages that are not 0 and 1
        found, expected = decoder.eval()(latents), decoded_by_list(decoder, latents)
    assert found.shape == (2, *size)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_scale_reads_the_latent(layout: str) -> None:
    decoder = UNetDecoder(5, layout=layout, seed=1)  # type: ignore[arg-type]
    decoder(some_latents(4, 5)).square().sum().backward()
    for name, weight in decoder.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.isfinite().all()), name
        biased = name.endswith("convolve.bias")  # batch normalisation takes it away again
        assert biased or bool(weight.grad.flatten(1).any(dim=1).all() if weight.ndim > 1 else weight.grad.any()), name


def test_convolutions_start_as_xavier_has_them() -> None:
    decoder = UNetDecoder(512, (128, 256), layout="large")
    for name, module in decoder.named_modules():
        if isinstance(module, nn.Conv2d):
            fan = (module.in_channels + module.out_channels) * module.kernel_size[0] ** 2
            assert module.bias is not None
            assert not module.bias.any(), name
            assert module.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.15), name


# -- pixels --------------------------------------------------------------------------------------------------------


def test_every_pixel_gets_gradient_from_any_state_of_the_output() -> None:
    logits = torch.linspace(-80, 80, 321).requires_grad_()
    pixels = unit_range(logits)
    pixels.sum().backward()
    assert logits.grad is not None
    assert bool((logits.grad > 0).all())
    exact = logits.detach().double()
    torch.testing.assert_close(logits.grad.double(), torch.sigmoid(exact) * torch.sigmoid(-exact), rtol=1e-4, atol=0)
    torch.testing.assert_close(pixels.detach(), torch.sigmoid(logits.detach()))
    assert bool(((pixels >= 0) & (pixels <= 1)).all())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("state", [-60.0, -20.0, 0.0, 20.0, 60.0])
def test_no_pixel_of_a_decoder_is_dead(layout: str, state: float) -> None:
    decoder = UNetDecoder(5, layout=layout, seed=1)  # type: ignore[arg-type]
    assert decoder.head.bias is not None
    nn.init.constant_(decoder.head.bias, state)
    logits = decoder.logits(some_latents(2, 5)).detach().requires_grad_()
    image_loss(unit_range(logits), torch.full_like(logits, 0.5)).total.backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert bool(logits.grad.all())
    released = logits.detach().clone().requires_grad_()
    torch.tanh(released).clamp(0, 1).sum().backward()
    assert released.grad is not None
    assert state > 0 or float((released.grad == 0).float().mean()) > 0.3  # what a dead pixel looks like


def test_a_decoder_wrongly_black_comes_back() -> None:
    decoder = UNetDecoder(5, seed=1)
    assert decoder.head.bias is not None
    nn.init.constant_(decoder.head.bias, -12.0)
    optimiser = torch.optim.Adam([decoder.head.bias], lr=0.5)
    latents, target = some_latents(2, 5), torch.full((2, 64, 128), 0.5)
    with torch.no_grad():
        features = decoder.logits(latents)
    first = (unit_range(features) - target).abs().mean()
    for _ in range(40):
        shifted = features + (decoder.head.bias + 12.0)
        loss = image_loss(unit_range(shifted), target).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float((unit_range(shifted.detach()) - target).abs().mean()) < 0.7 * float(first)


@pytest.mark.slow
def test_gradient() -> None:
    logits = torch.tensor([-3.0, -0.5, 0.25, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_range, (logits,))
    latents = some_latents(2, 2, torch.float64).requires_grad_()
    for layout, training in (("small", True), ("large", False)):
        decoder = UNetDecoder(2, layout=layout, seed=1).double().train(training)  # type: ignore[arg-type]
        for module in decoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0  # the same function every time it is asked
        decoder.requires_grad_(False)
        assert torch.autograd.gradcheck(lambda x, decoder=decoder: decoder(x).square().mean(), (latents,)), layout


@pytest.mark.parametrize("name", ["unet", "unet-small", "mlp"])
def test_answers_are_float32_between_0_and_1(name: str) -> None:
    decoder = make_decoder(name, 5)  # type: ignore[arg-type]
    wild = 1e3 * some_latents(3, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pictures = decoder(wild)
    for found in (pictures, decoder(wild)):
        assert found.shape == (3, 64, 128)
        assert found.dtype == torch.float32
        assert bool(((found >= 0) & (found <= 1)).all())


# -- batch normalisation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_of_one_trains(layout: str) -> None:
    decoder = UNetDecoder(5, layout=layout, seed=1)  # type: ignore[arg-type]
    one, other = some_latents(1, 5), some_latents(2, 5)[1:]
    assert float((decoder(one) - decoder(other)).detach().abs().mean()) > 0.01  # normalised, and still an answer
    image_loss(decoder(one), torch.full((1, 64, 128), 0.3)).total.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in decoder.parameters())
    assert all(bool(buffer.isfinite().all()) for buffer in decoder.buffers())


def test_what_all_windows_share_is_taken_away_first() -> None:
    latents = some_latents(6, 5)
    shared = 100 + 0.01 * latents
    for level, alike in ((True, True), (False, False)):
        decoder = make_decoder("unet-small", 5, level=level, seed=1)
        far = float((decoder(latents) - decoder(shared)).detach().abs().mean())
        assert (far < 0.02) is alike, (level, far)


def test_an_empty_batch_leaves_the_averages_alone() -> None:
    decoder = UNetDecoder(5)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    assert decoder(torch.zeros(0, 5)).shape == (0, 64, 128)
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())


def test_an_answer_depends_on_its_own_window_alone_but_in_training() -> None:
    decoder = UNetDecoder(5, seed=1).double()
    latents = some_latents(4, 5, torch.float64)
    together, alone = decoder(latents)[:1], decoder(latents[:1])
    assert float((together - alone).detach().abs().max()) > 1e-3
    decoder.eval()
    torch.testing.assert_close(decoder(latents)[:1], decoder(latents[:1]))


def test_frozen_statistics_do_not_move_and_weights_do() -> None:
    decoder = UNetDecoder(5, seed=1).double()
    latents = some_latents(4, 5, torch.float64)
    decoder(latents)
    before = {name: value.clone() for name, value in decoder.named_buffers()}
    decoder.freeze_statistics().train()
    torch.testing.assert_close(decoder(latents)[:1], decoder(latents[:1]))
    decoder(latents).sum().backward()
    assert decoder.head.weight.grad is not None
    assert all(torch.equal(value, before[name]) for name, value in decoder.named_buffers())
    decoder.freeze_statistics(False)
    decoder(latents)
    assert not torch.equal(decoder.enlarge.normalise.running_mean, before["enlarge.normalise.running_mean"])  # type: ignore[arg-type]


def test_statistics_can_be_shared_between_processes() -> None:
    decoder = UNetDecoder(5)
    names = set(decoder.state_dict())
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(decoder)
    assert set(shared.state_dict()) == names
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in shared.modules()) == 7
    assert not any(type(module) is nn.BatchNorm2d for module in shared.modules())


# -- making --------------------------------------------------------------------------------------------------------


def test_seed_decides_the_weights_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    one, same, other = (make_decoder("unet-small", 8, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_made_or_read_is_refused() -> None:
    with pytest.raises(ModelError, match=r"there is no image decoder 'unet-smal'; .*'unet-small'"):
        make_decoder("unet-smal", 8)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"image size \(32, 64\) arrived"):
        make_decoder("unet", 8, (32, 64))
    with pytest.raises(ModelError, match="no UNet layout 'tall'"):
        UNetDecoder(8, layout="tall")  # type: ignore[arg-type]
    for shape in ((2, 9), (8,), (2, 1, 8)):
        with pytest.raises(ModelError, match=r"expected|reads one vector per image, \(batch, 8\)"):
            UNetDecoder(8)(torch.zeros(shape))


# -- learning ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_eight_frames_are_learned_in_training_and_in_evaluation() -> None:
    target = torch.from_numpy(some_frames(8)).float()
    decoder, latents = UNetDecoder(64, seed=1), some_latents(8, 64)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    losses = []
    for _ in range(50):
        loss = image_loss(decoder(latents), target).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]
    mean_frame = target.mean(dim=0).expand_as(target)
    with torch.no_grad():
        decoded = decoder.eval()(latents)
    assert float(ssim(decoded, target).mean()) > 0.7 > float(ssim(mean_frame, target).mean())
    assert float((decoded - target).abs().mean()) < 0.25 * float((mean_frame - target).abs().mean())
    nearest = torch.cdist(decoded.flatten(1), target.flatten(1)).argmin(dim=1)
    assert nearest.tolist() == list(range(8))
