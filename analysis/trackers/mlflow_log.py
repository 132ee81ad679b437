"""A study's trials as MLflow runs, on a tracking server or in a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.read.errors import StudyError
from analysis.read.study_folder import load
from analysis.trackers.tracking import Trial, trials
from record.errors import one_line
from record.folder import COMPLETE, FAILED, PRUNED

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 1000  # metrics that MLflow accepts in one call
_STATUS = {COMPLETE: "FINISHED", PRUNED: "KILLED", FAILED: "FAILED"}


def log_study(study_folder: Path, uri: str) -> int:
    """Log each trial that has ended and is not there yet to the experiment named after the study; returns their number.

    A study can be logged again while it grows. uri: such as http://localhost:5000 or sqlite:///mlflow.db. Raises
    `StudyError` where mlflow is not installed or the server cannot be used.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default waits minutes for an absent server
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise StudyError("MLflow is not installed; pip install mlflow-skinny") from None
    study = load(study_folder)
    try:
        client = MlflowClient(tracking_uri=uri)
        existing = client.get_experiment_by_name(study.names[0])
        experiment = existing.experiment_id if existing else client.create_experiment(study.names[0])
        logged = _logged(client, experiment)
        new = [trial for trial in trials(study) if trial.labels["state"] in _STATUS and trial.name not in logged]
        for trial in new:
            _log(client, experiment, trial)
    except (MlflowException, OSError, ImportError) as error:
        raise StudyError(f"MLflow at {uri}: {one_line(error)}") from error
    return len(new)


def _logged(client: MlflowClient, experiment: str) -> set[str]:
    """The names of the trials that are there already."""
    names: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_BATCH, page_token=token)
        # A run that is still open was left by a call that died: the trial is logged again.
        names |= {run.data.tags["trial"] for run in page if run.info.status != "RUNNING" and "trial" in run.data.tags}
        token = page.token
        if not token:
            return names


def _log(client: MlflowClient, experiment: str, trial: Trial) -> None:
    from mlflow.entities import Metric, Param

    tags = trial.labels | {"trial": trial.name}
    run = client.create_run(experiment, run_name=trial.name, tags=tags).info
    at = run.start_time
    metrics = [Metric(name, value, at, step) for name, step, value in [*trial.curves, *trial.final()]]
    client.log_batch(run.run_id, params=[Param(name, str(value)) for name, value in trial.params.items()])
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run.run_id, metrics=metrics[start : start + _BATCH])
    client.set_terminated(run.run_id, status=_STATUS[trial.labels["state"]])
