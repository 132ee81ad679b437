"""Strided convolutions: guarded ones compute the same, and bfloat16 spoils neither results nor gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import Conv2dSame, ScaledStdConv2d
from torch import Tensor, nn

import models
from models.layers.convolutions import InFloat32, guard
from models.layers.precision import has_bfloat16

in_bfloat16 = pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this CPU does not compute in bfloat16")

LAYERS = {
    "dense": nn.Conv2d(48, 48, 3, stride=2, padding=1, bias=False),
    "groups and bias": nn.Conv2d(48, 96, 3, stride=2, padding=1, groups=4),
    "depthwise": nn.Conv2d(256, 256, 3, stride=2, padding=1, groups=256),
    "5x5": nn.Conv2d(48, 48, 5, stride=2, padding=2),
    "same padding": Conv2dSame(48, 48, 3, stride=2),
    "depthwise, same padding": Conv2dSame(256, 256, 3, stride=2, groups=256),
    "standardised weights": ScaledStdConv2d(48, 48, 3, stride=2, padding=1),
    "no padding": nn.Conv2d(48, 48, 1, stride=2),
}


@pytest.mark.parametrize("kind", LAYERS)
@torch.no_grad()
def test_the_guarded_layer_computes_the_same(kind: str) -> None:
    plain = LAYERS[kind]
    guarded = copy.deepcopy(plain)
    guard(guarded)
    assert guarded.state_dict().keys() == plain.state_dict().keys()
    for side in (1, 2, 5):
        x = torch.randn(2, plain.in_channels, side, side)
        assert torch.allclose(guarded(x), plain(x), atol=1e-6)
        assert guarded(x).shape == plain(x).shape


@in_bfloat16
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("batch", [8, 32])
def test_gradients_of_single_pixels_are_right_in_bfloat16(kind: str, batch: int) -> None:
    torch.manual_seed(0)
    layer = copy.deepcopy(LAYERS[kind]).to(memory_format=torch.channels_last)
    guard(layer)
    x = torch.randn(batch, layer.in_channels, 1, 1).to(memory_format=torch.channels_last)

    def gradient(bfloat16: bool) -> Tensor:
        remains = [torch.full((1 << size,), torch.nan) for size in (10, 14, 18) for _ in range(20)]
        del remains  # freed memory holds nothing that a computation may read
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            y = layer(x)
        return torch.autograd.grad(y.float().square().sum(), layer.weight)[0]

    exact = gradient(bfloat16=False)
    for _ in range(5):
        assert (gradient(bfloat16=True) - exact).abs().max() < 0.05 * exact.abs().max()


def run(layer: nn.Conv2d, images: Tensor, bfloat16: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Result, and the gradients of images and weights of a weighted sum of it."""
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        result = layer(images).float()
    weights = torch.linspace(-1, 1, result.numel()).view_as(result)
    return result, *torch.autograd.grad((result * weights).sum(), [images, layer.weight])


@in_bfloat16
@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("channels", [3, 8, 16, 24, 32])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(2, 2, 0), (4, 4, 0), (7, 7, 0), (8, 8, 0), (14, 14, 0), (16, 16, 0), (8, 4, 0), (4, 8, 0), (3, 2, 1), (7, 4, 3)],
)
def test_strided_convolutions_are_right(kernel: int, stride: int, padding: int, channels: int, side: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 96, kernel, stride, padding).to(memory_format=torch.channels_last)
    guard(layer)
    images = torch.randn(2, channels, *[max(side * stride, kernel - 2 * padding)] * 2)
    for exact, low in zip(run(layer, images, False), run(layer, images, True), strict=True):
        assert low.shape == exact.shape and (low - exact).norm() < 0.02 * exact.norm()


def test_a_layer_stays_a_convolution_with_its_keys_in_float32_too() -> None:
    layer = nn.Conv2d(16, 8, 4, 4)
    keys, expected = list(layer.state_dict()), layer(torch.ones(1, 16, 8, 8))
    guard(layer)
    assert isinstance(layer, nn.Conv2d) and list(layer.state_dict()) == keys
    assert torch.equal(layer(torch.ones(1, 16, 8, 8)), expected) and torch.equal(
        copy.deepcopy(layer)(torch.ones(1, 16, 8, 8)), expected
    )
    low = copy.deepcopy(layer).bfloat16()(torch.ones(1, 16, 8, 8, dtype=torch.bfloat16))  # as an engine rounds it
    assert low.dtype == torch.bfloat16 and (low - expected).abs().max() < 0.05


def test_every_model_that_is_built_is_guarded() -> None:
    """visformer_tiny has such a layer; a file that a user adds to models/ may have one."""
    model = models.build("timm", architecture="visformer_tiny", image_size=32)
    assert sum(isinstance(layer, InFloat32) for layer in model.modules()) == 1
