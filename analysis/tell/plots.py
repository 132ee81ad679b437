"""Pictures of a study as PNG files. One function computes what is shown, another draws it; matplotlib is imported to draw."""

import textwrap
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.read.candidates import choices, confirmed, front, quality, searched, speed
from analysis.read.study_folder import Study
from analysis.tell.summary import conditions, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by colour-blind readers too (https://jfly.uni-koeln.de/color/).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class AccuracyVsSpeed:
    """What the picture shows. Frames have columns `label` (the model), `speed`, `accuracy`; `confirmed` also `spread`,
    the standard deviation over seeds; `front` is sorted by speed. Accuracy is 0..1, or BLEU 0..100."""

    searched: pd.DataFrame
    confirmed: pd.DataFrame
    front: pd.DataFrame
    quality: str
    unit: str
    front_of: str
    title: str
    conditions: list[str]


def accuracy_vs_speed_data(study: Study) -> AccuracyVsSpeed:
    """Search trials by validation accuracy, confirmed candidates by test accuracy, and the front to decide from."""
    kind, speed_column = quality(study), speed(study)

    def points(rows: pd.DataFrame, accuracy: str, spread: str | None = None) -> pd.DataFrame:
        frame = pd.DataFrame(
            {
                "label": rows[study.keys].agg("/".join, axis=1) if len(rows) else rows["model"],
                "trial": rows["trial"],
                "speed": rows[speed_column],
                "accuracy": rows[accuracy],
                "spread": rows[spread] if spread else float("nan"),
            }
        )
        return frame[frame[["speed", "accuracy"]].notna().all(axis=1) & (frame["speed"] > 0)]

    rows, accuracy = choices(study)
    return AccuracyVsSpeed(
        searched=points(searched(study), f"val_{kind}"),
        confirmed=points(confirmed(study), f"test_{kind}", f"test_{kind}_std"),
        front=points(front(rows, accuracy, speed_column), accuracy),
        quality="BLEU" if kind == "bleu" else kind,
        unit=unit(speed_column),
        front_of="test" if accuracy.startswith("test") else "validation",
        title=", ".join(study.names),
        conditions=conditions(study),
    )


def accuracy_vs_speed(study: Study, path: Path) -> Path:
    """Draw accuracy against speed to `path` (PNG) and return it; its folder is made where it is missing."""
    from matplotlib.figure import Figure

    data = accuracy_vs_speed_data(study)
    figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    if len(data.searched) or len(data.confirmed):
        _draw_points(axes, data)
    else:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no trial has finished yet", transform=axes.transAxes, ha="center")
    figure.suptitle(f"Accuracy against speed: {data.title}", fontweight="bold")
    axes.set_title("\n".join(line for text in data.conditions for line in textwrap.wrap(text, 100)), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _draw_points(axes: "Axes", data: AccuracyVsSpeed) -> None:
    labels = pd.concat([data.searched["label"], data.confirmed["label"]]).unique()
    for label, colour, marker in zip(labels, cycle(_COLOURS), cycle(_MARKERS), strict=False):
        tried = data.searched[data.searched["label"] == label]
        repeated = data.confirmed[data.confirmed["label"] == label]
        faint = 0.35 if len(repeated) else 0.8
        axes.scatter(tried["speed"], tried["accuracy"], color=colour, marker=marker, s=28, alpha=faint, linewidths=0)
        axes.errorbar(
            repeated["speed"],
            repeated["accuracy"],
            yerr=repeated["spread"].fillna(0),
            fmt=marker,
            color=colour,
            capsize=4,
            markersize=9,
        )
        axes.plot([], [], color=colour, marker=marker, linestyle="none", label=label)
    axes.plot([], [], "o", color="0.4", markersize=5, label="small: validation, one run")
    if len(data.confirmed):
        axes.plot([], [], "o", color="0.4", markersize=9, label="large: test, mean ± s.d. of seeds")
    if len(data.front):
        # A step, not a slope: whoever needs a speed between two points can only take the faster one.
        axes.step(
            data.front["speed"], data.front["accuracy"], where="pre", color="0.35", linewidth=1.2, zorder=1,
            label=f"Pareto front ({data.front_of})",
        )  # fmt: skip
    _label_axes(axes, data)


def _label_axes(axes: "Axes", data: AccuracyVsSpeed) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7) if high < 20 * low else (1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.4g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"inference speed, measured alone ({data.unit}, log scale)")
    axes.set_ylabel("BLEU (0 to 100)" if data.quality == "BLEU" else f"{data.quality} (share of images right)")
    axes.grid(True, which="major", color="0.9")
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
