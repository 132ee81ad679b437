"""The interactive pictures of the report as Plotly figures; plots.py and plot_curves.py draw the same as PNG.

Every trace names its model in `legendgroup`, by which report.js switches models on and off; the switches are the legend.
"""

from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.read.candidates import choices, confirmed, examples, quality, searched, settings, speed
from analysis.read.study_folder import Study
from analysis.tell.summary import unit
from analysis.weigh.scaling import SizeScaling

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_POINTS = 2000  # search trials drawn; of more, an even share, the 100 best and always the front
MOST_MERGED = 300  # trials of a model drawn over tome_ratio
# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/) without black, which dark mode would swallow.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#888888")
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
_SPEED_MEASURES = {  # column -> (label, whether more is better)
    "inference_images_per_second": ("inference, images/s", True),
    "inference_sentences_per_second": ("inference, sentences/s", True),
    "inference_tokens_per_second": ("inference, tokens/s", True),
    "train_images_per_second": ("training, images/s", True),
    "train_tokens_per_second": ("training, tokens/s", True),
    "latency_ms": ("latency, ms", False),
    "train_seconds": ("training time, s", False),
    "gflops_per_image": ("GFLOPs per image", False),
}


class Style(NamedTuple):
    colour: str
    symbol: str


class Measure(NamedTuple):
    """A choice of the x axis: for each trace of the picture its x values, in the traces' order."""

    label: str
    gain: bool
    x: list[list[float | None]]


def styles(study: Study) -> dict[str, Style]:
    """Each model's colour and marker, the same in every picture."""
    labels = dict.fromkeys(model_labels(study.trials, study))
    return dict(zip(labels, map(Style, cycle(_COLOURS), cycle(_SYMBOLS)), strict=False))


def model_labels(rows: pd.DataFrame, study: Study) -> pd.Series:
    return rows["study"] + "/" + rows["model"] if "study" in study.keys else rows["model"]


def accuracy_vs_speed(study: Study, sure: pd.DataFrame) -> tuple["Figure", list[Measure]]:
    """Search trials small, confirmed candidates large with their interval (`sure`: comparison.intervals).

    The traces whose `meta` is "choice" are those to decide from: report.js draws the front over the visible ones.
    """
    import plotly.graph_objects as go

    kind = quality(study)
    rows, accuracy = choices(study)
    figure = go.Figure()
    frames = []
    for name, frame, column in (
        ("search", _thinned(searched(study), f"val_{kind}"), f"val_{kind}"),
        ("confirm", confirmed(study), f"test_{kind}"),
    ):
        frame = frame[frame[column].notna()]
        for label, part in frame.groupby(model_labels(frame, study), sort=False):
            deciding = column == accuracy
            size = 13 if name == "confirm" else 8 if len(frame) <= 500 else 5
            figure.add_scatter(
                **_markers(str(label), styles(study), size, faint=not deciding),
                y=part[column].tolist(), text=[_hover(row, study, column, sure) for row in part.to_dict("records")],
                hoverinfo="text", meta="choice" if deciding else "tried",
            )  # fmt: skip
            if name == "confirm":
                figure.data[-1].error_y = _error_bars(part, column, sure, study)
            frames.append(part)
    columns = dict.fromkeys([speed(study), *_SPEED_MEASURES])
    measures = [
        Measure(*_SPEED_MEASURES.get(name, (unit(name), True)), x=[_numbers(part, name) for part in frames])
        for name in columns
        if any(name in part and part[name].notna().any() for part in frames)
    ]
    figure.update_layout(yaxis=_accuracy_axis(study, kind if len(frames) == 0 else _axis_title(rows, accuracy, kind)))
    return figure, measures


def _axis_title(rows: pd.DataFrame, accuracy: str, kind: str) -> str:
    name = "BLEU" if kind == "bleu" else "accuracy"
    return f"{'test' if accuracy.startswith('test') else 'validation'} {name}"


