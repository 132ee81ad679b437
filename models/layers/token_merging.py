"""Token merging, as pure functions, written from "Token Merging: Your ViT But Faster" (Bolya et al., arXiv 2210.09461).

B = batch, N = tokens in, M = N - r = tokens out, P = prefix tokens (class, register, distillation), which are never merged.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.layers import merging_graph


def schedule(ratio: float, tokens: int, blocks: int, kind: str = "constant") -> list[int]:
    """How many tokens each block merges away; the sum is round(ratio * tokens).

    "constant" merges the same number in every block, "decreasing" falls linearly from twice the mean to about zero. A
    block can merge at most half of the tokens left, so a steep constant schedule would fall short in its last blocks:
    then the whole curve is made steeper, as little as possible, so that earlier blocks merge the rest. If halving in
    every block does not reach the ratio, every block halves. Raises ValueError as `check_schedule` does.
    """
    check_schedule(ratio, kind)
    weights = [1] * blocks if kind == "constant" else [2 * (blocks - i) - 1 for i in range(blocks)]
    total = round(ratio * tokens)
    shares = list(accumulate(weights))

    def merged_after_each(volume: int) -> list[int]:
        """Follow a curve that ends at volume >= total, limited to the total and to half of the tokens left."""
        merged = [0]
        for share in shares:
            target = min(total, round(volume * share / shares[-1]))
            merged.append(max(merged[-1], min(target, merged[-1] + (tokens - merged[-1]) // 2)))
        return merged

    volumes = range(total, total * shares[-1] + 1)
    steepest = len(volumes) - 1
    flattest = bisect_left(volumes, True, hi=steepest, key=lambda volume: merged_after_each(volume)[-1] == total)
    merged = merged_after_each(volumes[flattest])
    return [after - before for before, after in pairwise(merged)]


def check_schedule(ratio: float, kind: str) -> None:
    """Raises ValueError for a ratio outside [0, 1) and for an unknown kind of schedule."""
    if not 0 <= ratio < 1:
        raise ValueError(f"tome_ratio is {ratio}; it is a share of the patch tokens, 0 <= tome_ratio < 1")
    if kind not in ("constant", "decreasing"):
        raise ValueError(f"tome_schedule is '{kind}'; use 'constant' or 'decreasing'")


def token_counts(merges: list[int], tokens: int) -> list[int]:
    """Tokens left after each block."""
    return [tokens - merged for merged in accumulate(merges)]


class Match(NamedTuple):
    """Which tokens merge. Rows count in the flattened batch: B * N tokens before merging, B * M after it."""

    target: Tensor  # (B, N): for each token its position among the M that remain
    staying: Tensor  # (B * M,): the rows of the tokens that remain
    leaving: Tensor  # (B * r,): the rows of the tokens that merge into others
    receiving: Tensor  # (B * r,): the rows, after merging, that they merge into


def merge_similar(x: Tensor, size: Tensor | None, keys: Tensor, r: int, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
    """`match` and `merge`: merged x (B, M, C), size (B, M), and for each token its position among them (B, N)."""
    if torch.compiler.is_exporting():
        return merging_graph.merge(x, size, similarities(keys, prefix), r, prefix)
    matched = match(keys, r, prefix)
    return *merge(x, size, matched), matched.target


def match(keys: Tensor, r: int, prefix: int) -> Match:
    """Bipartite soft matching (section 3): the r most similar pairs, 1 <= r <= (N - P) / 2.

    keys (B, N, d): only their directions count. Tokens alternate between the sets A and B; each token of A proposes its
    most similar (cosine) token of B, and the r best proposals merge. The tokens that remain keep their order.

    These tensors are small, so launch overhead dominates: keep the number of operations low.
    """
    return best_match(similarities(keys, prefix), r, prefix)


def similarities(keys: Tensor, prefix: int) -> Tensor:
    """Cosines of the keys of A and B: (B, N, d) -> (B, |A|, |B|)."""
    keys = keys.detach()
    directions = keys / torch.linalg.vector_norm(keys, dim=-1, keepdim=True).clamp_min(1e-12)
    a, b = directions[:, prefix::2], directions[:, prefix + 1 :: 2]
    if _is_single(keys):  # so small a product in bfloat16 takes longer to start than to compute; autocast skips float64
        return (a.double() @ b.double().transpose(1, 2)).to(keys.dtype)
    return a @ b.transpose(1, 2)


def best_match(similarity: Tensor, r: int, prefix: int) -> Match:
    """`match` on given similarities (B, |A|, |B|); among equals the earlier token wins."""
    if _is_single(similarity):
        return _match_single(similarity[0].float().numpy(), r, prefix)
    (batch, size_a, size_b), device = similarity.shape, similarity.device
    count = prefix + size_a + size_b
    remaining = count - r
    score, partner = similarity.max(dim=2)  # (B, |A|)
    chosen = score.argsort(dim=1, descending=True, stable=True)[:, :r]  # (B, r) in A
    stays = torch.ones(batch, count, dtype=torch.long, device=device)
    stays[:, prefix::2].scatter_(1, chosen, 0)
    staying = torch.nonzero_static(stays.view(-1), size=batch * remaining).view(-1)
    target = stays.cumsum_(1).sub_(1)
    receiving = target[:, prefix + 1 :: 2].gather(1, partner.gather(1, chosen))
    target[:, prefix::2].scatter_(1, chosen, receiving)
    first_a = torch.arange(prefix, batch * count, count, device=device).unsqueeze(1)
    leaving = torch.add(first_a, chosen, alpha=2)
    return Match(target, staying, leaving.view(-1), _rows(receiving, remaining))


def _is_single(x: Tensor) -> bool:
    """Whether x is of one image on a CPU, in eager mode: then NumPy takes about half the time of torch's operations."""
    if torch.compiler.is_compiling() or torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False  # nor may a graph for any number of images depend on the number
    return len(x) == 1 and x.device.type == "cpu"


