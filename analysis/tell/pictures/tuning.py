"""What more trials bring: the best validation accuracy to expect of a search, over its number of trials."""

from dataclasses import dataclass

import pandas as pd

from analysis.read.candidates import UNCONFIRMED, terms
from analysis.read.study_folder import Study
from analysis.tell.pictures.style import Axis, Picture, Style, model_labels, quality_axis, styles
from analysis.weigh.expected_best import BAND


@dataclass(frozen=True)
class TuningCurve:
    """One cell; `points` has columns trials, accuracy, low, high, in the order of the trials."""

    model: str
    style: Style
    cell: str
    points: pd.DataFrame


@dataclass(frozen=True)
class ExpectedBest(Picture):
    name = "expected_best"
    heading = "How well each was tuned"
    curves: list[TuningCurve]


def expected_best(study: Study, curves: pd.DataFrame) -> ExpectedBest:
    """`curves`: from weigh.expected_best."""
    by_model, labels = styles(study), model_labels(curves, study)
    return ExpectedBest(
        caption=(
            "Line: validation accuracy to expect of the best of so many trials, one line per cell. Band: where it lies in "
            f"{BAND:.0%} of such searches, never above the best that was seen. Each trial is one training ({UNCONFIRMED}) "
            "and taken for a random draw; "
            "early-stopped ones count with what they had reached, failed ones do not."
        ),
        x=Axis("trials"),
        y=quality_axis(terms(study).validation),
        curves=[
            TuningCurve(str(label), by_model[str(label)], str(cell), rows)
            for (label, cell), rows in curves.groupby([labels.rename("label"), "cell"], sort=False)
        ],
    )
