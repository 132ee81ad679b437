"""Token merging as few operations on whole matrices, for engines that read a graph (conversion/).

The same tokens merge as in token_merging.py. Each of its gathers and scatters would become several operations of ONNX, in
every block; here the merged tokens are one product with a matrix that says which tokens each of them holds.
"""

from __future__ import annotations

import torch
from torch import Tensor


def merge(x: Tensor, size: Tensor | None, similarity: Tensor, r: int, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, N, C), size (B, N) and similarities (B, |A|, |B|) -> merged x (B, M, C), size (B, M), target (B, N).

    Positions are whole numbers throughout: bfloat16 does not hold those above 256.
    """
    count = x.shape[1]
    score, partner = similarity.max(dim=2)
    chosen = score.topk(r, dim=1).indices  # ONNX's top-k prefers the earlier of equals, and ONNX has no stable sort
    leaving = prefix + 2 * chosen  # (B, r)
    stays = x.new_ones(x.shape[:2], dtype=torch.long).scatter(1, leaving, 0)
    position = stays.cumsum(1) - 1
    receiving = position.gather(1, prefix + 1 + 2 * partner.gather(1, chosen))
    target = position.scatter(1, leaving, receiving)
    holds = (target.unsqueeze(1) == torch.arange(count - r, device=x.device).unsqueeze(1)).to(x.dtype)  # (B, M, N)
    if size is not None:
        holds = holds * size.unsqueeze(1)
    total = holds.sum(2)
    return (holds @ x) / total.unsqueeze(2), total, target
