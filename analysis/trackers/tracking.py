"""A study's trials in the form that experiment trackers (TensorBoard, MLflow) use: parameters, curves, figures."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.read.candidates import outcomes, settings
from analysis.read.columns import has_values
from analysis.read.study_folder import Study
from record import figures

_TIMES = ("started", "finished")
_LABELS = ("model", "phase", "state", "candidate", "data", "weights", "error")


@dataclass(frozen=True)
class Trial:
    """One trial: `curves` are (name, epoch, value), `figures` what it reached and what it costs."""

    name: str
    labels: dict[str, str]
    params: dict[str, Any]
    curves: list[tuple[str, int, float]]
    figures: dict[str, float]
    epochs: int
    fixed: dict[str, Any]  # settings that neither the task nor the space searches
    times: dict[
        str, datetime.datetime
    ]  # "started" and "finished", of this machine's clock; what is not known is missing

    def final(self) -> list[tuple[str, int, float]]:
        """The figures that have no curve, as points at the last epoch."""
        drawn = {name for name, _, _ in self.curves}
        return [(name, self.epochs, value) for name, value in self.figures.items() if name not in drawn]


def trials(study: Study) -> Iterator[Trial]:
    """Every trial of the one study, in the order of the table."""
    epochs = dict(list(study.epochs.groupby("trial", sort=False)))
    curves = list(study.epochs.select_dtypes("number").columns.drop("epoch"))
    params, reached = ["seed", *settings(study)], outcomes(study)
    fixed = [
        n
        for n in map(str, study.trials)
        if n not in (*figures.BY_NAME, *params, "study") and has_values(study.trials, n)
    ]
    for row in study.trials.to_dict("records"):
        rows = epochs.get(row["trial"], study.epochs.head(0))
        yield Trial(
            name=row["trial"],
            labels={name: str(value) for name, value in _known(row, _LABELS).items()},
            params=_known(row, params),
            curves=[
                (name, int(epoch), float(value))
                for name in curves
                for epoch, value in rows[["epoch", name]].dropna().itertuples(index=False)
            ],
            figures={name: float(value) for name, value in _known(row, reached).items()},
            epochs=int(_known(row, ["epochs"]).get("epochs", 0)),
            fixed=_known(row, fixed),
            times={name: datetime.datetime.fromisoformat(text) for name, text in _known(row, _TIMES).items()},
        )


def _known(row: dict[Any, Any], names: Iterable[str]) -> dict[str, Any]:
    """The cells that hold a value."""
    return {name: row[name] for name in names if not pd.isna(row[name])}
