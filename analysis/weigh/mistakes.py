"""What an image classifier takes for what, by its stored predictions of the test images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.read.candidates import confirm_runs, terms
from analysis.read.data_facts import classes
from analysis.read.study_folder import Study
from analysis.weigh.statistics import accuracy_interval, wilson_interval
from record.contents import read_predictions
from record.folder import StudyFolder


class Mistakes(NamedTuple):
    """Of one confirmed candidate."""

    study: str
    candidate: str
    classes: list[str]
    counts: npt.NDArray[np.int64]  # (seeds, classes, classes): test images of the second's class named as the third's

    def named(self) -> npt.NDArray[np.float64]:
        """(classes, classes): share of the images of a row's class that are named as a column's; NaN without images."""
        images = self.counts.sum((0, 2), keepdims=True)[0]
        return np.divide(self.counts.sum(0), images, out=np.full(self.counts.shape[1:], np.nan), where=images > 0)

    def by_class(self) -> pd.DataFrame:
        """One row per class that has test images, the least accurate first.

        `low`, `high`: 95 % of its accuracy over seeds and images together (of one seed: over images alone, Wilson).
        `taken_for`: the class that its images are most often wrongly named as, with the share of them; of equals the first.
        """
        rows, named = [], self.named()
        for i, (name, of_class) in enumerate(zip(self.classes, self.counts.transpose(1, 0, 2), strict=True)):
            images = int(of_class[0].sum())
            if not images:
                continue
            accuracies = of_class[:, i] / images
            several = len(accuracies) > 1
            low, high = accuracy_interval(accuracies, images) if several else wilson_interval(of_class[0, i], images)
            wrong = np.where(np.arange(len(self.classes)) == i, -1.0, named[i])
            other = int(wrong.argmax())
            taken_for = self.classes[other] if wrong[other] > 0 else None
            rows.append(
                {"class": name, "images": images, "accuracy": accuracies.mean(), "low": low, "high": high}
                | {"taken_for": taken_for, "share": wrong[other] if taken_for else np.nan}
            )
        return pd.DataFrame(rows).sort_values("accuracy", kind="stable", ignore_index=True)


def mistakes(study: Study) -> list[Mistakes]:
    """Those of each study's candidate that is the most accurate in validation; none where its predictions are not at hand."""
    return [
        Mistakes(
            each.study,
            each.candidate,
            each.classes,
            np.stack([_confusion(each.labels, named, len(each.classes)) for named in each.predicted]),
        )
        for each in best_answers(study)
    ]


class Answers(NamedTuple):
    """What the runs of one confirmed candidate named each test image."""

    study: str
    candidate: str
    classes: list[str]
    labels: npt.NDArray[np.int64]  # (images,)
    predicted: npt.NDArray[np.int64]  # (seeds, images)
    confidences: npt.NDArray[np.float64] | None  # (seeds, images), the probability of each; None where it was not kept


def best_answers(study: Study) -> list[Answers]:
    """Those of each study's candidate that is the most accurate in validation, where labels, predictions and names of the
    classes are at hand and fit each other."""
    found: list[Answers] = []
    for name, folder in study.folders.items():
        runs = confirm_runs(study)
        runs = runs[runs["study"] == name] if "study" in runs else runs
        if len(runs):
            best = runs.groupby("candidate", sort=False)[terms(study).validation].mean().idxmax()
            trials = runs["trial"][runs["candidate"] == best].tolist()
            found += filter(None, [_answers(name, folder, classes(study, name), str(best), trials)])
    return found


def _answers(name: str, folder: StudyFolder, known: list[str], best: str, trials: list[str]) -> Answers | None:
    labels = read_predictions(folder.labels)
    predicted = [read_predictions(folder.predictions(trial)) for trial in trials]
    arrays = [each for each in (labels, *predicted) if each is not None and each.max(initial=0) < len(known)]
    if len({each.shape for each in arrays}) > 1 or len(arrays) <= len(predicted):
        return None
    sure = [read_predictions(folder.confidences(trial)) for trial in trials]
    fitting = [each.astype(np.float64) for each in sure if each is not None and each.shape == arrays[0].shape]
    confidences = np.stack(fitting) if len(fitting) == len(trials) else None
    return Answers(name, best, known, arrays[0].astype(np.int64), np.stack(arrays[1:]).astype(np.int64), confidences)


def _confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> npt.NDArray[np.int64]:
    """(classes, classes): images of the row's class named as the column's."""
    flat = labels * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)
