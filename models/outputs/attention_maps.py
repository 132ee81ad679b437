"""The attention weights of a model, on demand: training and evaluation stay as fast as they are.

While weights are captured, each attention layer's inputs are seen on their way in, and its weights computed from them
a second time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.layers.attention import causal_mask
from models.layers.transformer import MultiHeadAttention


@contextmanager
def captured(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside, each forward pass fills the dict: name of the attention layer -> weights (B, heads, queries, keys).

    For the layers of models/layers/transformer.py and timm's plain `Attention`; a ToMe model must not merge meanwhile, since
    the sizes of merged tokens are not seen here. Decoding with a cache shows single rows only: give the whole sequence
    at once.
    """
    maps: dict[str, Tensor] = {}

    def of_ours(name: str) -> Any:
        def hook(layer: MultiHeadAttention, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = inspect.signature(layer.forward).bind(*inputs, **named).arguments
            maps[name] = _weights(layer, given["queries"], given["keys"], given.get("mask"), given.get("causal", False))

        return hook

    def of_timm(name: str, layer: Any) -> Any:
        def hook(_: nn.Module, inputs: Any, qkv: Tensor) -> None:
            maps[name] = _timm_weights(layer, qkv)

        return hook

    hooks = []
    for name, layer in model.named_modules():
        if isinstance(layer, MultiHeadAttention):
            hooks.append(layer.register_forward_pre_hook(of_ours(name), with_kwargs=True))
        elif type(layer).__name__ == "Attention" and isinstance(getattr(layer, "qkv", None), nn.Linear):
            hooks.append(layer.qkv.register_forward_hook(of_timm(name, layer)))
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _timm_weights(layer: Any, qkv: Tensor) -> Tensor:
    """The same of timm's layer, from the output of its one matrix for queries, keys and values (B, N, 3 heads d)."""
    q, k, _ = qkv.unflatten(-1, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, d) each
    q, k = layer.q_norm(q).float(), layer.k_norm(k).float()
    return (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1)


@torch.no_grad()
def _weights(layer: MultiHeadAttention, queries: Tensor, keys: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """softmax(q k^T / sqrt(d)), (B, heads, N, S) (equation 1 of arXiv 1706.03762)."""
    q, k = layer.split(layer.query(queries)), layer.split(layer.key(keys))
    scores = (q @ k.transpose(2, 3)).float() / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
    if causal:
        scores = scores.masked_fill(~causal_mask(scores.shape[2], scores.shape[3], scores.device), -torch.inf)
    return scores.softmax(-1)
