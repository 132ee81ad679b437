"""Token merging, as pure functions, written from "Token Merging: Your ViT But Faster" (Bolya et al., arXiv 2210.09461).

B = batch, N = tokens in, M = N - r = tokens out, P = prefix tokens (class, register, distillation), which are never merged.
A merge is one tensor, `target` (B, N): for each token its position among the M that remain.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise

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


def match(keys: Tensor, r: int, prefix: int) -> Tensor:
    """Bipartite soft matching (section 3): target (B, N) of the r most similar pairs, for keys (B, N, d), 1 <= r <= (N - P) / 2.

    Tokens alternate between the sets A and B; each token of A proposes its most similar (cosine) token of B, and the r
    best proposals merge. The tokens that remain keep their order.
    """
    with torch.no_grad():
        directions = F.normalize(keys[:, prefix:], dim=-1)
        similarity = directions[:, 0::2] @ directions[:, 1::2].transpose(1, 2)  # (B, |A|, |B|)
        return target_of_best(similarity, r, prefix)


def target_of_best(similarity: Tensor, r: int, prefix: int) -> Tensor:
    """`match` on given similarities (B, |A|, |B|); among equals the earlier token wins."""
    batch, size_a, size_b = similarity.shape
    score, partner = similarity.max(dim=2)  # (B, |A|)
    chosen = score.argsort(dim=1, descending=True, stable=True)[:, :r]  # (B, r) in A
    leaving = prefix + 2 * chosen  # (B, r) in N
    receiving = prefix + 2 * partner.gather(1, chosen) + 1
    stays = torch.ones(batch, prefix + size_a + size_b, dtype=torch.long, device=similarity.device)
    target = stays.scatter(1, leaving, 0).cumsum(1) - 1
    return target.scatter(1, leaving, target.gather(1, receiving))


def merge(x: Tensor, size: Tensor | None, target: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Size-weighted mean of the tokens that share a target: x (B, N, C), size (B, N) or None for ones -> (B, M, C), (B, M).

    Size counts the patches in a token. One weighted scatter forward, one gather backward: rows are addressed in the
    flattened batch, which both CPU and GPU copy whole.
    """
    batch, count, channels = x.shape
    if size is None:
        size = torch.ones(batch, count, device=x.device)
    merged_size = size.new_zeros(batch, count - r).scatter_add(1, target, size)
    weight = size / merged_size.gather(1, target)  # exactly 1 for a token that merges with none
    first_row = torch.arange(0, batch * (count - r), count - r, device=x.device).unsqueeze(1)
    rows = (target + first_row).flatten()  # (B N) in B M
    weighted = (x * weight.to(x.dtype).unsqueeze(2)).flatten(0, 1)
    merged = x.new_zeros(batch * (count - r), channels).index_add_(0, rows, weighted)
    return merged.view(batch, count - r, channels), merged_size


def attention_bias(size: Tensor, dtype: torch.dtype) -> Tensor:
    """Proportional attention (equation 1): log size, (B, 1, 1, M), added to the attention logits."""
    return size.log().to(dtype)[:, None, None, :]
