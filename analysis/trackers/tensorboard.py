"""A study as TensorBoard event files: one run per trial, epochs as steps, settings and figures in the HPARAMS tab."""

from __future__ import annotations

import shutil
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from analysis.read.study_folder import load
from analysis.trackers.tracking import Trial, trials


def write_events(study_folder: Path) -> Path:
    """Rewrite STUDY_DIR/tensorboard/<trial>/ for each trial; returns STUDY_DIR/tensorboard."""
    records = list(trials(load(study_folder)))
    logs = study_folder / "tensorboard"
    shutil.rmtree(logs, ignore_errors=True)
    # TensorBoard takes the columns of its table from one experiment record, so it must hold every trial's settings.
    every_param = {name: value for trial in records for name, value in _params(trial).items()}
    every_figure = {name: value for trial in records for name, value in trial.figures.items()}
    experiment, _, _ = hparams(every_param, every_figure)
    with SummaryWriter(str(logs)) as writer:
        writer.file_writer.add_summary(experiment)
    for trial in records:
        _write_run(logs / trial.name, trial)
    return logs


def _write_run(folder: Path, trial: Trial) -> None:
    _, start, end = hparams(_params(trial), trial.figures)
    with SummaryWriter(str(folder)) as writer:
        writer.file_writer.add_summary(start)
        for name, epoch, value in [*trial.curves, *trial.final()]:
            writer.add_scalar(name, value, epoch)
        writer.file_writer.add_summary(end)


def _params(trial: Trial) -> dict[str, object]:
    return {name: trial.labels[name] for name in ("model", "phase") if name in trial.labels} | trial.params
