"""The report's other pictures as PNG files: learning curves, more data, token merging, importance (see also plots.py)."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.read.candidates import examples, quality
from analysis.read.study_folder import Study
from analysis.tell.figures import model_labels, styles
from analysis.tell.plots import accuracy_vs_speed
from analysis.weigh import importance, scaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_figures(study: Study, folder: Path) -> list[Path]:
    """Draw what the study has data for into `folder`; the files written. A picture without data is not drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [accuracy_vs_speed(study, folder / "accuracy_vs_speed.png")]
    curves, sizes = scaling.learning_curves(study), scaling.size_scaling(study)
    merged, (shares, _) = scaling.merging_curve(study), importance.importance(study)
    for file, there, draw in (
        ("learning_curves.png", len(curves), lambda axes: _learning_curves(axes, study, curves)),
        ("size_scaling.png", len(sizes), lambda axes: _size_scaling(axes, study, sizes)),
        ("token_merging.png", len(merged), lambda axes: _merging(axes, study, merged)),
        ("importance.png", len(shares), lambda axes: _importance(axes, study, shares)),
    ):
        if there:
            figure, axes = _canvas(study)
            draw(axes)
            axes.grid(True, color="0.9")
            axes.set_axisbelow(True)
            axes.legend(frameon=False, fontsize=9)
            figure.savefig(folder / file)
            written.append(folder / file)
    return written


def _canvas(study: Study) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")
    figure.suptitle(", ".join(study.names), fontweight="bold")
    return figure, figure.add_subplot()


def _accuracy(study: Study) -> str:
    return "validation BLEU" if quality(study) == "bleu" else "validation accuracy"


def _learning_curves(axes: "Axes", study: Study, curves: pd.DataFrame) -> None:
    by_model = styles(study)
    labels = model_labels(curves, study)
    for _, rows in curves.groupby([labels, "trial"], sort=False):
        rows = rows.sort_values("epoch")
        label, best = labels[rows.index[0]], rows["line"].iloc[0] == "best"
        axes.plot(
            rows["epoch"], rows["accuracy"], color=by_model[label].colour, marker="o" if best else "", markersize=4,
            linewidth=2 if best else 0.8, alpha=0.9 if best else 0.3,
        )  # fmt: skip
    for label in labels.unique():
        axes.plot([], [], color=by_model[label].colour, label=label)
    axes.set_title("bold: each model's best candidate; faint: other trials", fontsize=9)
    axes.set_xlabel("epoch")
    axes.set_ylabel(_accuracy(study))


def _size_scaling(axes: "Axes", study: Study, models: list[scaling.SizeScaling]) -> None:
    by_model = styles(study)
    for model in models:
        colour = by_model[model.model].colour
        axes.plot(model.points["train_size"], model.points["accuracy"], "o", color=colour, label=model.model)
        if model.curve.empty:
            continue
        beyond = model.curve["extrapolated"].astype(bool)
        fitted = model.curve[~beyond]
        axes.plot(fitted["train_size"], fitted["accuracy"], color=colour)
        axes.fill_between(model.curve["train_size"], model.curve["low"], model.curve["high"], color=colour, alpha=0.12)
        outside = pd.concat([fitted.tail(1), model.curve[beyond]])
        axes.plot(outside["train_size"], outside["accuracy"], ":", color=colour, marker="o", markerfacecolor="none")
    axes.set_title("best trial at each size; band: 95 %; dotted with open marks: extrapolation", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlabel(f"training {examples(study)} (log scale)")
    axes.set_ylabel(_accuracy(study))


def _merging(axes: "Axes", study: Study, curve: pd.DataFrame) -> None:
    by_model = styles(study)
    right = axes.twinx()
    for label, rows in curve.groupby("model", sort=False):
        colour = by_model[str(label)].colour
        axes.plot(rows["tome_ratio"], rows["accuracy"], "o", color=colour, label=f"{label}: accuracy")
        axes.plot([], [], "--o", color=colour, markerfacecolor="none", label=f"{label}: speed (right)")
        right.plot(rows["tome_ratio"], rows["speed_up"], "--o", color=colour, markerfacecolor="none")
    axes.set_xlabel("share of tokens merged (tome_ratio)")
    axes.set_ylabel(_accuracy(study))
    right.set_ylabel("times as fast as at the lowest ratio timed")


def _importance(axes: "Axes", study: Study, shares: pd.DataFrame) -> None:
    names = shares["model"] + ": " + shares["setting"] + " (" + shares["target"] + ")"
    colours = [styles(study)[model].colour for model in shares["model"]]
    axes.barh(names, shares["importance"], color=colours, label="share of the variance (fANOVA)")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
