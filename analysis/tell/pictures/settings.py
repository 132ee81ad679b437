"""Which settings lead where: one line per trial over its settings to its accuracy (parallel coordinates)."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.read.candidates import UNCONFIRMED, settings, terms, tried
from analysis.read.study_folder import Study
from analysis.tell.pictures.style import Axis, Picture, Style, model_labels, styles
from analysis.tell.wording import number, trial_name
from record import figures

MAX_LINES = 100  # of one model: of more trials, as many spread evenly over their accuracies
LOG_RATIO = 20  # positive values that are further apart are placed by their logarithms


@dataclass(frozen=True)
class SettingLine:
    """One trial. `points` has columns position (of the axis), height (0 to 1 on it) and text; what it has not is left out."""

    model: str
    style: Style
    trial: str
    points: pd.DataFrame


@dataclass(frozen=True)
class SettingLines(Picture):
    name = "settings"
    heading = "Which settings lead where"
    lines: list[SettingLine]
    axes: list[str]  # name and ends of each, in lines


def setting_lines(study: Study) -> SettingLines | None:
    """None where no setting differs between trials that ended."""
    quality = terms(study).validation
    rows = tried(study)
    named = [name for name in settings(study) if rows[name].nunique() > 1]
    if not named or rows.empty:
        return None
    labels, by_model, columns = model_labels(rows, study), styles(study), [*named, quality]
    heights = pd.DataFrame({name: _heights(rows[name]) for name in columns})
    lines = []
    for label, own in rows.groupby(labels, sort=False):
        own = own.sort_values(quality, kind="stable")
        shown = own.iloc[np.unique(np.linspace(0, len(own) - 1, min(len(own), MAX_LINES)).astype(int))]
        for i, row in zip(shown.index, shown.to_dict("records"), strict=True):
            points = pd.DataFrame({"position": range(len(columns)), "height": heights.loc[i].to_numpy(float)})
            points["text"] = [f"{_label(name)} {_shown(study, name, row[name])}" for name in columns]
            lines.append(SettingLine(str(label), by_model[str(label)], trial_name(row, study), points.dropna()))
    return SettingLines(
        caption=(
            "One line per trial, from its settings to the validation accuracy that it reached, early-stopped ones included "
            f"({UNCONFIRMED}). Each axis runs from the lowest value tried, below, to the highest."
        ),
        x=Axis(""),
        y=Axis("from the lowest to the highest"),
        lines=lines,
        axes=[_axis(study, name, rows[name].dropna()) for name in columns],
    )


def _heights(values: pd.Series) -> pd.Series:
    """Where each value lies between the lowest, 0, and the highest, 1; words in alphabetical order."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        values = values.rank(method="dense")
    places = values.astype(float)
    low, high = places.min(), places.max()
    if low > 0 and high > LOG_RATIO * low:
        places, low, high = places.map(math.log), math.log(low), math.log(high)
    return (places - low) / (high - low) if high > low else places * 0 + 0.5


def _axis(study: Study, name: str, values: pd.Series) -> str:
    low, high = (_shown(study, name, value) for value in (values.min(), values.max()))
    return f"{_label(name)}\n{low} to {high}"


def _label(name: str) -> str:
    figure = figures.BY_NAME.get(name)
    return figure.label if figure is not None and figure.label else name.replace("_", " ")


def _shown(study: Study, name: str, value: object) -> str:
    return terms(study).show(float(value)) if name == terms(study).validation else number(value)  # type: ignore[arg-type]
