"""The tables of a study, made from the ledger. Their columns are a contract with analysis/ and users."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

import models
from models.engines import EAGER
from record import figures
from record.folder import COMPLETE, CONFIRM, SEARCH, write_whole
from record.limits import NOT
from record.pareto import pareto_mask
from study import limits
from study.costs import DataFacts, deployed, interpolated_speed, setting_costs, trial_costs
from study.ledger import IsolatedTiming, Ledger, Trial, number
from study.space.schema import StudySpec, split_settings
from trainables.task import Figures, config_class, from_row, without_engines


def write(ledger: Ledger, data: DataFacts) -> None:
    """Write the tables, each in one step, so that a reader never sees half a file; engines.csv where there are several."""
    rows = {
        figures.TRIALS: trial_rows(ledger, data),
        figures.EPOCHS: epoch_rows(ledger),
        figures.PROFILE: [row for timing in ledger.timings for row in _timing_rows(ledger, timing)],
    }
    if any(ledger.spec.engines_of(entry) != [EAGER] for entry in ledger.spec.models):
        rows[figures.ENGINES] = list(engine_rows(ledger))
    for table, content in rows.items():
        columns = [figure.name for figure in figures.of(ledger.spec.task, table)]
        _write(ledger.folder.table(table), content, columns)


def trial_rows(ledger: Ledger, data: DataFacts) -> list[Figures]:
    """One row per trial, in the order in which they started."""
    rows = [_trial_row(ledger, trial, data) for trial in _in_order(ledger)]
    objectives = ledger.spec.objectives
    held = _within_limits(ledger)
    complete = [row for row in rows if row["state"] == COMPLETE]
    for row in complete:
        row["pareto"] = False
    for phase, columns in ((SEARCH, objectives), (CONFIRM, _tested(ledger.spec))):
        of_phase = [row for row in complete if row["phase"] == phase and row["trial"] in held]
        _mark_front(of_phase, columns, figures.maximise(objectives))
    return rows


def _within_limits(ledger: Ledger) -> set[str]:
    """The trials that hold the limits of the space, or may."""
    if not ledger.spec.limits:
        return set(ledger.trials)
    return {name for name, trial in ledger.trials.items() if limits.of_trial(ledger, trial) != NOT}


def _tested(spec: StudySpec) -> list[str]:
    """The columns that hold the objectives of a confirmed trial: those of the test split, if they have one."""
    columns = {spec.terms.validation: spec.terms.tested, "val_loss": "test_loss"}
    return [columns.get(objective, objective) for objective in spec.objectives]


def _in_order(ledger: Ledger) -> list[Trial]:
    return sorted(ledger.trials.values(), key=lambda t: (t.cell.phase != SEARCH, t.started, t.name))


def _trial_row(ledger: Ledger, trial: Trial, data: DataFacts) -> Figures:
    entry, task = ledger.spec.models[trial.cell.entry], ledger.spec.task
    settings = ledger.settings(trial)
    training, options = split_settings(ledger.spec, settings)
    config = vars(config_class(task)(**training)) | asdict(models.config_class(entry.model)(**options))
    row: Figures = {f.name: config.get(f.name) for f in figures.of(task) if f.setting} | settings
    row |= {
        "trial": trial.name,
        "model": trial.cell.entry,
        "phase": trial.cell.phase,
        "state": trial.state,
        "seed": trial.seed,
        "data": data.source,
        "weights": models.describe_weights(entry.model, entry.weights, **options),
        "train_size": config["train_size"] or data.train,
        "epochs": len(trial.rows),
        "epoch_budget": trial.epochs,
        "candidate": trial.candidate,
        "learnt_from": trial.learnt_from,
        "cell": trial.cell.name,
        "started": trial.started.isoformat(timespec="seconds") if trial.started else None,
        "finished": trial.finished.isoformat(timespec="seconds") if trial.finished else None,
        "error": trial.error,
        "interruptions": trial.interruptions,
    }
    if trial.rows:
        row |= _reached(trial, task)
        row |= trial_costs(ledger, trial, data)
        if ledger.spec.terms.engines:
            row["engine"], _ = deployed(ledger, trial.cell.entry, settings, trial.cell.phase)
    return row


def _reached(trial: Trial, task: str) -> Figures:
    """The figures of the last row that a trial has too, and what its epochs took beside other trials."""
    columns = {table: {f.name for f in figures.of(task, table)} for table in (figures.TRIALS, figures.EPOCHS)}
    of_epochs = columns[figures.EPOCHS] - columns[figures.TRIALS]
    row = without_engines(trial.last)
    last = {name: value for name, value in row.items() if figures.contended(name) not in of_epochs}
    means = {
        f"{figures.contended(name)}_per_epoch": sum(number(row, name) for row in trial.rows) / len(trial.rows)
        for name in ("train_seconds", "eval_seconds")
    }
    return last | means


def _mark_front(rows: Sequence[Figures], columns: Sequence[str], maximise: Sequence[bool]) -> None:
    """Set `pareto` of these rows. The repeats of a candidate count by their means."""
    repeats: defaultdict[object, list[Figures]] = defaultdict(list)
    for row in rows:
        repeats[row["candidate"] or row["trial"]].append(row)
    points = [[_mean(group, column) for column in columns] for group in repeats.values()]
    for group, on_front in zip(repeats.values(), pareto_mask(points, maximise), strict=True):
        for row in group:
            row["pareto"] = bool(on_front)


def _mean(rows: Sequence[Figures], column: str) -> float:
    """NaN where a row has no such figure."""
    return float(np.mean([np.nan if row.get(column) is None else number(row, column) for row in rows]))


def epoch_rows(ledger: Ledger) -> list[Figures]:
    """One row per trial and epoch."""
    rows: list[Figures] = []
    for trial in _in_order(ledger):
        which: Figures = {"trial": trial.name, "model": trial.cell.entry, "phase": trial.cell.phase}
        own = [without_engines(row) for row in trial.rows]
        rows += [which | {figures.contended(name): value for name, value in row.items()} for row in own]
    return rows


def engine_rows(ledger: Ledger) -> Iterator[Figures]:
    """One row per confirmed trial and engine, eager PyTorch first."""
    validation, tested = ledger.spec.terms.validation, ledger.spec.terms.tested
    timed = [figure.name for figure in figures.of(ledger.spec.task, figures.ENGINES) if figure.measured]
    for trial in _in_order(ledger):
        if trial.cell.phase != CONFIRM or trial.state != COMPLETE:
            continue
        entry, last, found = trial.cell.entry, trial.last, from_row(trial.last)
        for engine in ledger.spec.engines_of(entry):
            costs = setting_costs(ledger, entry, ledger.settings(trial), CONFIRM, engine)
            row: Figures = {
                "trial": trial.name, "model": entry, "seed": trial.seed, "candidate": trial.candidate, "engine": engine,
                **{name: costs.get(name) for name in timed},
            }  # fmt: skip
            row |= (
                {name: last[name] for name in (validation, tested)} | {"equal_classes": 1.0} if engine == EAGER else {}
            )
            row |= found.get(engine, {})
            if tested in row:
                row["accuracy_difference"] = number(row, tested) - number(last, tested)
            yield row


def _timing_rows(ledger: Ledger, timing: IsolatedTiming) -> Iterator[Figures]:
    """One row per engine: the setting, its figures, and the speed that the search had interpolated there."""
    terms = ledger.spec.terms
    for engine, own in timing.by_engine().items():
        row: Figures = {"model": timing.model, "phase": timing.phase}
        row |= timing.settings
        row |= {"engine": engine} if terms.engines else {}
        yield row | own | {terms.interpolated_speed: interpolated_speed(ledger, timing, engine)}


def _write(path: Path, rows: Sequence[Figures], columns: Sequence[str]) -> None:
    header = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            writer.writerows(rows)

    write_whole(path, write)
