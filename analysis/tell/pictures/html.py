"""The pictures as Plotly figures for report.html, where report.js draws them in the page's colours.

Every trace names its model in `legendgroup`, by which report.js switches models on and off; the switches are the legend.
"""

import json
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from analysis.tell.pictures.calibration import Calibration
from analysis.tell.pictures.curves import LearningCurves
from analysis.tell.pictures.data import StudyPicture
from analysis.tell.pictures.importance import SettingImportance
from analysis.tell.pictures.merging import TokenMerging
from analysis.tell.pictures.settings import SettingLines
from analysis.tell.pictures.sizes import DataScaling, SizeCurve
from analysis.tell.pictures.style import Axis, Style
from analysis.tell.pictures.tradeoff import AccuracyVsSpeed, Marks
from analysis.tell.pictures.tuning import ExpectedBest

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_LARGE = 500  # marks of one model; more are drawn smaller


class Drawn(NamedTuple):
    """A picture as the page takes it: JSON for report.js, and what it shows in words."""

    json: str
    caption: str
    measures: bool


def drawn(picture: StudyPicture) -> Drawn:
    from markupsafe import Markup

    text, caption = figure(picture).to_json(), picture.caption
    measures = picture.measures if isinstance(picture, AccuracyVsSpeed) else []
    if isinstance(picture, AccuracyVsSpeed):
        text = f'{text[:-1]}, "measures": {json.dumps(choices_of_x(picture))}}}'
        caption += (
            " Models that are switched off are left out of the front. Point at a mark for its configuration; drag to zoom, "
            "double-click to reset."
        )
    # In a script element only these could end it or start another; in JSON they occur in strings alone.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Drawn(Markup(safe), caption, bool(measures))


def choices_of_x(picture: AccuracyVsSpeed) -> list[dict[str, Any]]:
    """What report.js offers for the x axis: for each measure its values and whiskers, trace by trace of `figure`."""
    return [
        {
            "label": measure.label,
            "gain": measure.more_is_better,
            "x": [_known(marks.points[measure.column]) for marks in picture.marks],
            "whiskers": [_known(measure.half_widths(marks.points)) for marks in picture.marks],
        }
        for measure in picture.measures
    ]


def _known(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else value for value in values]


def figure(picture: StudyPicture) -> "Figure":
    """The picture with its axes; names from the study are escaped, since Plotly reads markup in them."""
    import plotly.graph_objects as go

    result = go.Figure()
    match picture:
        case AccuracyVsSpeed():
            _accuracy_vs_speed(result, picture)
        case ExpectedBest():
            _expected_best(result, picture)
        case LearningCurves():
            _learning_curves(result, picture)
        case DataScaling():
            _data_scaling(result, picture)
        case TokenMerging():
            _token_merging(result, picture)
        case SettingLines():
            _setting_lines(result, picture)
        case SettingImportance():
            _setting_importance(result, picture)
        case Calibration():
            _calibration(result, picture)
    for line in picture.baselines:
        if line.is_drawn:
            result.add_hline(line.value, line={"color": "#888888", "dash": "dash", "width": 1}, name=line.label)
    result.update_xaxes(_axis(picture.x))
    result.update_layout(yaxis=_axis(picture.y))
    if isinstance(picture, SettingLines):
        names = [escape(axis).replace("\n", "<br>") for axis in picture.axes]
        result.update_xaxes(tickvals=list(range(len(names))), ticktext=names)
        result.update_yaxes(tickvals=[0, 1], ticktext=["lowest", "highest"])
    result.layout.template = None  # Plotly's theme would be repeated in each figure and fight the page's colours
    return result


def _accuracy_vs_speed(result: "Figure", picture: AccuracyVsSpeed) -> None:
    """The traces whose `meta` is "choice" are those to choose from: report.js draws the front over the visible ones."""
    for marks in picture.marks:
        size = 13 if marks.confirmed else 8 if len(marks.points) <= MAX_LARGE else 5
        result.add_scatter(
            **_group(marks.model), mode="markers", y=marks.points["accuracy"].tolist(),
            marker=_marker(marks.style, size) | _hollow(marks), opacity=0.9 if marks.deciding else 0.35,
            text=[_lines(text) for text in marks.points["text"]], hoverinfo="text",
            meta="choice" if marks.deciding else "tried", error_y=_error_bars(marks) if marks.confirmed else None,
        )  # fmt: skip


