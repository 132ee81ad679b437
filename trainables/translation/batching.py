"""Which sentence pairs make a batch, and the batch as tensors. N = target length, S = source length, T = target tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.inputs.text import BEGIN, END, PADDING
from trainables.data.text.text_data import Pairs


@dataclass(frozen=True)
class Batch:
    """B pairs. The model reads `source` and `target` and should predict `labels` at the flat positions `where`."""

    source: Tensor  # (B, S) int64, END after each sentence
    target: Tensor  # (B, N) int64, BEGIN before each sentence
    labels: Tensor  # (T,) int64: the target tokens with END, without padding
    where: Tensor  # (T,) int64, row * N + column


def padded_lengths(pairs: Pairs) -> np.ndarray:
    """Tokens on the longer side of each pair, with the special token that is added there, (N,)."""
    return np.maximum(pairs.source.lengths, pairs.target.lengths) + 1


def buckets(pairs: Pairs, indices: np.ndarray, batch_tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of pairs of similar length, in random order, each of at most `batch_tokens` tokens with its padding.

    Tokens are counted on a pair's longer side. A pair that exceeds the limit by itself is a batch of its own.
    """
    source, target = pairs.source.lengths[indices], pairs.target.lengths[indices]
    order = np.lexsort((rng.random(len(indices)), source, target))
    lengths = padded_lengths(pairs)[indices[order]]
    batches, start, longest = [], 0, 0
    for end, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if end > start and longest * (end - start + 1) > batch_tokens:
            batches.append(indices[order[start:end]])
            start, longest = end, length
    batches.append(indices[order[start:]])
    return [batches[i] for i in rng.permutation(len(batches))]


def fixed_size(indices: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of `size` pairs, whatever their lengths, in random order."""
    shuffled = rng.permutation(indices)
    return [shuffled[start : start + size] for start in range(0, len(shuffled), size)]


def collate(pairs: Pairs, indices: np.ndarray, pad_to: int, device: torch.device) -> Batch:
    """The batch of these pairs on the device. pad_to: the length to pad or cut sentences to; 0: that of the longest."""
    rows = indices.tolist()
    source = _table([pairs.source[i] for i in rows], pad_to, before=(), after=(END,))
    target = _table([pairs.target[i] for i in rows], pad_to + 1 if pad_to else 0, before=(BEGIN,), after=(END,))
    inputs, labels = target[:, :-1], target[:, 1:].reshape(-1)
    where = np.flatnonzero(labels != PADDING)
    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in (source, inputs, labels[where], where))
    return Batch(*(tensor.to(device, non_blocking=True) for tensor in tensors))


def _table(sentences: Sequence[np.ndarray], length: int, before: tuple[int, ...], after: tuple[int, ...]) -> np.ndarray:
    """(B, length) int64; length 0: that of the longest sentence."""
    rows = [np.concatenate([before, sentence, after]) for sentence in sentences]
    table = np.full((len(rows), length or max(map(len, rows))), PADDING, dtype=np.int64)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row[: len(line)]
    return table
