"""Learning curves: each model's best candidate, and other trials beside it."""

from dataclasses import dataclass

import pandas as pd

from analysis.read.candidates import UNCONFIRMED, terms
from analysis.read.study_folder import Study
from analysis.tell.pictures.style import (
    Axis,
    Picture,
    Style,
    baseline_lines,
    baselines_caption,
    model_labels,
    quality_axis,
    styles,
)


@dataclass(frozen=True)
class Curve:
    """One trial; `points` has columns epoch and accuracy, in the order of the epochs."""

    model: str
    style: Style
    trial: str
    is_best: bool
    points: pd.DataFrame


@dataclass(frozen=True)
class LearningCurves(Picture):
    """`curves`: the other trials first, so that the best are drawn over them."""

    name = "learning_curves"
    heading = "Learning curves"
    curves: list[Curve]


def learning_curves(study: Study, curves: pd.DataFrame) -> LearningCurves:
    """`curves`: from weigh.scaling."""
    by_model = styles(study)
    order = {model: position for position, model in enumerate(by_model)}
    labels = model_labels(curves, study)
    trials = [
        Curve(str(label), by_model[str(label)], str(trial), line == "best", rows.sort_values("epoch"))
        for (line, label, trial), rows in curves.groupby(["line", labels.rename("label"), "trial"], sort=False)
    ]
    quality = terms(study).validation
    lines = baseline_lines(study, [quality], curves["accuracy"])
    return LearningCurves(
        caption=(
            "Bold: each model's best candidate, one line per training; a single line was chosen by its own accuracy: "
            f"{UNCONFIRMED}. Faint: up to 20 other trials per model." + baselines_caption(lines)
        ),
        x=Axis("epoch"),
        y=quality_axis(quality),
        baselines=lines,
        curves=sorted(trials, key=lambda curve: (curve.is_best, order[curve.model])),
    )
