"""Convolutions that oneDNN (torch 2.14) gets wrong in bfloat16 on CPUs, computed so that they are right."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def guard(model: nn.Module) -> None:
    """Mend the strided convolutions of the model that oneDNN may get wrong; layers and keys stay.

    Convolutions with timm's "same" padding pad the maps themselves and are right.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and min(layer.stride) > 1:
            if _is_centred(layer):
                layer.register_forward_pre_hook(_spread)
            elif type(layer) is nn.Conv2d and _is_folded(layer):
                layer.__class__ = InFloat32


def _is_centred(layer: nn.Conv2d) -> bool:
    """Whether a single pixel meets the kernel's centre and no other of its values."""
    sizes = layer.kernel_size
    return all(size % 2 == 1 and size > 1 for size in sizes) and layer.padding == tuple(size // 2 for size in sizes)


def _spread(layer: nn.Module, inputs: tuple[Any, ...]) -> Tensor | None:
    """A single pixel as the corner of an empty map of 2x2, which has the same result: from it alone the gradient of the
    weights of 3x3 kernels is computed with uninitialised memory, whatever their groups."""
    [x] = inputs
    return F.pad(x, (0, 1, 0, 1)) if x.shape[-2:] == (1, 1) and _is_low(x) else None  # (B, C, 1, 1) -> (B, C, 2, 2)


def _is_folded(layer: nn.Conv2d) -> bool:
    """Whether AMX may read a row as fewer pixels of more channels. Patch embeddings of colours, and of 32 channels and
    more, are right; of 8 to 28 channels, with strides of 4, 8, 14 and 16, results are off by more than their size."""
    return min(layer.stride) > 2 and 3 < layer.in_channels // layer.groups < 32


class InFloat32(nn.Conv2d):
    """A convolution that stays in float32 where others are computed in bfloat16 on a CPU."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not _is_low(input):
            return super()._conv_forward(input, weight, bias)
        with torch.autocast("cpu", enabled=False):
            exact = super()._conv_forward(input.float(), weight.float(), None if bias is None else bias.float())
        return exact.bfloat16()


def _is_low(x: Tensor) -> bool:
    """Whether others with this input are computed in bfloat16 on a CPU."""
    return x.device.type == "cpu" and (x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu"))
