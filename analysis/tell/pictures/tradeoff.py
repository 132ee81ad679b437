"""Accuracy against speed: search trials, confirmed candidates with their intervals, and the front to choose from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.candidates import (
    UNCONFIRMED,
    choices,
    confirmed,
    front,
    identity,
    searched,
    settings,
    speed,
    terms,
)
from analysis.read.conditions import conditions
from analysis.read.study_folder import Study
from analysis.read.timings import doubt, timing
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
from analysis.tell.wording import choice_name, digits, setting
from record import figures
from record.pareto import pareto_mask
from record.tasks import Terms

MAX_POINTS = 2000  # search trials drawn; of more, an even share, the 100 best and always the front
HOLLOW = "hollow: a doubtful timing (busy, uncertainty in profile.csv); whisker: the interquartile range of its repeats"
NOTHING_MEASURED = "No trial with a measured speed and accuracy yet."


@dataclass(frozen=True)
class Measure:
    """A speed or a cost that accuracy can be drawn against, and the column of `Marks.points` that holds it."""

    column: str
    label: str
    more_is_better: bool
    clocked: bool  # a time or a speed

    def half_widths(self, points: pd.DataFrame) -> pd.Series:
        """Of the whiskers along this measure: half the interquartile range of a disturbed timing, NaN for all others."""
        widths = points[self.column] * (points["spread"] / 2).clip(upper=0.9)
        return widths if self.clocked else widths * np.nan


@dataclass(frozen=True)
class Marks:
    """The trials of one model in one phase.

    Columns of `points`: trial, engine ("" in a study of one), accuracy, low, high (NaN without an interval), text (lines that
    describe the trial), spread (interquartile range over median where its timing is doubtful, else NaN),
    and each measure (NaN where it is unknown). `deciding`: the candidates to choose from are in this phase.
    """

    model: str
    style: Style
    confirmed: bool
    deciding: bool
    points: pd.DataFrame


@dataclass(frozen=True)
class AccuracyVsSpeed(Picture):
    """Without `measures` nothing can be drawn. `front`: the deciding points that no other beats in accuracy and the first
    measure, along that measure."""

    name = "accuracy_vs_speed"
    heading = "Accuracy against speed"
    marks: list[Marks]
    measures: list[Measure]
    front: pd.DataFrame
    conditions: list[str]
    key: dict[str, str]  # what "small", "large" and "hollow" marks and the "front" stand for


def accuracy_vs_speed(study: Study, intervals: pd.DataFrame) -> AccuracyVsSpeed:
    """`intervals`: from weigh.comparison."""
    words, (_, decides) = terms(study), choices(study)
    by = identity(study)
    candidates = confirmed(study).merge(intervals[[*by, "low", "high"]], how="left", on=by)
    search = searched(study)
    search = search[search[words.validation].notna()]
    shown = _thinned(search, words)
    repeated = candidates[candidates[words.tested].notna()]
    measures = [m for m in _measures(words, speed(study)) if _has_values([shown, repeated], m.column)]
    marks = [
        *_marks(study, shown, words.validation, measures, deciding=decides == words.validation),
        *_marks(study, repeated, words.tested, measures, deciding=decides == words.tested),
    ]
    qualities = [words.validation, words.tested] if len(repeated) else [words.validation]
    lines = baseline_lines(study, qualities, [a for each in marks for a in each.points["accuracy"]])
    key = _key(marks, is_confirmed=bool(len(repeated)), on_test=decides == words.tested)
    return AccuracyVsSpeed(
        caption=_caption(len(shown), len(search), key) + baselines_caption(lines),
        x=Axis(measures[0].label if measures else "", log=True),
        y=Axis(words.label, words.is_share) if len(repeated) else quality_axis(words.validation),
        baselines=lines,
        marks=marks,
        measures=measures,
        front=_front([m.points for m in marks if m.deciding], measures[0]) if measures else pd.DataFrame(),
        conditions=conditions(study),
        key=key,
    )


def _key(marks: list[Marks], is_confirmed: bool, on_test: bool) -> dict[str, str]:
    is_disturbed = any(each.points["spread"].notna().any() for each in marks)
    return {
        "small": f"small: validation, one training,\n{UNCONFIRMED}",
        **({"large": "large: test, mean and 95 % interval"} if is_confirmed else {}),
        **({"hollow": HOLLOW} if is_disturbed else {}),
        "front": f"Pareto front ({'test' if on_test else 'validation'})",
    }


def _caption(shown: int, searched: int, key: dict[str, str]) -> str:
    large = "Large: test split, mean over seeds with its 95 % interval. Small: " if "large" in key else "Marks: "
    part = f" ({shown:,} of {searched:,} trials, the whole front among them)" if shown < searched else ""
    hollow = f" {key['hollow'].capitalize()}." if "hollow" in key else ""
    small = f"validation split, one training each, {UNCONFIRMED}{part}."
    return f"{large}{small}{hollow} Dotted: the Pareto front. Up is more accurate."


def _measures(words: Terms, speed_column: str) -> list[Measure]:
    """The inference speed first, then every other figure that is timed alone and has a label."""
    timed = sorted(
        (f for f in figures.of(words.name, figures.TRIALS) if f.alone and f.label), key=lambda f: f.name != speed_column
    )
    return [Measure(f.name, f.label, f.better == "more", f.clocked) for f in timed]


def _has_values(frames: list[pd.DataFrame], column: str) -> bool:
    return any(column in frame and frame[column].gt(0).any() for frame in frames)


def _thinned(rows: pd.DataFrame, words: Terms) -> pd.DataFrame:
    if len(rows) <= MAX_POINTS:
        return rows
    on_front = rows["pareto"].fillna(False).astype(bool)
    on_front |= rows.index.isin(front(rows, words.validation, words.speed).index)
    best = rows[words.validation].rank(ascending=False) <= 100
    return rows[on_front | best | (np.arange(len(rows)) % (len(rows) // MAX_POINTS + 1) == 0)]


def _marks(study: Study, rows: pd.DataFrame, accuracy: str, measures: list[Measure], deciding: bool) -> list[Marks]:
    by_model, words, named = styles(study), terms(study), settings(study)
    is_confirmed = accuracy == words.tested
    points = rows.reindex(columns=["trial", "low", "high", *(m.column for m in measures)]).astype(
        {"low": float, "high": float}
    )
    for m in measures:
        points[m.column] = points[m.column].astype(float).where(points[m.column] > 0)
    points["engine"] = rows["engine"] if study.several_engines else ""
    points["accuracy"] = rows[accuracy]
    points["spread"] = [
        timing(study, row, words.speed).get("spread") if doubt(study, row) else np.nan
        for row in rows.to_dict("records")
    ]
    points["text"] = [
        _lines(choice_name(row, study), row, accuracy, words, named, measures) for row in rows.to_dict("records")
    ]
    return [
        Marks(str(label), by_model[str(label)], is_confirmed, deciding, part.reset_index(drop=True))
        for label, part in points.groupby(model_labels(rows, study), sort=False)
    ]


def _lines(
    name: str, row: dict[Any, Any], accuracy: str, words: Terms, named: list[str], measures: list[Measure]
) -> list[str]:
    """The choice's name, accuracy, settings and measures."""
    quality = f"{quality_axis(accuracy).label} {words.show(row[accuracy])}"
    if accuracy == words.validation:
        quality += f", one training ({UNCONFIRMED})"
    elif not pd.isna(row["low"]):
        seeds = f"{row['seeds']} seed{'s' * (row['seeds'] != 1)}"
        quality += f" ({words.show(row['low'])} to {words.show(row['high'])}), {seeds}"
    settings = [setting(name, row[name]) for name in named if not pd.isna(row[name])]
    known = [m for m in measures if m.column in row and not pd.isna(row[m.column])]
    return [name, quality, *settings, *(f"{m.label}: {digits(row[m.column])}" for m in known)]


def _front(points: list[pd.DataFrame], measure: Measure) -> pd.DataFrame:
    everything = pd.concat(points) if points else pd.DataFrame(columns=["trial", measure.column, "accuracy"])
    on_front = pareto_mask(everything[[measure.column, "accuracy"]].to_numpy(float), [measure.more_is_better, True])
    return everything[on_front].sort_values(measure.column, kind="stable")
