"""The report's ViT: image patches through the encoder of the translation Transformer, trained from scratch.

At the default size 196 patches of 16 x 16 x 3 = 768 values are multiplied by a learned 768 x 768 matrix, an all-zero row
is appended as class token (row 197), and what the encoder makes of that row is multiplied by 768 x classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.transformer import Encoder, initialise_xavier, sinusoidal_positions
from models.weights import files as weight_files


@dataclass(frozen=True)
class Config:
    num_classes: int = 10
    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 6
    heads: int = 8
    feed_forward: int = 2048
    dropout: float = 0.1
    norm: str = "post"  # the paper's; "pre" trains more steadily at a high learning rate


class ScratchViT(nn.Module):
    """Normalised images (B, 3, image_size, image_size) -> logits (B, num_classes)."""

    positions: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        if config.image_size % config.patch_size:
            raise ValueError(f"image_size {config.image_size} is not a multiple of patch_size {config.patch_size}")
        self.patch_size = config.patch_size
        patches = (config.image_size // config.patch_size) ** 2
        self.project = nn.Linear(3 * config.patch_size**2, config.width, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(
            config.depth, config.width, config.heads, config.feed_forward, config.dropout, config.norm
        )
        self.head = nn.Linear(config.width, config.num_classes, bias=False)
        self.register_buffer("positions", sinusoidal_positions(patches, config.width), persistent=False)
        initialise_xavier(self)

    def forward(self, images: Tensor) -> Tensor:
        patches = F.unfold(images, self.patch_size, stride=self.patch_size).transpose(1, 2)  # (B, N, 3 p p)
        x = self.dropout(self.project(patches) + self.positions)  # (B, N, width)
        class_row = torch.zeros_like(x[:, :1])
        x = self.encoder(torch.cat([x, class_row], dim=1))  # (B, N + 1, width)
        return self.head(x[:, -1])


def build(config: Config, weights: str = "none") -> nn.Module:
    model = ScratchViT(config)
    if weights != "none":
        weight_files.load(model, weights)
    return model
