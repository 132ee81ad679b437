"""Scaled dot-product attention: torch's fused kernel, or matrix products written out where those are faster."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Up to this many keys, a token's scores for the backward pass take no more memory than the rest of its block.
MAX_KEYS = 1024
MAX_SCORES = 2**28  # of all heads of a batch: half a gigabyte in bfloat16
MIN_HEADS = 128  # of all examples of a batch, in inference: the kernel takes long for each, at however few tokens
# torch's softmax reads rows of bfloat16 in vectors of 32 and the tail one by one, at six times the cost per number.
VECTOR, MAX_TAIL = 32, 8


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False, dropout: float = 0.0
) -> Tensor:
    """softmax(q k^T / sqrt(d) + mask) v: q (B, heads, N, d), k and v (B, heads, S, d) -> (B, heads, N, d).

    mask: added to the scores, or boolean and True where a query may attend; (B, 1 or heads, 1 or N, S). With `causal`,
    which allows a boolean mask only, a query does not attend to later positions either.

    On a CPU in bfloat16 the fused kernel of torch 2.14 multiplies block by block: training takes 2.5 to 7 times as long
    as with whole products, inference of many images 1.5 to 3 times (17 to 577 tokens) on processors without AMX; on one with
    AMX up to 2 times (5 to 145 tokens), and 0.6 to 0.8 times from 197 on. In float32 and on GPUs the kernel is faster.
    """
    written_out = _writes_out(q, k)
    if causal and (written_out or mask is not None):  # the fused kernel accepts a mask or the causal flag, not both
        earlier = causal_mask(q.shape[2], k.shape[2], q.device)
        mask, causal = earlier if mask is None else mask & earlier, False
    if not written_out:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal)
    heads, scale = q.shape[1], q.shape[-1] ** -0.5
    if (tail := k.shape[2] % VECTOR) > MAX_TAIL:
        mask, k, v = _padded(mask, k, v, VECTOR - tail)
    bias = q.new_empty(()) if mask is None else _additive(mask).to(q.dtype).expand(len(q), heads, -1, -1).flatten(0, 1)
    # (B heads, N, S); adding the bias here saves a pass over the scores.
    scores = torch.baddbmm(
        bias, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), beta=float(mask is not None), alpha=scale
    )
    return F.dropout(scores.softmax(-1), dropout).unflatten(0, (-1, heads)) @ v


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """(queries, keys), True where a query may attend: at its own position and at earlier ones."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril()


def _writes_out(q: Tensor, k: Tensor) -> bool:
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else q.dtype
    if q.device.type != "cpu" or dtype != torch.bfloat16:
        return False
    (batch, heads, queries, _), keys = q.shape, k.shape[2]
    scores = batch * heads * queries * keys
    is_small = batch * heads < MIN_HEADS and not q.requires_grad
    return keys <= MAX_KEYS and scores <= MAX_SCORES and not is_small


def _additive(mask: Tensor) -> Tensor:
    """The mask as numbers to add to the scores."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)


def _padded(mask: Tensor | None, k: Tensor, v: Tensor, more: int) -> tuple[Tensor, Tensor, Tensor]:
    """(mask, k, v) with `more` keys that nothing attends to."""
    bias = k.new_zeros(1, 1, 1, k.shape[2]) if mask is None else _additive(mask)
    rows = k.new_zeros(*k.shape[:2], more, k.shape[3])
    return F.pad(bias, (0, more), value=-torch.inf), torch.cat([k, rows], 2), torch.cat([v, rows], 2)