def _thinned(rows: pd.DataFrame, accuracy: str) -> pd.DataFrame:
    if len(rows) <= MOST_POINTS:
        return rows
    on_front = rows["pareto"].fillna(False).astype(bool)
    best = rows[accuracy].rank(ascending=False) <= 100
    return rows[on_front | best | (np.arange(len(rows)) % (len(rows) // MOST_POINTS + 1) == 0)]


def _markers(label: str, by_model: dict[str, Style], size: int, faint: bool) -> dict[str, Any]:
    style = by_model[label]
    marker = {"color": style.colour, "symbol": style.symbol, "size": size}
    return {
        "name": label, "legendgroup": label, "mode": "markers", "marker": marker, "opacity": 0.35 if faint else 0.9
    }  # fmt: skip


def _numbers(part: pd.DataFrame, column: str) -> list[float | None]:
    if column not in part:
        return [None] * len(part)
    return [None if pd.isna(value) or value <= 0 else float(value) for value in part[column]]


def _error_bars(part: pd.DataFrame, column: str, sure: pd.DataFrame, study: Study) -> dict[str, Any]:
    known = part[[*study.keys, "trial", column]].merge(sure[[*study.keys, "trial", "low", "high"]], how="left")
    above, below = (known["high"] - known[column]).fillna(0), (known[column] - known["low"]).fillna(0)
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "thickness": 1.2,
        "width": 4,
    }


def _hover(row: dict[Any, Any], study: Study, accuracy: str, sure: pd.DataFrame) -> str:
    """The configuration as lines; names come from files, so they are escaped."""
    kind = "" if accuracy.startswith("test") else ", one run"
    lines = [
        f"<b>{escape(str(row['trial']))}</b>",
        f"{accuracy.replace('_', ' ')} {_share(row[accuracy])}{kind}",
    ]
    if accuracy.startswith("test"):
        own = sure[sure["trial"] == row["trial"]]
        if len(own) and not pd.isna(own["low"].iloc[0]):
            lines[1] += f" ({_share(own['low'].iloc[0])} to {_share(own['high'].iloc[0])}), {row['seeds']} seed(s)"
    for name in settings(study):
        if not pd.isna(row[name]):
            value = f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name])
            lines.append(f"{escape(name.replace('_', ' '))} {escape(value)}")
    for name, (label, _) in _SPEED_MEASURES.items():
        if name in row and not pd.isna(row[name]):
            lines.append(f"{label}: {row[name]:,.4g}")
    return "<br>".join(lines)


def _share(value: float) -> str:
    return f"{value:.1%}" if value <= 1 else f"{value:.1f}"


def learning_curves(study: Study, curves: pd.DataFrame) -> "Figure":
    """`curves` from scaling.learning_curves: each model's best candidate bold (a line a seed), other trials faint."""
    import plotly.graph_objects as go

    figure = go.Figure()
    by_model = styles(study)
    for line, width, opacity in (("other", 1, 0.25), ("best", 2.5, 0.9)):
        part = curves[curves["line"] == line]
        for label, style in by_model.items():
            x, y, text = _joined(part[model_labels(part, study) == label])
            if not x:
                continue
            figure.add_scatter(
                name=label, legendgroup=label, mode="lines+markers" if line == "best" else "lines",
                x=x, y=y, text=text, opacity=opacity, connectgaps=False,
                line={"width": width, "color": style.colour},
                marker={"symbol": style.symbol, "size": 6},
                hovertemplate="%{text}<br>epoch %{x}: %{y:.3f}<extra></extra>",
            )  # fmt: skip
    few = {"dtick": 1} if curves["epoch"].max() <= 15 else {}
    figure.update_layout(xaxis={"title": "epoch", **few}, yaxis=_accuracy_axis(study, "validation accuracy"))
    return figure


def _joined(rows: pd.DataFrame) -> tuple[list[Any], list[Any], list[str]]:
    """All trials of a model as one trace, with a gap after each: a trace a trial would be slow."""
    x: list[Any] = []
    y: list[Any] = []
    text: list[str] = []
    for trial, own in rows.groupby("trial", sort=False):
        own = own.sort_values("epoch")
        x += [*own["epoch"].tolist(), None]
        y += [*own["accuracy"].tolist(), None]
        text += [escape(str(trial))] * (len(own) + 1)
    return x, y, text


