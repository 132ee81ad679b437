"""What the pictures share: one colour and one marker per model, and axes, for matplotlib and Plotly alike."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import ClassVar, NamedTuple

import pandas as pd

from analysis.read.candidates import terms
from analysis.read.data_facts import baseline
from analysis.read.study_folder import Study
from record import figures

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/) without black and yellow, which dark and white paper would
# swallow, and two more. Lists of different lengths, so that a model beyond the eighth gets a pair of its own, too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#888888")
_MARKERS = (  # (of Plotly, of matplotlib)
    ("circle", "o"), ("square", "s"), ("triangle-up", "^"), ("diamond", "D"), ("triangle-down", "v"), ("cross", "P"),
    ("x", "X"),
)  # fmt: skip


class Style(NamedTuple):
    colour: str
    symbol: str  # Plotly's name of the marker
    marker: str  # matplotlib's


@dataclass(frozen=True)
class Axis:
    label: str
    is_share: bool = False  # its ticks are written in per cent
    log: bool = False

    @property
    def title(self) -> str:
        return f"{self.label} (log scale)" if self.log else self.label


class BaselineLine(NamedTuple):
    """A quality that is reached without having learnt anything, drawn as a line across the picture.

    Where it would press everything else into the upper half of the picture, it is only named.
    """

    label: str
    value: float
    is_drawn: bool


@dataclass(frozen=True)
class Picture:
    """What a picture shows; `name` is that of its file and of its place in the page."""

    name: ClassVar[str]
    heading: ClassVar[str]
    caption: str
    x: Axis
    y: Axis
    baselines: list[BaselineLine] = field(default_factory=list, kw_only=True)


def styles(study: Study) -> dict[str, Style]:
    """Each model's style, by its position among all models of the study: a failed one counts, too."""
    labels = dict.fromkeys(model_labels(study.trials, study))
    looks = zip(cycle(_COLOURS), cycle(_MARKERS), strict=False)
    return {label: Style(colour, *marker) for label, (colour, marker) in zip(labels, looks, strict=False)}


def model_labels(rows: pd.DataFrame, study: Study) -> pd.Series:
    """The model of each row; in merged studies `study/model`."""
    return rows["study"] + "/" + rows["model"] if "study" in study.keys else rows["model"]


def quality_axis(column: str) -> Axis:
    """The axis of a quality such as `val_accuracy`."""
    figure = figures.BY_NAME[column]
    return Axis(figure.label, is_share=figure.unit == "share")


def baseline_lines(study: Study, qualities: Sequence[str], shown: Iterable[float]) -> list[BaselineLine]:
    """The baselines of these columns, equal ones once; `shown`: the picture's values, which decide what is drawn."""
    words = terms(study)
    known = [
        (column, value)
        for column in qualities
        for name in study.names
        if not math.isnan(value := baseline(study, name, column))
    ]
    by_text = {words.show(value): (column, value) for column, value in reversed(known)}
    values = [value for value in shown if not math.isnan(value)]
    result = []
    for text, (column, value) in reversed(by_text.items()):
        what = f"{figures.BY_NAME[column].label} of " if len(by_text) > 1 else ""
        spread = max(values) - min(values) if values else math.nan
        is_drawn = spread == 0 or min(values, default=math.nan) - value <= spread
        where = "" if is_drawn else ", below the axis"
        result.append(BaselineLine(f"{what}{words.baseline}: {text}{where}", value, is_drawn))
    return result


def baselines_caption(lines: Sequence[BaselineLine]) -> str:
    """A sentence for each line, which a caption ends with."""
    return "".join(
        f" {f'Dashed: {line.label}' if line.is_drawn else line.label[:1].upper() + line.label[1:]}." for line in lines
    )
