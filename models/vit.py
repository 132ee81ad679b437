"""Any timm VisionTransformer by name, at any image size; None keeps what the architecture has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
from timm.layers import attention as timm_attention
from timm.models import VisionTransformer
from torch import Tensor

from models.layers.attention import attend
from models.weights import files as weight_files
from record.errors import nearest

MODULES = ("vision_transformer", "deit")  # where timm defines its VisionTransformers


@dataclass(frozen=True)
class Config:
    num_classes: int = 10
    image_size: int = 224
    architecture: str = "vit_base_patch16_224"  # timm's name, with or without the tag of its weights
    patch_size: int | None = None
    embed_dim: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    drop_rate: float = 0.0  # dropout before the classifier
    drop_path_rate: float = 0.0


class Attention(timm_attention.Attention):
    """timm's attention layer, on `attend`; it also tells its keys."""

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        return self.with_keys(x, attn_mask, is_causal)[0]

    def with_keys(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> tuple[Tensor, Tensor]:
        """Attention among x (B, N, C) -> (the layer's output (B, N, C), its keys (B, heads, N, d))."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))  # (B, N, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        y = attend(q, k, v, mask, causal, self.attn_drop.p if self.training else 0.0)  # (B, heads, N, d)
        y = self.norm(y.transpose(1, 2).flatten(2))
        if self.gate is not None:
            y = y * self.gate(x).sigmoid()
        return self.proj_drop(self.proj(y)), k


def hub_name(config: Config) -> str:
    """The architecture with the tag of its published weights."""
    check_architecture(config.architecture)
    return weight_files.tagged(config.architecture)


def build(config: Config, weights: str = "none", **changes: Any) -> VisionTransformer:
    """`changes` go to timm as they are. Raises ValueError for options that do not fit together."""
    check_architecture(config.architecture)
    options = {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.embed_dim,
        "depth": config.depth,
        "num_heads": config.num_heads,
    }
    options = {key: value for key, value in options.items() if value is not None}
    if any(type(layer) is timm_attention.Attention for layer in probe(config.architecture).modules()):
        changes["attn_layer"] = Attention
    model = weight_files.create(
        config.architecture,
        "timm" if weights == "timm" else "none",
        num_classes=config.num_classes,
        drop_rate=config.drop_rate,
        drop_path_rate=config.drop_path_rate,
        **options,
        **changes,
    )
    _check_grid(model, config.image_size)
    if weights not in ("none", "timm"):
        weight_files.load(model, weights, weight_files.fit_vit)
    return model


def probe(architecture: str) -> Any:
    """One block of an architecture, without memory, to see what kinds of layers it has."""
    return timm.create_model(architecture, depth=1, device="meta")


def check_architecture(architecture: str) -> None:
    """Raises ValueError, naming near ones, where timm has no VisionTransformer of this name."""
    known = [name for module in MODULES for name in timm.list_models(module=module)]
    name, _, tag = architecture.partition(".")
    if name not in known:
        what = "is not a VisionTransformer" if timm.is_model(name) else "is not known to timm"
        raise ValueError(f"architecture '{architecture}' {what}; {nearest(name, known)}")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise ValueError(f"architecture '{name}' has no weights tagged '{tag}'; tags: {', '.join(tags) or 'none'}")


def _check_grid(model: VisionTransformer, image_size: int) -> None:
    """Refuse border pixels that fill no patch: timm drops them without a word."""
    patch_size = model.patch_embed.patch_size[0]
    if image_size % patch_size or not image_size:
        below = image_size // patch_size * patch_size
        near = " or ".join(str(size) for size in (below, below + patch_size) if size)
        raise ValueError(f"image_size {image_size} is not a multiple of patch size {patch_size}; use {near}")
