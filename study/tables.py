"""trials.csv, epochs.csv and profile.csv, made from the ledger. The columns are a contract with analysis/ and users."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import models
from record import figures
from record.folder import StudyFolder
from record.pareto import pareto_mask
from study.ledger import Ledger, Trial
from study.profile import interpolated_speed, isolated
from study.space.schema import split_settings
from trainables.task import config_class


def _tested(objective: str) -> str:
    """The column of the test split that answers to one of the validation split."""
    return objective.replace("val_", "test_", 1) if objective.startswith("val_") else objective


@dataclass(frozen=True)
class DataFacts:
    """What the tables say of the data: what was really read, and how many images the split left."""

    source: str
    train_images: int
    validation_images: int


def write(ledger: Ledger, data: DataFacts) -> None:
    """Write the three tables, each in one step, so that a reader never sees half a file."""
    rows = {
        figures.TRIALS: trial_rows(ledger, data),
        figures.EPOCHS: epoch_rows(ledger),
        figures.PROFILE: profile_rows(ledger),
    }
    for table, content in rows.items():
        columns = [figure.name for figure in figures.of(ledger.spec.task, table)]
        _write(StudyFolder(ledger.folder).table(table), content, columns)


def trial_rows(ledger: Ledger, data: DataFacts) -> list[dict[str, Any]]:
    """One row a trial, in the order in which they began."""
    rows = [_trial_row(ledger, trial, data) for trial in _in_order(ledger)]
    for phase in ("search", "confirm"):
        for row, on_front in zip(*_with_front(ledger, [r for r in rows if r["phase"] == phase], phase), strict=True):
            row["pareto"] = on_front
    return rows


def _in_order(ledger: Ledger) -> list[Trial]:
    return sorted(ledger.trials.values(), key=lambda t: (t.cell.phase != "search", t.started, t.name))


def _trial_row(ledger: Ledger, trial: Trial, data: DataFacts) -> dict[str, Any]:
    entry = ledger.spec.models[trial.cell.entry]
    settings = ledger.settings(trial)
    training, options = split_settings(ledger.spec, settings)
    config = vars(config_class(ledger.spec.task)(**training)) | asdict(models.config_class(entry.model)(**options))
    epochs = len(trial.rows)
    of_epochs = {f.name for f in figures.of(ledger.spec.task, figures.EPOCHS)} - set(
        figures.of_trials(ledger.spec.task)
    )
    last = {key: value for key, value in trial.last.items() if figures.contended(key) not in of_epochs}
    contended = {
        f"contended_{name}_per_epoch": sum(row[name] for row in trial.rows) / epochs
        for name in ("train_seconds", "eval_seconds")
        if epochs
    }
    return (
        {f.name: config.get(f.name) for f in figures.of(ledger.spec.task) if f.setting}
        | settings
        | {
            "trial": trial.name,
            "model": trial.cell.entry,
            "phase": trial.cell.phase,
            "state": trial.state,
            "seed": trial.seed,
            "data": data.source,
            "weights": models.describe_weights(entry.model, entry.weights, **options),
            "train_size": config["train_size"] or data.train_images,
            "epochs": epochs,
            "epoch_budget": trial.epochs,
            "candidate": trial.candidate,
            "cell": trial.cell.name,
            "started": trial.started and trial.started.isoformat(timespec="seconds"),
            "finished": trial.finished and trial.finished.isoformat(timespec="seconds"),
            "error": trial.error,
        }
        | last
        | contended
        | (isolated(ledger, trial, data.train_images, data.validation_images) if epochs else {})
    )


def _with_front(ledger: Ledger, rows: list[dict[str, Any]], phase: str) -> tuple[list[dict[str, Any]], Sequence[bool]]:
    """The phase's complete rows, and which of them are on the front; a confirmed candidate counts by its means."""
    rows = [row for row in rows if row["state"] == "complete"]
    names = [_tested(o) for o in ledger.spec.objectives]
    columns = names if phase == "confirm" else ledger.spec.objectives
    groups = [row["candidate"] or row["trial"] for row in rows]
    points = {
        group: [_mean([row.get(c) for row, g in zip(rows, groups, strict=True) if g == group]) for c in columns]
        for group in dict.fromkeys(groups)
    }
    maximise = figures.maximise(ledger.spec.objectives)
    mask = pareto_mask(np.array(list(points.values()), dtype=float).reshape(len(points), len(columns)), maximise)
    on_front = dict(zip(points, (bool(value) for value in mask), strict=True))
    return rows, [on_front[group] for group in groups]


def _mean(values: list[float | None]) -> float:
    return float(np.mean([np.nan if value is None else value for value in values]))


def epoch_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """One row a trial and epoch."""
    return [
        {"trial": trial.name, "model": trial.cell.entry, "phase": trial.cell.phase}
        | {figures.contended(key): value for key, value in row.items()}
        for trial in _in_order(ledger)
        for row in trial.rows
    ]


def profile_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """One row a timing: its settings and its figures, and the speed that the search had interpolated there."""
    interpolated = ledger.spec.terms.interpolated_speed
    return [
        {"model": row["model"], "phase": row["phase"]} | row["settings"]
        | {key: value for key, value in row.items() if key not in ("point", "settings")}
        | {interpolated: interpolated_speed(ledger, row)}
        for row in ledger.profile
    ]  # fmt: skip


def _write(path: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    header = list(dict.fromkeys([*columns, *(key for row in rows for key in row)]))
    partial = path.with_suffix(".csv.partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)
