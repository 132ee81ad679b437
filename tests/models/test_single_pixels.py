"""Strided convolutions of maps of one pixel: the same results, and gradients that bfloat16 does not spoil."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import Conv2dSame, ScaledStdConv2d
from torch import Tensor, nn

from models.layers import single_pixels
from models.layers.precision import has_bfloat16

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
    single_pixels.guard(guarded)
    assert guarded.state_dict().keys() == plain.state_dict().keys()
    for side in (1, 2, 5):
        x = torch.randn(2, plain.in_channels, side, side)
        assert torch.allclose(guarded(x), plain(x), atol=1e-6)
        assert guarded(x).shape == plain(x).shape


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this CPU does not compute in bfloat16")
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("batch", [8, 32])
def test_gradients_of_single_pixels_are_right_in_bfloat16(kind: str, batch: int) -> None:
    torch.manual_seed(0)
    layer = copy.deepcopy(LAYERS[kind]).to(memory_format=torch.channels_last)
    single_pixels.guard(layer)
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