def _hollow(marks: Marks) -> dict[str, Any]:
    """The symbols of marks some of which are hollow."""
    hollow = marks.points["spread"].notna()
    return {"symbol": [marks.style.symbol + "-open" * is_hollow for is_hollow in hollow]} if hollow.any() else {}


def _error_bars(marks: Marks) -> dict[str, Any]:
    points = marks.points
    above = (points["high"] - points["accuracy"]).fillna(0).tolist()
    below = (points["accuracy"] - points["low"]).fillna(0).tolist()
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.2, "width": 4}


def _lines(text: list[str]) -> str:
    first, *rest = map(escape, text)
    return "<br>".join([f"<b>{first}</b>", *rest])


def _expected_best(result: "Figure", picture: ExpectedBest) -> None:
    for curve in picture.curves:
        points, between = curve.points, " to ".join(_value(f"customdata[{i}]", picture.y) for i in (0, 1))
        result.add_scatter(
            **_group(curve.model), mode="lines+markers", x=points["trials"], y=points["accuracy"],
            line={"color": curve.style.colour}, marker=_marker(curve.style, 6), customdata=points[["low", "high"]].to_numpy(),
            hovertemplate=f"{escape(curve.cell)}<br>best of %{{x}} trials: {_value('y', picture.y)} ({between})<extra></extra>",
        )  # fmt: skip
        _band(result, curve.model, curve.style.colour, points, "trials")


def _band(result: "Figure", model: str, colour: str, points: pd.DataFrame, x: str) -> None:
    """Between the columns low and high of `points`."""
    result.add_scatter(
        **_group(model), x=[*points[x], *points[x][::-1]], y=[*points["high"], *points["low"][::-1]],
        fill="toself", opacity=0.12, fillcolor=colour, line={"width": 0}, mode="lines", hoverinfo="skip",
    )  # fmt: skip


def _learning_curves(result: "Figure", picture: LearningCurves) -> None:
    """All curves of a model that are alike make one trace with gaps, since one per trial would be slow."""
    for model, is_best in dict.fromkeys((curve.model, curve.is_best) for curve in picture.curves):
        curves = [curve for curve in picture.curves if (curve.model, curve.is_best) == (model, is_best)]
        style = curves[0].style
        result.add_scatter(
            **_group(model), mode="lines+markers" if is_best else "lines", opacity=0.9 if is_best else 0.25,
            x=[x for curve in curves for x in (*curve.points["epoch"].tolist(), None)],
            y=[y for curve in curves for y in (*curve.points["accuracy"].tolist(), None)],
            text=[escape(curve.trial) for curve in curves for _ in range(len(curve.points) + 1)], connectgaps=False,
            line={"width": 2.5 if is_best else 1, "color": style.colour}, marker={"symbol": style.symbol, "size": 6},
            hovertemplate=f"%{{text}}<br>epoch %{{x}}: {_value('y', picture.y)}<extra></extra>",
        )  # fmt: skip
    if max(curve.points["epoch"].max() for curve in picture.curves) <= 15:
        result.update_xaxes(dtick=1)


def _data_scaling(result: "Figure", picture: DataScaling) -> None:
    for curve in picture.curves:
        result.add_scatter(
            **_group(curve.model), mode="markers", x=curve.points["train_size"], y=curve.points["accuracy"],
            text=curve.points["trial"].map(escape), marker=_marker(curve.style, 10),
            hovertemplate=f"%{{text}}<br>%{{x:,}} {picture.examples}: {_value('y', picture.y)}<extra></extra>",
        )  # fmt: skip
        _power_law(result, picture, curve)


def _power_law(result: "Figure", picture: DataScaling, curve: SizeCurve) -> None:
    colour, symbol, _ = curve.style
    between = f"{_value('customdata[0]', picture.y)} to {_value('customdata[1]', picture.y)}"
    for kind, part, dash in (("fitted", curve.fitted, "solid"), ("extrapolated", curve.extrapolated, "dot")):
        shown = [0, *[1] * (len(part) - 1)]  # the first point joins the fit: it is not extrapolated
        result.add_scatter(
            **_group(curve.model), x=part["train_size"], y=part["accuracy"], line={"color": colour, "dash": dash},
            mode="lines" if kind == "fitted" else "lines+markers",
            marker={"symbol": f"{symbol}-open", "size": 9, "opacity": shown},
            customdata=part[["low", "high"]].to_numpy(),
            hovertemplate=f"{escape(curve.model)}, {kind}<br>%{{x:,.0f}} {picture.examples}: "
            f"{_value('y', picture.y)} ({between})<extra></extra>",
        )  # fmt: skip
    _band(result, curve.model, colour, curve.band, "train_size")


