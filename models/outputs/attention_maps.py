"""The attention weights of a model, on demand, so that training and evaluation do not pay for them.

While weights are captured, hooks read the inputs of each attention layer and compute its weights a second time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.layers.attention import causal_mask
from models.layers.transformer import MultiHeadAttention


@contextmanager
def captured(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside, each forward pass fills the dict: name of the attention layer -> weights (B, heads, queries, keys).

    Works for the layers of models/layers/transformer.py and for timm's plain `Attention`. A ToMe model must not merge
    meanwhile: its weights depend on the sizes of merged tokens. Decode without a cache, which shows single rows only.
    """
    maps: dict[str, Tensor] = {}
    hooks = []
    for name, layer in model.named_modules():
        if isinstance(layer, MultiHeadAttention):
            hooks.append(layer.register_forward_pre_hook(_hook(maps, name), with_kwargs=True))
        elif (qkv := _timm_qkv(layer)) is not None:
            hooks.append(qkv.register_forward_hook(_timm_hook(maps, name, layer)))
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _hook(maps: dict[str, Tensor], name: str) -> Callable[[MultiHeadAttention, tuple[Any, ...], dict[str, Any]], None]:
    """A forward pre-hook that computes the weights from the layer's arguments."""

    def hook(layer: MultiHeadAttention, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        arguments = inspect.signature(layer.forward).bind(*inputs, **named)
        arguments.apply_defaults()
        queries, keys, mask, causal = (arguments.arguments[key] for key in ("queries", "keys", "mask", "causal"))
        maps[name] = _weights(layer, queries, keys, mask, causal)

    return hook


def _timm_hook(maps: dict[str, Tensor], name: str, layer: Any) -> Callable[[nn.Module, Any, Tensor], None]:
    """A forward hook on the layer's matrix for queries, keys and values that computes the weights from its output."""

    def hook(_: nn.Module, inputs: Any, qkv: Tensor) -> None:
        maps[name] = _timm_weights(layer, qkv)

    return hook


def _timm_qkv(layer: nn.Module) -> nn.Linear | None:
    """The matrix of timm's plain attention layer (or of ours in models/vit.py), None for any other layer.

    Goes by the name of the class, since importing timm takes seconds.
    """
    qkv = dict(layer.named_children()).get("qkv") if type(layer).__name__ == "Attention" else None
    return qkv if isinstance(qkv, nn.Linear) else None


@torch.no_grad()
def _timm_weights(layer: Any, qkv: Tensor) -> Tensor:
    """The weights of timm's layer, (B, heads, N, N), from its queries, keys and values (B, N, 3 heads d)."""
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
