"""Test images to look at: the most confident mistakes of the best candidate, and one image of each class."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.read.study_folder import Study
from analysis.weigh.mistakes import Answers, best_answers
from record.contents import Sample, Unreadable, read_samples
from record.folder import StudyFolder

MAX_IMAGES = 12  # of each kind


class Example(NamedTuple):
    """One test image. `named`: the class that the runs named it most surely, of their mistakes where it is one."""

    image: npt.NDArray[np.uint8]  # (H, W, 3)
    label: str
    named: str
    confidence: float  # mean probability of that class in the runs that named it; NaN where it was not kept
    runs: int  # that named it


class Examples(NamedTuple):
    study: str
    candidate: str
    runs: int
    mistakes: list[Example]  # the most confident first
    of_classes: list[Example]


def examples(study: Study) -> list[Examples]:
    """Those of each study whose kept test images are known by their position in the test split."""
    return [
        Examples(
            each.study,
            each.candidate,
            len(each.predicted),
            _worst(each, kept, positions),
            _one_per_class(each, kept, positions),
        )
        for each in best_answers(study)
        for kept, positions in _kept(study.folders[each.study], each.labels)
    ]


def _kept(folder: StudyFolder, labels: npt.NDArray[np.int64]) -> list[tuple[Sample, npt.NDArray[np.int64]]]:
    """The kept test images and their positions; nothing where they are missing or not those of the labels."""
    try:
        kept = read_samples(folder)["test"]
    except Unreadable:
        return []
    # An older study wrote no positions; where it kept all images, they are in order.
    positions = np.arange(len(kept.labels)) if kept.positions is None else kept.positions
    is_whole = len(labels) == len(kept.labels) or kept.positions is not None
    fits = is_whole and positions.max(initial=-1) < len(labels) and np.array_equal(labels[positions], kept.labels)
    return [(kept, positions)] if fits else []


def _worst(answers: Answers, kept: Sample, positions: npt.NDArray[np.int64]) -> list[Example]:
    """By the probability that the runs gave to wrong classes, on average; where it was not kept, by the runs that were wrong."""
    is_wrong = answers.predicted[:, positions] != answers.labels[positions]
    weights = is_wrong * (1.0 if answers.confidences is None else answers.confidences[:, positions])
    scores = weights.mean(0)
    worst = np.argsort(-scores, kind="stable")[:MAX_IMAGES]
    return [_example(answers, kept, positions, i, weights[:, i]) for i in worst if scores[i] > 0]


def _one_per_class(answers: Answers, kept: Sample, positions: npt.NDArray[np.int64]) -> list[Example]:
    first = [int(np.flatnonzero(kept.labels == label)[0]) for label in np.unique(kept.labels)[:MAX_IMAGES]]
    weights = np.ones_like(answers.predicted, dtype=float) if answers.confidences is None else answers.confidences
    return [_example(answers, kept, positions, i, weights[:, positions[i]]) for i in first]


def _example(
    answers: Answers, kept: Sample, positions: npt.NDArray[np.int64], i: int, weights: npt.NDArray[np.float64]
) -> Example:
    """`weights` (runs,): how much the answer of each run counts in the choice of the class that is shown."""
    named = answers.predicted[:, positions[i]]
    shown = int(np.bincount(named, weights=weights).argmax())
    own = named == shown
    sure = np.nan if answers.confidences is None else float(answers.confidences[own, positions[i]].mean())
    return Example(kept.images[i], answers.classes[kept.labels[i]], answers.classes[shown], sure, int(own.sum()))
