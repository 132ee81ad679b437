"""Parallel text as arrays of token positions. A data set is a file of sets/ with a function that returns it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from models.inputs.text import Vocabulary
from trainables.data.text.options import TextOptions


@dataclass(frozen=True, eq=False)
class Sentences:
    """Sentences of token positions, one after another in two arrays, which processes share without copies."""

    tokens: np.ndarray  # (all tokens,) int32
    starts: np.ndarray  # (N + 1,) int64

    @classmethod
    def of(cls, sentences: Sequence[Sequence[int]]) -> Sentences:
        starts = np.cumsum([0, *map(len, sentences)], dtype=np.int64)
        return cls(np.fromiter(itertools.chain.from_iterable(sentences), np.int32, starts[-1]), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per sentence, (N,)."""
        return np.diff(self.starts)


@dataclass(frozen=True, eq=False)
class Pairs:
    """One split. The texts are as they were read; the training split has none, because nothing is compared with it."""

    source: Sentences
    target: Sentences
    source_text: tuple[str, ...] = ()
    target_text: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class TextData:
    """A data set. `note` says what was really read and what was skipped, and goes into every table."""

    name: str
    note: str
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    train: Pairs
    validation: Pairs
    test: Pairs


class TextDataSet(Protocol):
    """A file of sets/."""

    def load(self, data_dir: Path, options: TextOptions) -> TextData:
        """The data set, from `data_dir` if it is read from files. Raises DataError."""
