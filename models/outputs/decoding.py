"""Greedy and beam-search decoding of the translation Transformer, in batches, with cached keys and values.

B = batch, S = source length, K = beams, V = target vocabulary. Decoding without the cache is slower and gives the same
tokens: the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models import check_counts
from models.inputs.text import BEGIN, END, PADDING, UNKNOWN
from models.layers.transformer import DecoderCache
from models.translation_transformer import Transformer, source_mask

EXCLUDED = (PADDING, UNKNOWN, BEGIN)  # tokens that a translation never contains
SHRINK_BELOW = 0.75  # finished sentences leave the batch when fewer than this share of it is unfinished


@dataclass(frozen=True)
class Search:
    """How to search for translations. One beam is greedy decoding."""

    beams: int = 1
    length_penalty: float = 0.6  # GNMT's alpha; 0 compares the bare log-probabilities
    cached: bool = True
    limit: int | None = None  # tokens of a translation, its end included; None: follows from the source's length

    def __post_init__(self) -> None:
        check_counts(beams=self.beams)
        if self.length_penalty < 0:
            raise ValueError(f"length_penalty must be 0 or more, got {self.length_penalty}")


def translate(
    model: Transformer, sources: Sequence[np.ndarray], search: Search = Search(), batch: int = 128
) -> list[list[int]]:
    """Translate source sentences: token positions without special ones, in the same order as the sources.

    Puts the model into evaluation mode and decodes on its device. Sentences of similar length are decoded together,
    `batch` beams at a time.
    """
    model.eval()
    device = model.positions.device
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    translations: dict[int, list[int]] = {}
    size = max(1, batch // search.beams)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        source = torch.from_numpy(padded([sources[i] for i in rows])).to(device)
        decode = greedy if search.beams == 1 else beam
        translations |= zip(rows, decode(model, source, search), strict=True)
    return [translations[i] for i in range(len(sources))]


def padded(sources: Sequence[np.ndarray]) -> np.ndarray:
    """(B, S) int64: each sentence, then END, then padding up to the longest."""
    table = np.full((len(sources), max(map(len, sources)) + 1), PADDING, dtype=np.int64)
    for row, source in zip(table, sources, strict=True):
        row[: len(source)] = source
        row[len(source)] = END
    return table


def longest_output(source_length: Tensor) -> Tensor:
    """The number of tokens after which a translation is cut off; the source's length counts its END."""
    return source_length + source_length // 2 + 10


def _limits(model: Transformer, mask: Tensor, search: Search) -> Tensor:
    """The most tokens of each translation, (B,). They follow from its own source, whatever else is in the batch."""
    limits = longest_output(mask.sum((1, 2)))
    if search.limit is not None:
        limits = torch.full_like(limits, search.limit)
    return limits.clamp(max=model.config.max_length - 1)


# no_grad, not inference_mode: there, autocast of torch 2.14 converts all weights again in every step.
@torch.no_grad()
def greedy(model: Transformer, source: Tensor, search: Search = Search()) -> list[list[int]]:
    """The most likely token at each step: source (B, S) -> B translations without special tokens."""
    mask = source_mask(source)
    memory = model.encode(source, mask)
    limits = _limits(model, mask, search)
    longest = int(limits.max())
    written = torch.full((len(source), longest + 1), PADDING, device=source.device)
    written[:, 0] = BEGIN
    rows = torch.arange(len(source), device=source.device)  # of the sentences that are still in the batch
    alive = torch.ones_like(rows, dtype=torch.bool)
    cache = DecoderCache(model.config.layers) if search.cached else None
    for step in range(longest):
        start = step if cache else 0
        states = model.decode(written[rows, start : step + 1], memory, mask, cache)
        token = _allowed(model.output(states[:, -1])).argmax(1)
        written[rows, step + 1] = torch.where(alive, token, PADDING)
        alive &= (token != END) & (step + 1 < limits[rows])
        remaining = alive.nonzero().squeeze(1)
        if len(remaining) == 0:
            break
        if len(remaining) < SHRINK_BELOW * len(rows):
            rows, memory, mask, alive = rows[remaining], memory[remaining], mask[remaining], alive[remaining]
            if cache:
                cache.select(remaining)
    return [_sentence(tokens) for tokens in written.tolist()]


