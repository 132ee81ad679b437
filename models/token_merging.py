"""Token merging, as pure functions, written from "Token Merging: Your ViT But Faster" (Bolya et al., arXiv 2210.09461).

B = batch, N = tokens in, M = N - r = tokens out, P = prefix tokens (class, register, distillation), which are never merged.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def schedule(ratio: float, tokens: int, blocks: int, kind: str = "constant") -> list[int]:
    """How many tokens each block merges away; the sum is round(ratio * tokens).

    "constant" gives every block the same number, "decreasing" falls linearly from twice the mean to about nothing. A block
    can merge at most half of the tokens left, so a steep constant schedule would fall short in its last blocks: then
    the whole curve is steepened, as little as possible, until earlier blocks have merged the rest. Where even halving
    in every block cannot reach the ratio, every block halves. Raises ValueError for a ratio outside [0, 1).
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"tome_ratio is {ratio}; it is a share of the patch tokens, 0 <= tome_ratio < 1")
    if kind == "constant":
        weights = [1] * blocks
    elif kind == "decreasing":
        weights = [2 * (blocks - i) - 1 for i in range(blocks)]
    else:
        raise ValueError(f"tome_schedule is '{kind}'; use 'constant' or 'decreasing'")
    total = round(ratio * tokens)
    shares = list(accumulate(weights))

    def merged_after_each(volume: int) -> list[int]:
        """Follow a curve that ends at volume >= total, cut off at the total and at half of the tokens left."""
        merged = [0]
        for share in shares:
            wanted = min(total, round(volume * share / shares[-1]))
            merged.append(max(merged[-1], min(wanted, merged[-1] + (tokens - merged[-1]) // 2)))
        return merged

    volumes = range(total, total * shares[-1] + 1)
    steepest = len(volumes) - 1
    found = bisect_left(volumes, True, hi=steepest, key=lambda volume: merged_after_each(volume)[-1] == total)
    merged = merged_after_each(volumes[found])
    return [after - before for before, after in pairwise(merged)]


def token_counts(merges: list[int], tokens: int) -> list[int]:
    """Tokens left after each block."""
    return [tokens - merged for merged in accumulate(merges)]


class Match(NamedTuple):
    """Which tokens merge: `leaving` (B, r) are those that go into others."""

    target: Tensor  # (B, N): for each token its position among the M that remain
    leaving: Tensor  # (B, r): positions among the N


def match(keys: Tensor, r: int, prefix: int) -> Match:
    """Bipartite soft matching (section 3): the r most similar pairs, for keys (B, N, d) of any length, 1 <= r <= (N - P) / 2.

    Tokens alternate between the sets A and B; each token of A proposes its most similar (cosine) token of B, and the r
    best proposals merge. The tokens that remain keep their order.
    """
    with torch.no_grad():
        directions = F.normalize(keys[:, prefix:], dim=-1)
        similarity = directions[:, 0::2] @ directions[:, 1::2].transpose(1, 2)  # (B, |A|, |B|)
        return best_match(similarity, r, prefix)


def best_match(similarity: Tensor, r: int, prefix: int) -> Match:
    """`match` on given similarities (B, |A|, |B|); among equals the earlier token wins."""
    batch, size_a, size_b = similarity.shape
    score, partner = similarity.max(dim=2)  # (B, |A|)
    chosen = score.argsort(dim=1, descending=True, stable=True)[:, :r]  # (B, r) in A
    leaving = prefix + 2 * chosen  # (B, r) in N
    receiving = prefix + 2 * partner.gather(1, chosen) + 1
    stays = torch.ones(batch, prefix + size_a + size_b, dtype=torch.long, device=similarity.device)
    target = stays.scatter_(1, leaving, 0).cumsum_(1).sub_(1)
    return Match(target.scatter_(1, leaving, target.gather(1, receiving)), leaving)


def merge(x: Tensor, size: Tensor | None, matched: Match) -> tuple[Tensor, Tensor]:
    """Size-weighted mean of the tokens that share a target: x (B, N, C), size (B, N) or None for ones -> (B, M, C), (B, M).

    Size counts the patches in a token.
    """
    target, leaving = matched
    (batch, count), r = target.shape, leaving.shape[1]
    if size is None:
        size = torch.ones(batch, count, device=x.device)
    merged_size = size.new_zeros(batch, count - r).scatter_add_(1, target, size)
    weight = size / merged_size.gather(1, target)  # exactly 1 for a token that merges with none
    return _WeightedMean.apply(x, weight.to(x.dtype), target, leaving), merged_size


class _WeightedMean(torch.autograd.Function):
    """Sum of weight x over the tokens that share a target, where the weights of each target add up to 1.

    What stays is copied and moved towards what comes, so only r rows are computed with; the gradient is one gather. Rows
    are addressed in the flattened batch, which both CPU and GPU copy whole.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, target: Tensor, leaving: Tensor) -> Tensor:
        """x (B, N, C), weight and target (B, N), leaving (B, r) -> (B, M, C)."""
        (batch, count, channels), remaining = x.shape, x.shape[1] - leaving.shape[1]
        positions = torch.arange(batch * count, device=x.device).view(batch, count)  # rows of the flattened x
        rows = _rows(target, remaining)
        ctx.save_for_backward(weight, rows)
        # Where each token that stays is: the leaving ones write to a column that is cut off.
        staying = torch.empty(batch, remaining + 1, dtype=torch.long, device=x.device)
        staying = staying.scatter_(1, target.scatter(1, leaving, remaining), positions)[:, :-1]
        flat, receiving = x.flatten(0, 1), rows.gather(1, leaving).flatten()
        merged = flat.index_select(0, staying.flatten())
        step = flat.index_select(0, positions.gather(1, leaving).flatten()).sub_(merged.index_select(0, receiving))
        merged.index_add_(0, receiving, step.mul_(weight.gather(1, leaving).view(-1, 1)))
        return merged.view(batch, remaining, channels)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight, rows = ctx.saved_tensors
        per_token = gradient.flatten(0, 1).index_select(0, rows.flatten())
        return per_token.view(*rows.shape, -1) * weight.unsqueeze(2), None, None, None


def _rows(target: Tensor, remaining: int) -> Tensor:
    """Positions (B, N) among the `remaining` tokens of each image -> rows of the flattened batch, (B, N)."""
    first = torch.arange(0, len(target) * remaining, remaining, device=target.device)
    return target + first.unsqueeze(1)


def attention_bias(size: Tensor, dtype: torch.dtype) -> Tensor:
    """Proportional attention (equation 1): log size, (B, 1, 1, M), added to the attention logits."""
    return size.log().to(dtype)[:, None, None, :]
