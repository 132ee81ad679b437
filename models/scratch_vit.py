"""The report's ViT: image patches through the encoder of the translation Transformer, trained from scratch.

At the default size 196 patches of 16 x 16 x 3 = 768 values are multiplied by a learned 768 x 768 matrix, an all-zero row
is appended as class token (row 197), and the encoder's output for that row is multiplied by 768 x classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import check_counts, check_rates
from models.layers.transformer import Encoder, check_heads, initialise_xavier, is_pre_norm, sinusoidal_positions
from models.weights import files
from record.settings import setting


@dataclass(frozen=True)
class Config:
    num_classes: int = setting(10, "classes of the data", from_data=True)
    image_size: int = setting(224, "side in pixels that images are resized to, a multiple of patch_size")
    patch_size: int = setting(16, "side of a patch in pixels")
    width: int = setting(768, "length of a token's vector, a multiple of heads")
    depth: int = setting(6, "encoder layers")
    heads: int = setting(8, "attention heads per layer")
    feed_forward: int = setting(2048, "hidden units of a layer's feed-forward network")
    dropout: float = setting(0.1, "dropout of the patches and after every sublayer", free=True)
    norm: str = setting(
        "post", "layer norm after each sublayer (post, the paper's) or before it (pre, steadier at a high lr)"
    )

    def __post_init__(self) -> None:
        check_counts(
            num_classes=self.num_classes, image_size=self.image_size, patch_size=self.patch_size,
            width=self.width, depth=self.depth, heads=self.heads, feed_forward=self.feed_forward,
        )  # fmt: skip
        check_rates(dropout=self.dropout)
        check_heads(self.width, self.heads)
        is_pre_norm(self.norm)
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")


class ScratchViT(nn.Module):
    """Normalised images (B, 3, image_size, image_size) -> logits (B, num_classes)."""

    positions: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
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
        files.load(model, weights)
    return model
