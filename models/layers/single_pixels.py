"""Strided convolutions of maps of one pixel, whose gradients oneDNN gets wrong in bfloat16."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


def guard(model: nn.Module) -> None:
    """Let each strided convolution of the model read a single pixel as the corner of an empty map of 2x2.

    The result is the same, but from a single pixel oneDNN (torch 2.14) computes the gradient of the weights of 3x3
    kernels with uninitialised memory, whatever their groups. Hooks keep layers, keys, and weights that a layer
    standardises in its forward pass. Convolutions with timm's "same" padding pad the pixel themselves and are right.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and min(layer.stride) > 1 and _is_centred(layer):
            layer.register_forward_pre_hook(_spread)


def _is_centred(layer: nn.Conv2d) -> bool:
    """Whether a single pixel meets the kernel's centre and no other of its values."""
    sizes = layer.kernel_size
    return all(size % 2 == 1 and size > 1 for size in sizes) and layer.padding == tuple(size // 2 for size in sizes)


def _spread(layer: nn.Module, inputs: tuple[Any, ...]) -> Tensor | None:
    [x] = inputs
    return F.pad(x, (0, 1, 0, 1)) if x.shape[-2:] == (1, 1) else None  # (B, C, 1, 1) -> (B, C, 2, 2)
