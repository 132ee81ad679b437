"""The attention weights of a model, on demand: training and evaluation stay on the fused kernel, which has none.

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

from models.transformer import MultiHeadAttention, causal_mask


@contextmanager
def captured(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside, each forward pass fills the dict: name of the attention layer -> weights (B, heads, queries, keys).

    For the models that are built of `MultiHeadAttention`. Decoding with a cache shows single rows only: give the whole
    sequence at once.
    """
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: MultiHeadAttention, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = inspect.signature(layer.forward).bind(*inputs, **named).arguments
            maps[name] = _weights(layer, given["queries"], given["keys"], given.get("mask"), given.get("causal", False))

        return hook

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, MultiHeadAttention)}
    hooks = [layer.register_forward_pre_hook(keep(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _weights(layer: MultiHeadAttention, queries: Tensor, keys: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """softmax(q k^T / sqrt(d)), (B, heads, N, S) (equation 1 of arXiv 1706.03762)."""
    q, k = layer.split(layer.query(queries)), layer.split(layer.key(keys))
    scores = (q @ k.transpose(2, 3)).float() / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
    if causal:
        scores = scores.masked_fill(~causal_mask(*scores.shape[2:], scores.device), -torch.inf)
    return scores.softmax(-1)
