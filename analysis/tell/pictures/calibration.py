"""Whether a classifier is right as often as it says (reliability diagram)."""

from dataclasses import dataclass

import pandas as pd

from analysis.read.study_folder import Study
from analysis.tell.pictures.style import Axis, Picture, Style, model_labels, styles
from analysis.tell.wording import enumeration
from analysis.weigh.calibration import BINS


@dataclass(frozen=True)
class CalibrationCurve:
    """One model; `points` has columns probability, accuracy, low, high, answers, in the order of the probabilities."""

    model: str
    style: Style
    points: pd.DataFrame


@dataclass(frozen=True)
class Calibration(Picture):
    name = "calibration"
    heading = "How far to trust a probability"
    curves: list[CalibrationCurve]


def calibration(study: Study, table: pd.DataFrame) -> Calibration:
    """`table`: from weigh.calibration."""
    by_model, labels = styles(study), model_labels(table, study)
    errors = table.groupby(labels, sort=False)["error"].first()
    told = enumeration([f"{model} {100 * error:.1f} points" for model, error in errors.items()])
    return Calibration(
        caption=(
            "How often the answers that a model gives with some probability are right. On the dashed line it is right as "
            f"often as it says; below it, it is too sure. {BINS} ranges of the probability; bars: 95 % interval. Mean "
            f"distance from the line (expected calibration error): {told}."
        ),
        x=Axis("probability that the model gives its answer", is_share=True),
        y=Axis("share of those answers that are right", is_share=True),
        curves=[
            CalibrationCurve(str(label), by_model[str(label)], rows)
            for label, rows in table.groupby(labels, sort=False)
        ],
    )
