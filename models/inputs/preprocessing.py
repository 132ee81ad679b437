"""Resizing and normalisation, defined once: training, evaluation and an exported model must agree on them."""

from __future__ import annotations

from torch import Tensor, float32
from torch.nn import functional as F


def prepare(images: Tensor, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, size, size) float32, channels last, resized (bilinear) and normalised.

    mean, std: (3,) of pixels in 0..1, on the images' device.
    """
    floats = images.permute(0, 3, 1, 2).to(float32)  # a view in channels_last order, without a copy
    if floats.shape[-2:] != (size, size):
        shrinks = min(floats.shape[-2:]) > size
        floats = F.interpolate(floats, (size, size), mode="bilinear", antialias=shrinks, align_corners=False)
    scale = 1 / (255 * std)  # in place below, since converting from uint8 made a copy
    return floats.mul_(scale[:, None, None]).sub_((mean / std)[:, None, None])
