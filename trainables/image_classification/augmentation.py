"""Augmentation of uint8 images, per batch on the device."""

from __future__ import annotations

import torch
from torch import Tensor


def augment(images: Tensor, generator: torch.Generator, flip: bool, shift: float) -> Tensor:
    """Flip each image with probability 1/2 and shift it by up to `shift` of its size, repeating its edge.

    A shift with a repeated edge is the padded random crop of the CIFAR recipes. Flip and shift are one gather of whole
    pixels, which takes a third of the time of indexing by three tensors.

    images: (B, H, W, C) of any type. generator: on the CPU, so that every device draws the same numbers.
    """
    if not flip and not shift:
        return images
    batch, height, width, _ = images.shape
    down = _offsets(batch, round(shift * height), generator)
    right = _offsets(batch, round(shift * width), generator)
    mirrored = torch.rand(batch, generator=generator) < (0.5 if flip else 0.0)
    rows = (torch.arange(height) + down[:, None]).clamp(0, height - 1)  # (B, H)
    columns = (torch.arange(width) + right[:, None]).clamp(0, width - 1)  # (B, W)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    pixels = torch.arange(batch)[:, None, None] * (height * width) + rows[:, :, None] * width + columns[:, None, :]
    return images.flatten(0, 2).index_select(0, pixels.flatten().to(images.device)).view(images.shape)


def _offsets(batch: int, reach: int, generator: torch.Generator) -> Tensor:
    return torch.randint(-reach, reach + 1, (batch,), generator=generator)
