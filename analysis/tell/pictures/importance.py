"""Which settings mattered: how much of the variance of accuracy and speed each one explains."""

from dataclasses import dataclass

import pandas as pd

from analysis.read.candidates import terms
from analysis.read.study_folder import Study
from analysis.tell.pictures.style import Axis, Picture, Style, styles


@dataclass(frozen=True)
class Bars:
    """One model's settings and what they explain of its accuracy or speed; `rows` name both, and the model."""

    model: str
    style: Style
    of_speed: bool
    rows: list[str]
    shares: list[float]


@dataclass(frozen=True)
class SettingImportance(Picture):
    name = "importance"
    heading = "Which settings mattered"
    bars: list[Bars]


def setting_importance(study: Study, shares: pd.DataFrame) -> SettingImportance:
    """`shares`: from weigh.importance."""
    by_model, quality = styles(study), terms(study).label
    bars = []
    for (model, target), rows in shares.groupby(["model", "target"], sort=False):
        of_speed = target == "speed"
        names = [f"{model}: {setting} ({'speed' if of_speed else quality})" for setting in rows["setting"]]
        bars.append(Bars(str(model), by_model[str(model)], of_speed, names, rows["importance"].tolist()))
    return SettingImportance(
        caption=f"fANOVA over each model's complete trials. Solid: {quality}; hatched: speed.",
        x=Axis("share of the variance", is_share=True),
        y=Axis(""),
        bars=bars,
    )
