"""How images are split: train and test by name, stratified validation splits, class-balanced subsets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from trainables.data import DataError

TEST_SHARE = 0.2  # of a data set that comes without a test split

_SPLIT_WORDS = {
    "train": "train|training|trn|trainval",
    "test": "test|testing|tst",
    "validation": "validation|valid|val|dev|eval|evaluation|holdout",
}
_COMPANIONS = "sets?|data|datasets?|images?|imgs?|pics|pictures?|photos?|splits?|samples?|files?|folders?|my|the"

T = TypeVar("T")


def split_named(name: str) -> str | None:
    """`train`, `test` or `validation` if a word of a file's or folder's name says so.

    Companions may be glued to the word: `train-00000-of-00002`, `images_test`, `myTrainingSet`, `testimages`.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = re.findall(r"[a-z]+", re.sub(r"hold[-_ ]out", "holdout", spaced))
    for split, pattern in _SPLIT_WORDS.items():
        if any(re.fullmatch(rf"(?:{_COMPANIONS})*(?:{pattern})(?:{_COMPANIONS})*", word) for word in words):
            return split
    return None


def are_splits(names: Iterable[str]) -> bool:
    """Whether these names are those of splits: one says train, and another one test or validation."""
    splits = {split_named(name) for name in names} - {None}
    return "train" in splits and len(splits) > 1


def train_and_test(splits: Mapping[str, T], where: Path) -> tuple[T, T | None, str]:
    """(train, test, note for the table) among the named splits; test is None if train has to be split.

    A validation part replaces a missing test part. Beside a test part it is ignored: a study takes its validation
    images from train, so that all data sets are treated alike.
    """
    if "train" not in splits:
        raise DataError(f"{where}: a {' and a '.join(sorted(splits))} split but no train split; add one named 'train'")
    if "test" in splits:
        return splits["train"], splits["test"], ""
    if "validation" in splits:
        return splits["train"], splits["validation"], ", validation split as test"
    return splits["train"], None, f", {TEST_SHARE:.0%} split off as test"


def validation_split(labels: np.ndarray, share_or_count: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stratified (training indices, validation indices), each sorted; a float is a share of the images, an int a number.

    Every class keeps an image in train, and has one in validation if it has two or more and the count suffices. Seats
    go to classes as in the Webster/Sainte-Lague apportionment: image i of a class of n has priority (i + 1/2) / n, and
    the smallest priorities are taken. Raises DataError for an impossible share or count.
    """
    total, classes = len(labels), len(np.unique(labels))
    if isinstance(share_or_count, float):
        if not 0 < share_or_count < 1:
            raise DataError(f"a split's share is {share_or_count}; it must lie between 0 and 1")
        count = max(1, round(share_or_count * total))
    else:
        count = int(share_or_count)
    if not 1 <= count <= total - classes:
        raise DataError(
            f"cannot split {count} of {total} images off: from 1 to {total - classes} are possible, "
            f"because each of the {classes} classes keeps one"
        )

    rank, size, tie = _shuffled_ranks(labels, seed)
    priority = (rank + 0.5) / size
    if count >= classes:
        priority[rank == 0] = 0
    priority[rank == size - 1] = np.inf
    taken = np.zeros(total, dtype=bool)
    taken[np.lexsort((tie, priority))[:count]] = True
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def subset(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Indices of `size` images, spread over the classes as evenly as the data allow.

    Class counts differ by at most one; if a class runs out, the others fill up. Nested: for one seed, subset(k) is the
    start of subset(m) for every m > k. Raises DataError if there are fewer than `size` images.
    """
    if not 1 <= size <= len(labels):
        raise DataError(f"train_size {size} is impossible: there are {len(labels)} training images")
    rank, _, tie = _shuffled_ranks(labels, seed)
    return np.lexsort((tie, rank))[:size]


def _shuffled_ranks(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per image, (N,) each: its rank in its shuffled class, the size of its class, a random tie-breaker."""
    tie = np.random.default_rng(seed).permutation(len(labels))
    order = np.lexsort((tie, labels))  # class by class, shuffled within each
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - first[inverse[order]]
    return rank, counts[inverse], tie
