"""Token merging: what it costs in accuracy and gains in speed."""

from dataclasses import dataclass

import pandas as pd

from analysis.read.candidates import terms
from analysis.read.study_folder import Study
from analysis.tell.pictures.style import Axis, Picture, Style, baseline_lines, baselines_caption, quality_axis, styles

MAX_POINTS = 300  # trials of one model that are drawn
MAX_MARKED = 50  # trials of one model whose speeds are marked, not only joined by a line


@dataclass(frozen=True)
class MergingCurve:
    """One model; `points` has columns trial, tome_ratio, accuracy and speed_up, in the order of the ratios."""

    model: str
    style: Style
    points: pd.DataFrame

    @property
    def are_speeds_marked(self) -> bool:
        return len(self.points) <= MAX_MARKED


@dataclass(frozen=True)
class TokenMerging(Picture):
    name = "token_merging"
    heading = "Token merging"
    right: Axis
    curves: list[MergingCurve]


def token_merging(study: Study, curve: pd.DataFrame) -> TokenMerging:
    """`curve`: from weigh.scaling.merging_curve."""
    by_model, quality = styles(study), terms(study).validation
    lines = baseline_lines(study, [quality], curve["accuracy"])
    return TokenMerging(
        caption=(
            "Filled marks, left axis: accuracy of each trial (learning rate and other settings differ, too). Open marks, "
            "right axis: speed."
        )
        + baselines_caption(lines),
        x=Axis("share of tokens merged (tome_ratio)"),
        y=quality_axis(quality),
        baselines=lines,
        right=Axis(_speed_label(curve)),
        curves=[
            MergingCurve(str(model), by_model[str(model)], rows.iloc[:: len(rows) // MAX_POINTS + 1])
            for model, rows in curve.groupby("model", sort=False)
        ],
    )


def _speed_label(curve: pd.DataFrame) -> str:
    """Names the ratio whose speed counts as 1."""
    baselines = curve.dropna(subset=["baseline_ratio"]).drop_duplicates("model").set_index("model")["baseline_ratio"]
    if baselines.empty:
        return "speed (not measured)"
    if baselines.nunique() == 1:
        return f"times as fast as at tome_ratio {baselines.iloc[0]:.3g}"
    ratios = ", ".join(f"{model} at {ratio:.3g}" for model, ratio in baselines.items())
    return f"times as fast as {ratios}"
