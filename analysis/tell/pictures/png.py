"""The pictures as PNG files. matplotlib is imported to draw, so that importing this module stays cheap."""

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.read.study_folder import Study
from analysis.tell.pictures.calibration import Calibration
from analysis.tell.pictures.curves import LearningCurves
from analysis.tell.pictures.data import StudyPicture, pictures, weigh
from analysis.tell.pictures.importance import SettingImportance
from analysis.tell.pictures.merging import TokenMerging
from analysis.tell.pictures.settings import SettingLines
from analysis.tell.pictures.sizes import DataScaling
from analysis.tell.pictures.style import Axis, Style
from analysis.tell.pictures.tradeoff import NOTHING_MEASURED, AccuracyVsSpeed
from analysis.tell.pictures.tuning import ExpectedBest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as MatplotlibAxis
    from matplotlib.figure import Figure

BASELINE_STYLE: dict[str, Any] = {"color": "0.35", "linestyle": "--", "linewidth": 1.0}
SUBTITLE_WIDTH = 90  # characters: as much as fits above axes beside which the legend stands


def write_figures(study: Study, folder: Path) -> list[Path]:
    """Draw what the study has data for into `folder`; returns the files written. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    title = ", ".join(study.names)
    return [write_png(picture, title, folder) for picture in pictures(study, weigh(study))]


def write_png(picture: StudyPicture, title: str, folder: Path) -> Path:
    """Draw one picture to `folder`/NAME.png. Raises OSError."""
    path = folder / f"{picture.name}.png"
    figure(picture, title).savefig(path)
    return path


def figure(picture: StudyPicture, title: str) -> "Figure":
    """One picture as a file shows it."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=(9, 6), dpi=150, layout="constrained")
    draw(picture, whole.add_subplot())
    whole.suptitle(f"{picture.heading}: {title}", fontweight="bold")
    return whole


def draw(picture: StudyPicture, axes: "Axes") -> None:
    """Draw one picture with its title, axes and legend."""
    axes.grid(True, color="0.9")
    axes.set_axisbelow(True)
    subtitle = [picture.caption]
    match picture:
        case AccuracyVsSpeed():
            subtitle = picture.conditions
            _accuracy_vs_speed(axes, picture)
        case ExpectedBest():
            _expected_best(axes, picture)
        case LearningCurves():
            _learning_curves(axes, picture)
        case DataScaling():
            _data_scaling(axes, picture)
        case TokenMerging():
            _token_merging(axes, picture)
        case SettingLines():
            _setting_lines(axes, picture)
        case SettingImportance():
            _setting_importance(axes, picture)
        case Calibration():
            _calibration(axes, picture)
    for line in picture.baselines:
        if line.is_drawn and axes.axison:
            axes.axhline(line.value, **BASELINE_STYLE)
    axes.set_title(
        "\n".join(line for text in subtitle for line in textwrap.wrap(text, SUBTITLE_WIDTH, break_on_hyphens=False)),
        fontsize=9,
    )
    _label(axes.xaxis, picture.x)
    _label(axes.yaxis, picture.y)
    if picture.x.log:
        _scale_in_ratios(axes)


def _accuracy_vs_speed(axes: "Axes", picture: AccuracyVsSpeed) -> None:
    if not picture.measures:
        axes.set_axis_off()
        axes.text(0.5, 0.5, NOTHING_MEASURED, transform=axes.transAxes, ha="center")
        return
    measure = picture.measures[0]
    for marks in picture.marks:
        points, (colour, _, marker) = marks.points, marks.style
        size, opacity = 9 if marks.confirmed else 5, 0.9 if marks.deciding else 0.35
        x, y = points[measure.column], points["accuracy"]
        hollow = points["spread"].notna()
        look: dict[str, Any] = {"color": colour, "alpha": opacity, "markersize": size}
        axes.plot(x[~hollow], y[~hollow], marker, markeredgewidth=0, **look)
        if hollow.any():
            axes.plot(x[hollow], y[hollow], marker, markerfacecolor="none", markeredgewidth=1.2, **look)
            widths = measure.half_widths(points)[hollow]
            axes.errorbar(
                x[hollow], y[hollow], xerr=widths, fmt="none", color=colour, alpha=opacity, capsize=3, elinewidth=0.8
            )
        if marks.confirmed:
            axes.errorbar(
                x, y, yerr=_whiskers(y, points), fmt="none", color=colour, alpha=opacity, capsize=4, elinewidth=1.2
            )
            for place in zip(x, y, points["engine"], strict=True):
                axes.annotate(place[2], place[:2], (6, 4), textcoords="offset points", fontsize=7, color=colour)
    # A step, not a slope: whoever needs a speed between two points can only take the faster, or cheaper, one.
    axes.step(
        picture.front[measure.column], picture.front["accuracy"], where="pre" if measure.more_is_better else "post",
        color="0.35", linestyle=":", zorder=1,
    )  # fmt: skip
    _legend_of_models(axes, {marks.model: marks.style for marks in picture.marks}, "")
    for key, size in (("small", 5), ("large", 9)):
        if key in picture.key:
            axes.plot([], [], "o", color="0.4", markersize=size, label=picture.key[key])
    if "hollow" in picture.key:
        axes.plot([], [], "o", color="0.4", markerfacecolor="none", label=textwrap.fill(picture.key["hollow"], 32))
    axes.plot([], [], ":", color="0.35", label=picture.key["front"])
    for line in picture.baselines:
        axes.plot(
            [], [], label=textwrap.fill(line.label, 32), **(BASELINE_STYLE if line.is_drawn else {"linestyle": ""})
        )
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