def size_scaling(study: Study, models: list[SizeScaling]) -> "Figure":
    """Accuracy over training images: best trial at each size, power law with interval, extrapolation dotted."""
    import plotly.graph_objects as go

    figure = go.Figure()
    by_model = styles(study)
    for model in models:
        style = by_model[model.model]
        group = {"name": model.model, "legendgroup": model.model}
        figure.add_scatter(
            **group, mode="markers", x=model.points["train_size"], y=model.points["accuracy"],
            text=model.points["trial"].map(escape), marker={"color": style.colour, "symbol": style.symbol, "size": 10},
            hovertemplate="%{text}<br>%{x:,} images: %{y:.3f}<extra></extra>",
        )  # fmt: skip
        for extrapolated in (False, True):
            part = model.curve[model.curve["extrapolated"].astype(bool) == extrapolated]
            if extrapolated and len(part):  # begins where the fit ends
                part = pd.concat([model.curve[~model.curve["extrapolated"].astype(bool)].tail(1), part])
            kind = "extrapolated" if extrapolated else "fitted"
            figure.add_scatter(
                **group, x=part["train_size"], y=part["accuracy"],
                mode="lines+markers" if extrapolated else "lines",
                line={"color": style.colour, "dash": "dot" if extrapolated else "solid"},
                marker={"symbol": "circle-open", "size": 7},
                customdata=part[["low", "high"]].to_numpy(),
                hovertemplate=f"{escape(model.model)}, {kind}<br>%{{x:,.0f}} images: %{{y:.3f}}"
                " (%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
            )  # fmt: skip
        band = model.curve
        figure.add_scatter(
            **group, x=[*band["train_size"], *band["train_size"][::-1]], y=[*band["high"], *band["low"][::-1]],
            fill="toself", opacity=0.12, fillcolor=style.colour, line={"width": 0}, mode="lines", hoverinfo="skip",
        )  # fmt: skip
    figure.update_layout(yaxis=_accuracy_axis(study, "validation accuracy"))
    figure.update_xaxes(type="log", title=f"training {examples(study)} (log scale)")
    return figure


def merging(study: Study, curve: pd.DataFrame) -> "Figure":
    """Accuracy (markers, left axis) and speed-up (open markers on a line, right axis) over tome_ratio."""
    import plotly.graph_objects as go

    figure = go.Figure()
    by_model = styles(study)
    for label, rows in curve.groupby("model", sort=False):
        style = by_model[str(label)]
        rows = rows.iloc[:: len(rows) // MOST_MERGED + 1]
        group = {"name": str(label), "legendgroup": str(label), "x": rows["tome_ratio"]}
        figure.add_scatter(
            **group, y=rows["accuracy"], mode="markers", text=rows["trial"].map(escape),
            marker={"color": style.colour, "symbol": style.symbol, "size": 10},
            hovertemplate="%{text}<br>ratio %{x:.2f}: accuracy %{y:.3f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            **group, y=rows["speed_up"], mode="lines+markers" if len(rows) <= 50 else "lines", yaxis="y2",
            line={"color": style.colour, "dash": "dash", "width": 1.5}, marker={"symbol": "circle-open", "size": 7},
            hovertemplate="ratio %{x:.2f}: %{y:.2f} times as fast<extra></extra>",
        )  # fmt: skip
    right = {
        "title": "times as fast (open markers)",
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "tickformat": ".3~r",
    }
    figure.update_layout(yaxis=_accuracy_axis(study, "validation accuracy (filled)"), yaxis2=right)
    figure.update_xaxes(title="share of tokens merged (tome_ratio)")
    return figure


def importance(study: Study, shares: pd.DataFrame) -> "Figure":
    """Bars, a group a model: how much of the variance of accuracy (solid) and speed (hatched) each setting explains."""
    import plotly.graph_objects as go

    figure = go.Figure()
    by_model = styles(study)
    for (model, target), rows in shares.groupby(["model", "target"], sort=False):
        figure.add_bar(
            name=str(model), legendgroup=str(model), orientation="h", x=rows["importance"],
            y=[f"{escape(setting)} ({target})" for setting in rows["setting"]],
            marker={"color": by_model[str(model)].colour, "pattern": {"shape": "/" if target == "speed" else ""}},
            hovertemplate=f"{escape(str(model))}<br>%{{y}}: %{{x:.0%}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="group", xaxis={"title": "share of the variance", "tickformat": ".0%"})
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _accuracy_axis(study: Study, title: str) -> dict[str, Any]:
    if quality(study) == "bleu":
        return {"title": title.replace("accuracy", "BLEU"), "tickformat": ".1f"}
    return {"title": title, "tickformat": ".3~p"}
