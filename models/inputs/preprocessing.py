"""Resizing and normalisation, defined once: training, evaluation and every engine must agree on them."""

from __future__ import annotations

from torch import Tensor, float32
from torch.nn import functional as F


def prepare(images: Tensor, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, size, size) float32, channels last, resized (bilinear) and normalised.

    mean, std: (3,) of pixels in 0..1, on the images' device.
    """
    return normalise(resize(to_floats(images), size), mean, std)


def to_floats(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, a new tensor in channels_last order."""
    return images.permute(0, 3, 1, 2).to(float32)


def resize(floats: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size); images of this size are returned as they are."""
    height, width = floats.shape[-2:]
    if (height, width) == (size, size):
        return floats
    antialias = shrinks((height, width), size)
    return F.interpolate(floats, (size, size), mode="bilinear", antialias=antialias, align_corners=False)


def shrinks(shape: tuple[int, int], size: int) -> bool:
    """Whether images of this height and width lose pixels in both directions, which calls for antialiasing."""
    return min(shape) > size


def normalise(floats: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels of 0 to 255, overwritten -> normalised ones."""
    scale = 1 / (255 * std)
    return floats.mul_(scale[:, None, None]).sub_((mean / std)[:, None, None])