def _expected_best(axes: "Axes", picture: ExpectedBest) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in picture.curves:
        points, (colour, _, marker) = curve.points, curve.style
        axes.plot(points["trials"], points["accuracy"], color=colour, marker=marker, markersize=4)
        axes.fill_between(points["trials"], points["low"], points["high"], color=colour, alpha=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_of_models(axes, {curve.model: curve.style for curve in picture.curves}, "-")


def _learning_curves(axes: "Axes", picture: LearningCurves) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in picture.curves:
        axes.plot(
            curve.points["epoch"], curve.points["accuracy"], color=curve.style.colour, markersize=4,
            marker=curve.style.marker if curve.is_best else "", linewidth=2 if curve.is_best else 0.8,
            alpha=0.9 if curve.is_best else 0.3,
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_of_models(axes, {curve.model: curve.style for curve in picture.curves}, "-")


def _data_scaling(axes: "Axes", picture: DataScaling) -> None:
    for curve in picture.curves:
        colour, _, marker = curve.style
        axes.plot(curve.points["train_size"], curve.points["accuracy"], marker, color=colour)
        axes.plot(curve.fitted["train_size"], curve.fitted["accuracy"], color=colour)
        axes.fill_between(curve.band["train_size"], curve.band["low"], curve.band["high"], color=colour, alpha=0.12)
        axes.plot(
            curve.extrapolated["train_size"], curve.extrapolated["accuracy"], ":", color=colour, marker=marker,
            markerfacecolor="none", markevery=slice(1, None),
        )  # fmt: skip
    _legend_of_models(axes, {curve.model: curve.style for curve in picture.curves}, "")


def _token_merging(axes: "Axes", picture: TokenMerging) -> None:
    right = axes.twinx()
    for curve in picture.curves:
        colour, _, marker = curve.style
        axes.plot(curve.points["tome_ratio"], curve.points["accuracy"], marker, color=colour)
        right.plot(
            curve.points["tome_ratio"], curve.points["speed_up"], "--", color=colour, markerfacecolor="none",
            marker=marker if curve.are_speeds_marked else "",
        )  # fmt: skip
    _label(right.yaxis, picture.right)
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    axes.set_ylim(low, high)
    bottom, top = 0.0, right.get_ylim()[1]
    shown = [bottom + (top - bottom) * (tick - low) / (high - low) for tick in ticks]
    right.set_ylim(bottom, top)
    right.set_yticks(shown, [f"{tick:.3g}" for tick in shown])
    _legend_of_models(axes, {curve.model: curve.style for curve in picture.curves}, "")
    # Below the axes: inside, the legend would avoid only the marks of the left axis.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=6, frameon=False, fontsize=9)


def _setting_importance(axes: "Axes", picture: SettingImportance) -> None:
    for bars in picture.bars:
        axes.barh(
            bars.rows, bars.shares, color=bars.style.colour, hatch="//" if bars.of_speed else "", edgecolor="white"
        )
    axes.invert_yaxis()
    axes.set_xlim(0, 1)


def _setting_lines(axes: "Axes", picture: SettingLines) -> None:
    for line in picture.lines:
        axes.plot(
            line.points["position"], line.points["height"], color=line.style.colour, marker=line.style.marker,
            markersize=4, linewidth=1, alpha=0.6,
        )  # fmt: skip
    axes.set_xticks(range(len(picture.axes)), picture.axes)
    axes.set_yticks([0, 1], ["lowest", "highest"])
    _legend_of_models(axes, {line.model: line.style for line in picture.lines}, "-")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=6, frameon=False, fontsize=9)


def _calibration(axes: "Axes", picture: Calibration) -> None:
    axes.plot([0, 1], [0, 1], **BASELINE_STYLE)
    for curve in picture.curves:
        points, (colour, _, marker) = curve.points, curve.style
        bars = _whiskers(points["accuracy"], points)
        axes.errorbar(points["probability"], points["accuracy"], yerr=bars, color=colour, marker=marker, capsize=3)
    _legend_of_models(axes, {curve.model: curve.style for curve in picture.curves}, "-")


def _legend_of_models(axes: "Axes", by_model: dict[str, Style], line: str) -> None:
    for model, (colour, _, marker) in by_model.items():
        axes.plot([], [], color=colour, marker=marker, linestyle=line, label=model)
    axes.legend(frameon=False, fontsize=9)


def _label(side: "MatplotlibAxis", axis: Axis) -> None:
    side.set_label_text(axis.title)
    if axis.is_share:
        side.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


# Of a scale in ratios, by what the highest value is of the lowest: labels in each decade that do not touch.
_TICKS = ((6, (1, 1.5, 2, 3, 4, 5, 7)), (20, (1, 2, 3, 5)), (100, (1, 2, 5)), (1000, (1, 3)), (math.inf, (1,)))


def _scale_in_ratios(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    subs = next(subs for span, subs in _TICKS if high < span * low)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.4g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _whiskers(y: "pd.Series", points: "pd.DataFrame") -> "list[pd.Series]":
    """Lengths below and above y, none where there is no interval; an end that rounding put on y's other side is on y."""
    return [(y - points["low"]).fillna(0).clip(lower=0), (points["high"] - y).fillna(0).clip(lower=0)]
