"""A study's trials in the form that experiment trackers (TensorBoard, MLflow) take: parameters, curves, figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.read.candidates import settings
from analysis.read.study_folder import Study

_LABELS = ("model", "phase", "state", "candidate", "data", "weights", "error")
_FIGURES = (
    "val_accuracy", "test_accuracy", "val_bleu", "test_bleu", "val_loss", "test_loss", "train_seconds", "latency_ms",
    "parameters", "gflops_per_image", "peak_memory_mb",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One trial: `curves` are (name, epoch, value), `figures` what it ended with and what it costs."""

    name: str
    labels: dict[str, str]
    params: dict[str, Any]
    curves: list[tuple[str, int, float]]
    figures: dict[str, float]
    epochs: int


def trials(study: Study) -> Iterator[Trial]:
    """Every trial of the one study, in the order of the table."""
    epochs = dict(list(study.epochs.groupby("trial", sort=False)))
    curves = list(study.epochs.select_dtypes("number").columns.drop("epoch"))
    named = ["seed", *settings(study)]
    measured = [name for name in study.trials if name in _FIGURES or _is_speed(str(name))]
    for row in study.trials.to_dict("records"):
        rows = epochs.get(row["trial"], study.epochs.head(0))
        yield Trial(
            name=row["trial"],
            labels={name: str(value) for name, value in _known(row, _LABELS).items()},
            params=_known(row, named),
            curves=[
                (name, int(epoch), float(value))
                for name in curves
                for epoch, value in rows[["epoch", name]].dropna().itertuples(index=False)
            ],
            figures={name: float(value) for name, value in _known(row, measured).items()},
            epochs=int(_known(row, ["epochs"]).get("epochs", 0)),
        )


def _is_speed(column: str) -> bool:
    return column.endswith("_per_second") and not column.startswith("contended_")


def _known(row: dict[Any, Any], names: Any) -> dict[str, Any]:
    """The cells that hold a value, as plain Python values."""
    cells = {str(name): row[name] for name in names if name in row and not pd.isna(row[name])}
    return {name: value.item() if hasattr(value, "item") else value for name, value in cells.items()}