def _match_single(similarity: np.ndarray, r: int, prefix: int) -> Match:
    """`best_match` of one image: similarity (|A|, |B|)."""
    partner = similarity.argmax(1)
    chosen = (-similarity.max(1)).argsort(kind="stable")[:r]
    leaving = prefix + 2 * chosen
    stays = np.ones(prefix + sum(similarity.shape), np.bool_)
    stays[leaving] = False
    target = stays.cumsum() - 1
    target[leaving] = receiving = target[prefix + 1 + 2 * partner[chosen]]
    tensors = (torch.from_numpy(each) for each in (target, stays.nonzero()[0], leaving, receiving))
    return Match(next(tensors).unsqueeze(0), *tensors)


def _rows(positions: Tensor, tokens: int) -> Tensor:
    """Positions (B, any) among the `tokens` of each image -> rows of the flattened batch."""
    first = torch.arange(0, positions.shape[0] * tokens, tokens, device=positions.device)
    return (positions + first.unsqueeze(1)).view(-1)


def merge(x: Tensor, size: Tensor | None, matched: Match) -> tuple[Tensor, Tensor]:
    """Size-weighted mean of the tokens that share a target: x (B, N, C), size (B, N) -> (B, M, C), (B, M).

    size: the number of patches in each token; None means one each.
    """
    batch, count, channels = x.shape
    sizes = torch.ones(batch * count, device=x.device) if size is None else size.flatten()
    leaving_size = sizes.index_select(0, matched.leaving)
    merged_size = sizes.index_select(0, matched.staying).index_add_(0, matched.receiving, leaving_size)
    share = (leaving_size / merged_size.index_select(0, matched.receiving)).to(x.dtype).unsqueeze(1)
    if x.requires_grad:
        merged = _WeightedMean.apply(x.flatten(0, 1), share, sizes, merged_size, *matched)
    else:
        merged = _weighted_mean(x.flatten(0, 1), share, matched)
    return merged.view(batch, -1, channels), merged_size.view(batch, -1)


def _weighted_mean(rows: Tensor, share: Tensor, matched: Match) -> Tensor:
    """rows (B * N, C), share (B * r, 1) of a leaving token in the token it merges into -> (B * M, C).

    Copies the staying rows and moves the receiving ones towards the leaving ones: arithmetic on r rows per image only.
    """
    merged = rows.index_select(0, matched.staying)
    step = rows.index_select(0, matched.leaving).sub_(merged.index_select(0, matched.receiving))
    return merged.index_add_(0, matched.receiving, step.mul_(share))


class _WeightedMean(torch.autograd.Function):
    """`_weighted_mean` with a gradient of one gather: the gradient of a token's target times its share in the target."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, share: Tensor, sizes: Tensor, merged_size: Tensor, target: Tensor, *matched: Tensor
    ) -> Tensor:
        ctx.save_for_backward(sizes, merged_size, target)
        return _weighted_mean(rows, share, Match(target, *matched))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sizes, merged_size, target = ctx.saved_tensors
        into = _rows(target, len(merged_size) // len(target))
        weight = sizes / merged_size.index_select(0, into)  # exactly 1 for a token that does not merge
        return gradient.index_select(0, into).mul_(weight.to(gradient.dtype).unsqueeze(1)), *[None] * 7


def attention_bias(size: Tensor, dtype: torch.dtype) -> Tensor:
    """Proportional attention (equation 1): log size, (B, 1, 1, M), added to the attention logits."""
    return size.log().to(dtype)[:, None, None]