@torch.no_grad()
def beam(model: Transformer, source: Tensor, search: Search) -> list[list[int]]:
    """Beam search: source (B, S) -> the translation of each sentence with the best score, without special tokens.

    A score is the log-probability over ((5 + length) / 6) ** length_penalty (Wu et al. 2016, arXiv 1609.08144, section
    7), where the length counts END. A sentence is finished once K of its translations have ended.
    """
    batch = _Beams(model, source, search)
    finished = [_Finished() for _ in source]
    for step in range(1, int(batch.limits.max()) + 1):
        best, parent, token = batch.expand()
        penalty = ((5 + step) / 6) ** search.length_penalty
        # A translation that has reached its limit is taken as it stands.
        ends = ((token == END) | (step >= batch.limits).unsqueeze(1))[:, : search.beams]
        for row, rank in (ends & best[:, : search.beams].isfinite()).nonzero().tolist():
            tokens = [*batch.tokens(row, int(parent[row, rank])), int(token[row, rank])]
            finished[batch.sentences[row]].add(float(best[row, rank]) / penalty, tokens)
        below_limit = (step < batch.limits).tolist()
        unfinished = [
            row
            for row, sentence in enumerate(batch.sentences)
            if below_limit[row] and finished[sentence].count < search.beams
        ]
        if not unfinished:
            break
        batch.advance(best, parent, token, unfinished)
    return [_sentence([*each.tokens]) for each in finished]


@dataclass
class _Finished:
    """The finished translations of one sentence: their number, and the best one."""

    count: int = 0
    score: float = -float("inf")
    tokens: tuple[int, ...] = ()

    def add(self, score: float, tokens: Sequence[int]) -> None:
        self.count += 1
        if score > self.score:
            self.score, self.tokens = score, tuple(tokens)


class _Beams:
    """The unfinished sentences of a batch with K beams each; beam k of sentence b is row b K + k."""

    def __init__(self, model: Transformer, source: Tensor, search: Search) -> None:
        mask = source_mask(source)
        self.model, self.count = model, search.beams
        self.sentences = list(range(len(source)))
        self.limits = _limits(model, mask, search)  # (B,)
        self.memory = model.encode(source, mask).repeat_interleave(self.count, 0)  # (B K, S, width)
        self.mask = mask.repeat_interleave(self.count, 0)  # (B K, 1, S)
        self.written = torch.full((len(self.mask), 1), BEGIN, device=source.device)  # (B K, tokens so far)
        # All beams of a sentence start alike: only the first may be continued.
        self.scores = torch.full((len(source), self.count), -torch.inf, device=source.device)
        self.scores[:, 0] = 0
        self.cache = DecoderCache(model.config.layers) if search.cached else None

    def tokens(self, sentence: int, beam: int) -> list[int]:
        """What a beam has written so far, BEGIN included."""
        return self.written[sentence * self.count + beam].tolist()

    def expand(self) -> tuple[Tensor, Tensor, Tensor]:
        """The best ways to continue each sentence by one token, best first: score, beam and token, (B, 2 K) each."""
        written = self.written[:, -1:] if self.cache else self.written
        states = self.model.decode(written, self.memory, self.mask, self.cache)
        logits = _allowed(self.model.output(states[:, -1]).float())
        total = self.scores.unsqueeze(2) + logits.log_softmax(1).unflatten(0, (-1, self.count))  # (B, K, V)
        # At most K of the best 2 K end here, so K remain to continue with.
        best, where = total.flatten(1).topk(min(2 * self.count, total[0].numel()))
        return best, where // total.shape[2], where % total.shape[2]

    def advance(self, best: Tensor, parent: Tensor, token: Tensor, unfinished: list[int]) -> None:
        """Keep these sentences, each with its K best continuations that have not ended."""
        kept = torch.tensor(unfinished, device=best.device)
        scores, rank = best.masked_fill(token == END, -torch.inf).topk(self.count)  # (B, K)
        first = torch.arange(0, len(self.written), self.count, device=best.device).unsqueeze(1)
        rows = (first + parent.gather(1, rank))[kept].flatten()  # that the beams continue
        self.written = torch.cat([self.written[rows], token.gather(1, rank)[kept].reshape(-1, 1)], 1)
        self.scores, self.limits = scores[kept], self.limits[kept]
        if len(unfinished) < len(self.sentences):
            self.sentences = [self.sentences[row] for row in unfinished]
            self.memory, self.mask = self.memory[rows], self.mask[rows]
        if self.cache:
            self.cache.select(rows)


def _allowed(logits: Tensor) -> Tensor:
    """The logits (..., V), with those of excluded tokens set to -inf in place."""
    logits[..., list(EXCLUDED)] = -torch.inf
    return logits


def _sentence(tokens: list[int]) -> list[int]:
    """BEGIN, tokens, END or padding -> the tokens."""
    ends = [position for position, token in enumerate(tokens) if token in (END, PADDING)]
    return tokens[1 : ends[0] if ends else None]
