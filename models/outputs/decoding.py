"""Greedy and beam-search decoding of the translation Transformer, in batches, with cached keys and values.

B = batch, S = source length, K = beams, V = target vocabulary. Everything can be computed without the cache too, which
is slower and gives the same tokens: the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.inputs.text import BEGIN, END, PADDING, UNKNOWN
from models.layers.transformer import DecoderCache
from models.translation_transformer import Transformer, source_mask

NEVER = (PADDING, UNKNOWN, BEGIN)  # tokens that no translation holds
SHRINK_BELOW = 0.75  # finished sentences leave the batch when fewer than this share of it is unfinished


@dataclass(frozen=True)
class Search:
    """How translations are searched for. One beam is greedy decoding."""

    beams: int = 1
    length_penalty: float = 0.6  # GNMT's alpha; 0 compares the bare log-probabilities
    cached: bool = True
    limit: int | None = None  # tokens of a translation, its end included; None: follows from the source's length

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise ValueError(f"beams must be 1 or more, got {self.beams}")
        if self.length_penalty < 0:
            raise ValueError(f"length_penalty must be 0 or more, got {self.length_penalty}")


def translate(
    model: Transformer, sources: Sequence[np.ndarray], search: Search = Search(), batch: int = 128
) -> list[list[int]]:
    """The translations of source sentences (token positions without specials), in their order, without specials.

    The model is put into evaluation mode and says the device. Sentences of like length are decoded together, `batch`
    beams at a time.
    """
    model.eval()
    device = model.positions.device
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found: dict[int, list[int]] = {}
    size = max(1, batch // search.beams)
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        source = torch.from_numpy(padded([sources[i] for i in rows])).to(device)
        decode = greedy if search.beams == 1 else beam
        found |= zip(rows, decode(model, source, search), strict=True)
    return [found[i] for i in range(len(sources))]


def padded(sources: Sequence[np.ndarray]) -> np.ndarray:
    """(B, S) int64: each sentence with END after it and padding to the longest."""
    table = np.full((len(sources), max(map(len, sources)) + 1), PADDING, dtype=np.int64)
    for row, source in zip(table, sources, strict=True):
        row[: len(source)] = source
        row[len(source)] = END
    return table


def longest_output(source_length: Tensor) -> Tensor:
    """The number of tokens after which decoding gives up on the end of a sentence; lengths count the source's END."""
    return source_length + source_length // 2 + 10


def _limits(model: Transformer, mask: Tensor, search: Search) -> Tensor:
    """Tokens of each translation at most, (B,): by its own source, so that its neighbours in the batch do not matter."""
    limits = longest_output(mask.sum((1, 2)))
    if search.limit is not None:
        limits = torch.full_like(limits, search.limit)
    return limits.clamp(max=model.config.max_length - 1)


@torch.inference_mode()
def greedy(model: Transformer, source: Tensor, search: Search = Search()) -> list[list[int]]:
    """The likeliest token, again and again: source (B, S) -> B translations without specials."""
    mask = source_mask(source)
    memory = model.encode(source, mask)
    limits = _limits(model, mask, search)
    longest = int(limits.max())
    written = torch.full((len(source), longest + 1), PADDING, device=source.device)
    written[:, 0] = BEGIN
    rows = torch.arange(len(source), device=source.device)  # of the sentences that are in the batch still
    alive = torch.ones_like(rows, dtype=torch.bool)
    cache = DecoderCache(model.config.layers) if search.cached else None
    for step in range(longest):
        begin = step if cache else 0
        states = model.decode(written[rows, begin : step + 1], memory, mask, cache)
        token = _allowed(model.output(states[:, -1])).argmax(1)
        written[rows, step + 1] = torch.where(alive, token, PADDING)
        alive &= (token != END) & (step + 1 < limits[rows])
        left = int(alive.sum())
        if left == 0:
            break
        if left < SHRINK_BELOW * len(rows):
            kept = alive.nonzero().squeeze(1)
            rows, memory, mask, alive = rows[kept], memory[kept], mask[kept], alive[kept]
            if cache:
                cache.select(kept)
    return [_sentence(tokens) for tokens in written.tolist()]


