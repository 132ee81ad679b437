"""A study's progress in words, and as a mapping for programs and the live page."""

from __future__ import annotations

import datetime
from typing import Any

from record import tasks
from service.progress import ELSEWHERE, RUNS, STOPPED, Progress, Trial


def lines(state: Progress) -> list[str]:
    """For a terminal."""
    words = as_dict(state)
    text = [f"{words['study']}: {words['summary']}", f"trials: {words['counts'] or 'none yet'}"]
    text += [
        f"running: {t['trial']}  epoch {t['epoch']} of {t['epochs']}  {t['quality']}".rstrip() for t in words["running"]
    ]
    if words["best"]:
        text.append(f"best so far: {words['best']}")
    text += [f"failed: {t['trial']}: {t['error']}" for t in words["failed"]]
    if words["failed"]:
        text.append(f"tracebacks: vision-study logs {state.folder.path}/TRIAL")
    if state.state == STOPPED:
        where = f"--name {state.folder.name} --results {state.folder.path.parent}"
        text.append(f"to continue it: vision-study run {where} --resume")
    return text


def as_dict(state: Progress) -> dict[str, Any]:
    """Everything that the page's head shows; texts are not escaped."""
    end = state.expected_end
    return {
        "study": state.folder.name,
        "state": state.state,
        "phase": state.phase,
        "done": round(state.done, 2),
        "total": state.total,
        "counts": ", ".join(f"{count} {name}" for name, count in state.counts.items()),
        "expected_end": None if end is None else end.isoformat(timespec="seconds"),
        "summary": _summary(state),
        "running": [_trial(trial, state.metric) for trial in _running(state)],
        "failed": [_trial(trial, state.metric) for trial in state.failed],
        "best": ""
        if state.best is None
        else f"{state.best.name} {quality(state.best, state.metric)} ({state.best.phase})",
    }


def _running(state: Progress) -> list[Trial]:
    return state.of("running")


def _summary(state: Progress) -> str:
    driver = state.driver
    said = state.state
    if state.state == RUNS:
        said = f"running (process {driver['pid']}), {state.phase} phase, {state.done:.4g} of {state.total} done"
        if (end := state.expected_end) is not None:
            day = "" if end.date() == datetime.date.today() else f"{end:%Y-%m-%d} "
            said += f", expected end {day}{end:%H:%M:%S}"
    elif state.state == STOPPED:
        said = f"stopped in the {state.phase} phase, {state.done:.4g} of {state.total} done"
    elif state.state == ELSEWHERE:
        said = (
            f"its driver ran on {driver.get('host')}, process {driver.get('pid')}; whether it still does is known there"
        )
        said += f"; {state.phase} phase, {state.done:.4g} of {state.total} done"
    elif state.environment.get("finished"):
        said = f"finished {state.environment['finished']}"
    return said


def _trial(trial: Trial, metric: str) -> dict[str, Any]:
    return {
        "trial": trial.name, "phase": trial.phase, "epoch": trial.epoch, "epochs": trial.epochs,
        "quality": quality(trial, metric), "error": trial.error, "traceback": trial.traceback,
    }  # fmt: skip


def quality(trial: Trial, metric: str) -> str:
    """accuracy 91.2 %; "" before the first epoch."""
    value = trial.row.get(metric)
    words = next(terms for terms in tasks.TASKS.values() if terms.validation == metric)
    return f"{words.label} {words.show(value)}" if isinstance(value, float) else ""