def _token_merging(result: "Figure", picture: TokenMerging) -> None:
    for curve in picture.curves:
        colour, symbol, _ = curve.style
        result.add_scatter(
            **_group(curve.model), mode="markers", x=curve.points["tome_ratio"], y=curve.points["accuracy"],
            text=curve.points["trial"].map(escape), marker=_marker(curve.style, 10),
            hovertemplate=f"%{{text}}<br>ratio %{{x:.2f}}: {_value('y', picture.y)}<extra></extra>",
        )  # fmt: skip
        result.add_scatter(
            **_group(curve.model), x=curve.points["tome_ratio"], y=curve.points["speed_up"], yaxis="y2",
            mode="lines+markers" if curve.are_speeds_marked else "lines",
            line={"color": colour, "dash": "dash", "width": 1.5}, marker={"symbol": f"{symbol}-open", "size": 9},
            hovertemplate="ratio %{x:.2f}: %{y:.2f} times as fast<extra></extra>",
        )  # fmt: skip
    right = {
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "tickmode": "sync",
        "tickformat": ".3~g",
        "rangemode": "tozero",
    }
    result.update_layout(yaxis2={**_axis(picture.right), **right})


def _setting_importance(result: "Figure", picture: SettingImportance) -> None:
    for bars in picture.bars:
        pattern = {"shape": "/" if bars.of_speed else "", "fillmode": "overlay", "fgcolor": "white"}
        result.add_bar(
            **_group(bars.model), orientation="h", x=bars.shares, y=[escape(row) for row in bars.rows],
            marker={"color": bars.style.colour, "pattern": pattern},            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )  # fmt: skip
    result.update_layout(barmode="overlay")
    result.update_yaxes(autorange="reversed")


def _setting_lines(result: "Figure", picture: SettingLines) -> None:
    """All lines of a model make one trace with gaps, since one per trial would be slow."""
    for model in dict.fromkeys(line.model for line in picture.lines):
        lines = [line for line in picture.lines if line.model == model]
        style = lines[0].style
        result.add_scatter(
            **_group(model), mode="lines+markers", opacity=0.6, connectgaps=False,
            x=[x for line in lines for x in (*line.points["position"].tolist(), None)],
            y=[y for line in lines for y in (*line.points["height"].tolist(), None)],
            text=[escape(f"{line.trial}: {text}") for line in lines for text in (*line.points["text"], "")],
            line={"width": 1.5, "color": style.colour}, marker=_marker(style, 6), hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip


def _calibration(result: "Figure", picture: Calibration) -> None:
    result.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": "#888888", "dash": "dash", "width": 1}, hoverinfo="skip"
    )
    for curve in picture.curves:
        points = curve.points
        bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 3}
        bars |= {"array": points["high"] - points["accuracy"], "arrayminus": points["accuracy"] - points["low"]}
        result.add_scatter(
            **_group(curve.model), mode="lines+markers", x=points["probability"], y=points["accuracy"], error_y=bars,
            line={"color": curve.style.colour}, marker=_marker(curve.style, 8), customdata=points[["answers"]].to_numpy(),
            hovertemplate=f"{escape(curve.model)}<br>%{{customdata[0]:,}} answers with {_value('x', picture.x)}: "
            f"{_value('y', picture.y)} right<extra></extra>",
        )  # fmt: skip


def _group(model: str) -> dict[str, str]:
    return {"name": model, "legendgroup": model}


def _marker(style: Style, size: int) -> dict[str, Any]:
    return {"color": style.colour, "symbol": style.symbol, "size": size}


def _axis(axis: Axis) -> dict[str, Any]:
    """Plotly's description of an axis."""
    scale = {"type": "log"} if axis.log else {}
    ticks = {"tickformat": ".3~p"} if axis.is_share else {}
    return {"title": {"text": axis.title}, **scale, **ticks}


def _value(variable: str, axis: Axis) -> str:
    """A value in a hover text, in the form of its axis."""
    return f"%{{{variable}:{'.1%' if axis.is_share else '.1f'}}}"
