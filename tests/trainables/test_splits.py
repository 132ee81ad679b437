"""Training and held-out images: balanced, nested, seeded, and disjoint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data import DataError
from trainables.data.images.splits import split_named, subset, validation_split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00002", "train"),
        ("training", "train"),
        ("TEST", "test"),
        ("validation", "validation"),
        ("val_1", "validation"),
        ("trains", None),
        ("tester", None),
        ("everything", None),
    ],
)
def test_a_name_starts_with_its_split(name: str, split: str | None) -> None:
    assert split_named(name) == split


label_lists = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(np.array)


@given(label_lists, st.integers(0, 3), st.data())
@settings(deadline=None)
def test_subset_is_balanced_nested_and_seeded(labels: np.ndarray, seed: int, draw: st.DataObject) -> None:
    size = draw.draw(st.integers(1, len(labels)))
    index = subset(labels, size, seed)
    assert len(set(index.tolist())) == size
    available = np.bincount(labels, minlength=6)
    taken = np.bincount(labels[index], minlength=6)
    not_exhausted = taken[taken < available]
    if len(not_exhausted):  # no class is more than one image ahead of a class that still has images
        assert taken.max() - not_exhausted.min() <= 1
    smaller = draw.draw(st.integers(1, size))
    assert subset(labels, smaller, seed).tolist() == index[:smaller].tolist()


def test_subset_fills_up_from_the_other_classes() -> None:
    labels = np.array([0] * 2 + [1] * 10 + [2] * 10)
    assert np.bincount(labels[subset(labels, 14, seed=0)]).tolist() == [2, 6, 6]


def test_subset_differs_by_seed() -> None:
    labels = np.arange(100) % 10
    assert set(subset(labels, 50, seed=0).tolist()) != set(subset(labels, 50, seed=1).tolist())


@pytest.mark.parametrize("size", [0, -1, 101])
def test_an_impossible_subset_is_refused_with_both_numbers(size: int) -> None:
    with pytest.raises(DataError, match=f"train_size {size} .*100 training images"):
        subset(np.arange(100) % 10, size, seed=0)


@given(label_lists, st.integers(0, 3), st.data())
@settings(deadline=None)
def test_validation_split_is_a_partition_that_leaves_every_class_in_train(
    labels: np.ndarray, seed: int, draw: st.DataObject
) -> None:
    classes = len(np.unique(labels))
    if len(labels) == classes:
        return
    count = draw.draw(st.integers(1, len(labels) - classes))
    train, validation = validation_split(labels, count, seed)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(len(labels)))
    assert len(validation) == count
    assert set(labels[train]) == set(labels)
    if count >= classes:
        pairs = {label for label in set(labels.tolist()) if (labels == label).sum() > 1}
        assert pairs <= set(labels[validation].tolist())


@given(st.integers(2, 30), st.integers(2, 6), st.floats(0.05, 0.5), st.integers(0, 3))
@settings(deadline=None)
def test_validation_split_of_equal_classes_differs_by_one_at_most(
    per_class: int, classes: int, share: float, seed: int
) -> None:
    labels = np.arange(per_class * classes) % classes
    _, validation = validation_split(labels, share, seed)
    counts = np.bincount(labels[validation], minlength=classes)
    assert counts.max() - counts.min() <= 1
    assert len(validation) == max(1, round(share * len(labels)))


def test_validation_split_follows_the_class_shares() -> None:
    labels = np.array([0] * 100 + [1] * 50 + [2] * 10)
    _, validation = validation_split(labels, 0.2, seed=0)
    assert np.bincount(labels[validation]).tolist() == [20, 10, 2]


@pytest.mark.parametrize(
    ("amount", "match"),
    [(0, "cannot split 0 of 20"), (19, "from 1 to 18"), (1.0, "between 0 and 1"), (0.0, "between 0 and 1")],
)
def test_an_impossible_validation_split_is_refused(amount: float, match: str) -> None:
    with pytest.raises(DataError, match=match):
        validation_split(np.arange(20) % 2, amount, seed=0)