@dataclass
class _Found:
    """The finished translations of one sentence: their number, and the best."""

    count: int = 0
    score: float = -float("inf")
    tokens: tuple[int, ...] = ()

    def add(self, score: float, tokens: Sequence[int]) -> None:
        self.count += 1
        if score > self.score:
            self.score, self.tokens = score, tuple(tokens)


@torch.inference_mode()
def beam(model: Transformer, source: Tensor, search: Search) -> list[list[int]]:
    """Beam search: source (B, S) -> the translation of each sentence with the best score, without specials.

    A score is the log-probability over ((5 + length) / 6) ** length_penalty (Wu et al. 2016, arXiv 1609.08144, section
    7), where the length counts END. A sentence is done once K of its translations have ended.
    """
    beams, device = search.beams, source.device
    mask = source_mask(source)
    limits = _limits(model, mask, search)
    memory = model.encode(source, mask).repeat_interleave(beams, 0)  # (B K, S, width)
    mask = mask.repeat_interleave(beams, 0)
    found = [_Found() for _ in source]
    sentences = list(range(len(source)))  # those that are in the batch still
    written = torch.full((len(source) * beams, 1), BEGIN, device=device)
    # All beams of a sentence begin alike: only the first may be continued.
    scores = torch.full((len(source), beams), -torch.inf, device=device)
    scores[:, 0] = 0
    cache = DecoderCache(model.config.layers) if search.cached else None
    for step in range(1, int(limits.max()) + 1):
        states = model.decode(written[:, -1:] if cache else written, memory, mask, cache)
        logits = _allowed(model.output(states[:, -1]).float())
        total = scores.unsqueeze(2) + logits.log_softmax(1).unflatten(0, (-1, beams))  # (B, K, V)
        # At most K of the best 2 K end here: the others are enough to go on with.
        best, where = total.flatten(1).topk(min(2 * beams, total[0].numel()))
        parent, token = where // total.shape[2], where % total.shape[2]
        penalty = ((5 + step) / 6) ** search.length_penalty
        # At a sentence's limit, what has not ended is taken as it stands.
        ends = (token == END) | (step >= limits).unsqueeze(1)
        for row, rank in (ends[:, :beams] & best[:, :beams].isfinite()).nonzero().tolist():
            tokens = [*written[row * beams + int(parent[row, rank])].tolist(), int(token[row, rank])]
            found[sentences[row]].add(float(best[row, rank]) / penalty, tokens)
        going = best.masked_fill(token == END, -torch.inf)
        scores, rank = going.topk(beams)  # (B, K)
        first = torch.arange(0, len(written), beams, device=device).unsqueeze(1)
        rows = (first + parent.gather(1, rank)).flatten()  # of the beams that each one continues
        written = torch.cat([written[rows], token.gather(1, rank).reshape(-1, 1)], 1)
        going_on = (step < limits).tolist()
        unfinished = [row for row, sentence in enumerate(sentences) if going_on[row] and found[sentence].count < beams]
        if not unfinished:
            break
        if len(unfinished) < len(sentences):
            kept = torch.tensor(unfinished, device=device)
            sentences = [sentences[row] for row in unfinished]
            scores, limits = scores[kept], limits[kept]
            flat = (kept.unsqueeze(1) * beams + torch.arange(beams, device=device)).flatten()
            written, rows, memory, mask = written[flat], rows[flat], memory[flat], mask[flat]
        if cache:
            cache.select(rows)
    return [_sentence([*each.tokens]) for each in found]


def _allowed(logits: Tensor) -> Tensor:
    """The logits (..., V) with the tokens that no translation holds made impossible."""
    logits[..., list(NEVER)] = -torch.inf
    return logits


def _sentence(tokens: list[Any]) -> list[int]:
    """BEGIN, tokens, END or padding -> the tokens."""
    ends = [position for position, token in enumerate(tokens) if token in (END, PADDING)]
    return tokens[1 : ends[0] if ends else None]
