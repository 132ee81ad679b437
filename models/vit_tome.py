"""`vit` with token merging (arXiv 2210.09461): each block merges its most similar tokens between attention and feed-forward.

timm builds the model, with blocks that merge in place of its own: forward passes, pooling, heads and the keys of the
state dict stay timm's. The sizes and sources of merged tokens travel with them from block to block, so no state is left
outside the forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, cast

import torch
from timm.models import VisionTransformer
from timm.models import vision_transformer as timm_vit
from torch import Tensor, nn
from torch.nn import functional as F

from models import vit
from models.layers import token_merging
from record.settings import setting


@dataclass(frozen=True)
class Config(vit.Config):
    tome_ratio: float = setting(0.0, "share of the patch tokens merged away by the last block, 0 to below 1")
    tome_schedule: str = setting("constant", "merges per block: constant, or decreasing from twice the mean to zero")

    def __post_init__(self) -> None:
        super().__post_init__()
        token_merging.check_schedule(self.tome_ratio, self.tome_schedule)


hub_name = vit.hub_name


class MergedTokens(NamedTuple):
    """Tokens after merging, and what they are made of."""

    x: Tensor  # (B, M, C)
    size: Tensor  # (B, M): the number of patches in each token
    source: Tensor  # (B, N): for each input token the position of the token that it is in


class Merging(nn.Module):
    """Mixed into a timm block: merges up to `merges` tokens. Accepts plain or merged tokens.

    Plain tokens stay plain while nothing merges; after the last block all are plain.
    """

    merges: int = 0
    kept: float = 1.0  # share of the patch tokens that training leaves in
    prefix: int = 0
    last: bool = False
    unmerge: bool = False

    def attend(self, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """The attention half of the block: x (B, N, C) and the keys, summed or averaged over the heads, (B, N, d)."""
        raise NotImplementedError

    def feed_forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def plain(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """timm's own block, attention and feed-forward."""
        return super().forward(x, attn_mask=bias)

    def step(self, tokens: Tensor | MergedTokens) -> Tensor | MergedTokens:
        """The block, merging between its halves."""
        plain = isinstance(tokens, Tensor)
        x, size, source = cast(tuple[Tensor, Any, Any], (tokens, None, None) if plain else tokens)
        merges = int(self.merges * self.kept) if self.training else self.merges
        r = min(merges, (x.shape[1] - self.prefix) // 2)
        if plain and not r:
            return self.plain(x)
        x, keys = self.attend(x, None if plain else token_merging.attention_bias(size, x.dtype))
        if r:
            x, size, target = token_merging.merge_similar(x, size, keys, r, self.prefix)
            source = target if plain else target.gather(1, source)
        return MergedTokens(self.feed_forward(x), size, source)

    def forward(self, tokens: Tensor | MergedTokens) -> Tensor | MergedTokens:
        tokens = self.step(tokens)
        if not self.last or isinstance(tokens, Tensor):
            return tokens
        if not self.unmerge:
            return tokens.x
        # One row for each input token again, so that any pooling over them weighs a merged token by its size.
        return tokens.x.gather(1, tokens.source.unsqueeze(2).expand(-1, -1, tokens.x.shape[2]))


class MergingBlock(Merging, timm_vit.Block):  # type: ignore[misc]
    """The pre-norm block of nearly all architectures, with their layer-scale and stochastic depth."""

    def attend(self, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        y, keys = attention(self.attn, self.norm1(x), bias)
        return x + self.drop_path1(self.ls1(y)), keys

    def feed_forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


class MergingResPostBlock(Merging, timm_vit.ResPostBlock):  # type: ignore[misc]
    """Norm after attention and after feed-forward."""

    def attend(self, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        y, keys = attention(self.attn, x, bias)
        return x + self.drop_path1(self.norm1(y)), keys

    def feed_forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path2(self.norm2(self.mlp(x)))


class MergingParallelThingsBlock(Merging, timm_vit.ParallelThingsBlock):  # type: ignore[misc]
    """Several attentions side by side, then several feed-forwards. Keys are averaged over all heads of all attentions."""

    attns: Any
    ffns: Any

    def attend(self, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        results = [attention(each.attn, each.norm(x), bias) for each in self.attns]
        changes = [each.drop_path(each.ls(y)) for each, (y, _) in zip(self.attns, results, strict=True)]
        return x + torch.stack(changes).sum(0), torch.stack([keys for _, keys in results]).mean(0)

    def feed_forward(self, x: Tensor) -> Tensor:
        return x + torch.stack([each(x) for each in self.ffns]).sum(0)


class MergingParallel(Merging):
    """Attention and feed-forward side by side: with nothing between them, tokens merge after the block."""

    in_norm: Any
    in_proj: Any

    def attend(self, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        bounds = slice(-2 * x.shape[2], -x.shape[2])  # in_proj's rows are feed-forward, query, key, value
        weight, offset = self.in_proj.weight[bounds], self.in_proj.bias
        keys = F.linear(self.in_norm(x), weight, None if offset is None else offset[bounds])
        return self.plain(x, bias), mean_over_heads(keys, self)

    def feed_forward(self, x: Tensor) -> Tensor:
        return x


class MergingParallelScalingBlock(MergingParallel, timm_vit.ParallelScalingBlock):  # type: ignore[misc]
    pass


class MergingDiffParallelScalingBlock(MergingParallel, timm_vit.DiffParallelScalingBlock):  # type: ignore[misc]
    pass


MERGING: dict[type[nn.Module], type[Merging]] = {
    timm_vit.Block: MergingBlock,
    timm_vit.ResPostBlock: MergingResPostBlock,
    timm_vit.ParallelThingsBlock: MergingParallelThingsBlock,
    timm_vit.ParallelScalingBlock: MergingParallelScalingBlock,
    timm_vit.DiffParallelScalingBlock: MergingDiffParallelScalingBlock,
}


def attention(layer: Any, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """An attention layer on x (B, N, C), and its keys, summed or averaged over the heads, (B, N, d)."""
    if isinstance(layer, vit.Attention):
        y, keys = layer.with_keys(x, bias)
        return y, sum_over_heads(keys.detach())
    # Differential attention does not return its keys; computing them again costs a twelfth of the block.
    keys = F.linear(x, layer.qkv.weight.chunk(3)[1], _part(layer.qkv.bias))
    return layer(x, attn_mask=bias), mean_over_heads(keys, layer)


def sum_over_heads(keys: Tensor) -> Tensor:
    """(B, heads, N, d) -> (B, N, d); matching uses only the direction of the result.

    Adds halves: torch's reduction over a middle dimension takes three times as long on a CPU.
    """
    while keys.shape[1] % 2 == 0:
        keys = torch.add(*keys.chunk(2, dim=1))
    return reduce(torch.add, keys.unbind(1))


def mean_over_heads(keys: Tensor, layer: Any) -> Tensor:
    """(B, N, heads * d) -> (B, N, d), after the layer's key norm."""
    return layer.k_norm(keys.detach().unflatten(-1, (-1, layer.head_dim))).mean(2)


def _part(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.chunk(3)[1]


def build(config: Config, weights: str = "none") -> VisionTransformer:
    [block] = vit.probe(config.architecture).blocks
    model = vit.build(config, weights, block_fn=MERGING[type(block)])
    set_ratio(model, config.tome_ratio, config.tome_schedule)
    return model


def set_ratio(model: VisionTransformer, ratio: float, kind: str = "constant") -> list[int]:
    """Set how much a model of this file merges, from its next forward pass on; the merges of each block."""
    merges = token_merging.schedule(ratio, model.patch_embed.num_patches, len(model.blocks), kind)
    blocks: list[Any] = list(model.blocks)
    for block, merged in zip(blocks, merges, strict=True):
        block.merges = merged
        block.kept = 1 - getattr(model.patch_drop, "prob", 0.0)  # an identity where none are dropped
        block.prefix = model.num_prefix_tokens
        block.last = block is blocks[-1]
        block.unmerge = model.global_pool != "token"
    return merges


@torch.no_grad()
def trace(model: VisionTransformer, images: Tensor) -> list[Tensor]:
    """For each block: the patch token that holds each patch, (B, patches).

    Patches count in reading order, tokens from 0 after the prefix tokens. Needs a model in evaluation mode.
    """
    tokens: Any = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
    prefix = model.num_prefix_tokens
    unmerged = torch.arange(tokens.shape[1] - prefix, device=tokens.device).expand(tokens.shape[0], -1)
    held = []
    blocks: list[Any] = list(model.blocks)
    for block in blocks:
        tokens = block.step(tokens)
        held.append(tokens.source[:, prefix:] - prefix if isinstance(tokens, MergedTokens) else unmerged)
    return held
