"""Any timm VisionTransformer by name, at any image size. An option that is None keeps what the architecture has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import timm
from timm.layers import DiffAttention
from timm.layers import attention as timm_attention
from timm.models import VisionTransformer
from timm.models.vision_transformer import DiffParallelScalingBlock, checkpoint_filter_fn
from torch import Tensor

from models import WeightsError, check_counts, check_rates
from models.layers.attention import attend
from models.weights import files, hub
from record.settings import setting

INITS = ("jax", "moco", "reset")  # timm's names

MODULES = ("vision_transformer", "deit")  # where timm defines its VisionTransformers


@dataclass(frozen=True)
class Config:
    num_classes: int = setting(10, "classes of the data", from_data=True)
    image_size: int = setting(224, "side in pixels that images are resized to, a multiple of the patch size")
    architecture: str = setting("vit_base_patch16_224", "timm's name, with or without the tag of its weights")
    patch_size: int | None = setting(None, "side of a patch in pixels; null: the architecture's")
    embed_dim: int | None = setting(
        None, "length of a token's vector, a multiple of num_heads; null: the architecture's"
    )
    depth: int | None = setting(None, "number of blocks; null: the architecture's")
    num_heads: int | None = setting(None, "attention heads per block; null: the architecture's")
    drop_rate: float = setting(0.0, "dropout before the classifier", free=True)
    drop_path_rate: float = setting(0.0, "stochastic depth: rate at which the last block is skipped", free=True)
    patch_drop_rate: float = setting(
        0.0, "share of the patch tokens left out of each training image; none in inference"
    )
    weight_init: str | None = setting(
        None,
        "random weights whose spread follows the width, by timm's names: jax, moco (both Xavier's) or reset (torch's own); "
        "null: a standard deviation of 0.02 at any width, with which a narrow ViT learns slowly",
        free=True,
    )

    def __post_init__(self) -> None:
        check_counts(
            num_classes=self.num_classes, image_size=self.image_size, patch_size=self.patch_size,
            embed_dim=self.embed_dim, depth=self.depth, num_heads=self.num_heads,
        )  # fmt: skip
        rates = {name: getattr(self, name) for name in ("drop_rate", "drop_path_rate", "patch_drop_rate")}
        check_rates(**rates)
        if self.weight_init not in (None, *INITS):
            raise ValueError(f"weight_init is '{self.weight_init}'; use {', '.join(INITS)} or null")
        hub.check_architecture(self.architecture, _known(), "a VisionTransformer")
        self._check_grid()
        self._check_heads()

    def _check_grid(self) -> None:
        """Refuse border pixels that do not fill a patch: timm drops them silently."""
        patch_size = self.patch_size or probe(self.architecture).patch_embed.patch_size[0]
        if self.image_size % patch_size:
            below = self.image_size // patch_size * patch_size
            near = " or ".join(str(size) for size in (below, below + patch_size) if size)
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch size {patch_size}; use {near}")

    def _check_heads(self) -> None:
        """Refuse heads that do not divide the width; differential attention splits each head in two."""
        if self.embed_dim and self.num_heads and self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        model = probe(self.architecture)
        for layer in model.modules():
            if isinstance(layer, DiffAttention | DiffParallelScalingBlock):  # timm does not check the halves
                width, heads = self.embed_dim or model.embed_dim, self.num_heads or layer.num_heads
                if width % (2 * heads):
                    raise ValueError(f"num_heads {heads} must divide embed_dim {width} into even parts")


class Attention(timm_attention.Attention):
    """timm's attention layer, computed by `attend`; it also returns its keys."""

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
    return hub.tagged(config.architecture)


def build(config: Config, weights: str = "none", **changes: Any) -> VisionTransformer:
    """changes: further arguments of timm's.

    Raises ValueError for options that do not fit together, WeightsError for random weights beside others.
    """
    if config.weight_init and weights != "none":
        raise WeightsError(f"weight_init {config.weight_init} is for random weights, not {weights}; leave it out")
    options = {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.embed_dim,
        "depth": config.depth,
        "num_heads": config.num_heads,
        "weight_init": config.weight_init,
    }
    options = {key: value for key, value in options.items() if value is not None}
    if any(type(layer) is timm_attention.Attention for layer in probe(config.architecture).modules()):
        changes["attn_layer"] = Attention
    model = hub.create(
        config.architecture,
        weights == "timm",
        num_classes=config.num_classes,
        drop_rate=config.drop_rate,
        drop_path_rate=config.drop_path_rate,
        patch_drop_rate=config.patch_drop_rate,
        **options,
        **changes,
    )
    if config.patch_drop_rate:  # timm's distilled ones would drop their second prefix token as a patch
        model.patch_drop.num_prefix_tokens = model.num_prefix_tokens
    if weights not in ("none", "timm"):
        files.load(model, weights, fit)
    return model


def fit(state: files.StateDict, model: VisionTransformer) -> files.StateDict:
    """Resample position embeddings and patch kernels to the model's image and patch size."""
    return checkpoint_filter_fn(state, model, adapt_layer_scale=True)


@cache
def probe(architecture: str) -> Any:
    """One block of an architecture, on the meta device, to see what it has. Read it only."""
    return timm.create_model(architecture, depth=1, device="meta")


@cache
def _known() -> tuple[str, ...]:
    return tuple(name for module in MODULES for name in timm.list_models(module=module))
