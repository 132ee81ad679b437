"""What happened in a study or a trial, line by line, from the ledger."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from record.errors import UserError, nearest
from record.folder import RUNNING, StudyFolder
from service import progress
from service.progress import Progress, Trial
from service.tell import quality

POLL_SECONDS = 1.0
SHOWN = ("train_loss", "val_loss", "train_seconds", "note")  # of an epoch, beside its quality


def named(what: str, results: Path) -> tuple[StudyFolder, str | None]:
    """The study, and the trial, that a person means by STUDY, STUDY/TRIAL or TRIAL. Raises UserError."""
    for path in (Path(what), results / what):
        if StudyFolder(path).is_study():
            return StudyFolder(path), None
        if path.parent != Path(".") and StudyFolder(path.parent).is_study():
            return _with_trial(StudyFolder(path.parent), path.name)
    folders = [StudyFolder(path) for path in sorted(results.iterdir())] if results.is_dir() else []
    studies = [folder for folder in folders if folder.is_study()]
    holding = [folder for folder in studies if what in _names(folder)]
    if len(holding) == 1:
        return holding[0], what
    if holding:
        raise UserError(
            f"{what}: several studies have such a trial; write {' or '.join(f'{f.path}/{what}' for f in holding)}"
        )
    known = [folder.name for folder in studies] + [trial for folder in studies for trial in _names(folder)]
    raise UserError(
        f"{what}: no study and no trial of {results}; {nearest(what, known, [f.name for f in studies][:3])}"
    )


def _names(folder: StudyFolder) -> list[str]:
    try:
        return [trial.name for trial in progress.read(folder).trials]
    except UserError:
        return []


def _with_trial(folder: StudyFolder, trial: str) -> tuple[StudyFolder, str]:
    if trial not in (names := [each.name for each in progress.read(folder).trials]):
        raise UserError(f"{folder.path}: has no trial {trial!r}; {nearest(trial, names, names[:3])}")
    return folder, trial


def of_study(folder: StudyFolder, follow: bool = False) -> Iterator[str]:
    """A line for each start and end of a trial, in order; with `follow` until the study does not run any more."""
    told: set[tuple[str, str]] = set()
    while True:
        state = progress.read(folder)
        events = [event for trial in state.trials for event in _events(trial, state.metric) if event[1:3] not in told]
        for when, name, what, text in sorted(events):
            told.add((name, what))
            yield f"{when:%Y-%m-%d %H:%M:%S} {name} {text}"
        if not follow or state.state != progress.RUNS:
            yield f"{state.folder.name}: {state.state}"
            return
        time.sleep(POLL_SECONDS)


def _events(trial: Trial, metric: str) -> Iterator[tuple[datetime.datetime, str, str, str]]:
    if trial.started:
        settings = ", ".join(f"{key}={_short(value)}" for key, value in trial.params.items())
        yield trial.started, trial.name, "started", f"started: {settings}"
    if trial.finished and trial.state != RUNNING:
        reached = trial.error or f"{quality(trial, metric)} after {trial.epoch} epochs"
        yield trial.finished, trial.name, "ended", f"{trial.state}: {reached}"


def of_trial(folder: StudyFolder, name: str, follow: bool = False) -> Iterator[str]:
    """The trial's settings, a line per epoch, how it ended, and its traceback; with `follow` until it does not run."""
    shown = 0
    trial = _one(progress.read(folder), name)
    yield f"{trial.name}: {', '.join(f'{key}={_short(value)}' for key, value in trial.params.items())}"
    while True:
        state = progress.read(folder)
        trial = _one(state, name)
        rows = progress.epoch_rows(folder, name)
        for row in rows[shown:]:
            figures = [f"{key}={_short(row[key])}" for key in (state.metric, *SHOWN) if key in row]
            yield f"epoch {row['epoch']} of {trial.epochs}: {' '.join(figures)}"
        shown = len(rows)
        if not follow or trial.state != RUNNING or state.state != progress.RUNS:
            break
        time.sleep(POLL_SECONDS)
    yield f"{trial.name}: {trial.state}" + (f": {trial.error}" if trial.error else "")
    if trial.traceback:
        yield trial.traceback.rstrip()


def _one(state: Progress, name: str) -> Trial:
    return next(trial for trial in state.trials if trial.name == name)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
