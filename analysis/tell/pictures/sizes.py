"""More training data: the best trial at each size, the power law through them, and where it leads."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.read.candidates import UNCONFIRMED, terms
from analysis.read.study_folder import Study
from analysis.tell.pictures.style import Axis, Picture, Style, baseline_lines, baselines_caption, quality_axis, styles
from analysis.weigh.scaling import SizeScaling


@dataclass(frozen=True)
class SizeCurve:
    """One model. Columns of all frames: train_size, accuracy; of `points` also trial, of the others low and high.

    `fitted` lies along the sizes that were tried; `extrapolated` starts at the last of them. Both are empty without a fit.
    """

    model: str
    style: Style
    points: pd.DataFrame
    fitted: pd.DataFrame
    extrapolated: pd.DataFrame

    @property
    def band(self) -> pd.DataFrame:
        return pd.concat([self.fitted, self.extrapolated.iloc[1:]])


@dataclass(frozen=True)
class DataScaling(Picture):
    name = "size_scaling"
    heading = "More training data"
    curves: list[SizeCurve]
    examples: str  # what a training size counts


def data_scaling(study: Study, models: Sequence[SizeScaling]) -> DataScaling:
    """`models`: from weigh.scaling."""
    words, by_model = terms(study), styles(study)
    caption = f"Marks: the best trial at each size, one training each ({UNCONFIRMED})."
    if any(len(model.curve) for model in models):
        caption += (
            " Line and band: power law of the error with the 95 % interval of one more training. Dotted with open marks:"
            " EXTRAPOLATION beyond the data, from no gain at all to the power law going on; no measurement supports it."
        )
    lines = baseline_lines(study, [words.validation], [a for model in models for a in model.points["accuracy"]])
    return DataScaling(
        caption=caption + baselines_caption(lines),
        x=Axis(f"training {words.training_examples}", log=True),
        y=quality_axis(words.validation),
        baselines=lines,
        curves=[_curve(model, by_model[model.model]) for model in models],
        examples=words.training_examples,
    )


def _curve(model: SizeScaling, style: Style) -> SizeCurve:
    is_beyond = model.curve["extrapolated"].astype(bool)
    fitted, beyond = model.curve[~is_beyond], model.curve[is_beyond]
    return SizeCurve(model.model, style, model.points, fitted, pd.concat([fitted.tail(1), beyond]))
