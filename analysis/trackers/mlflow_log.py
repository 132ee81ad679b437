"""A study's trials as MLflow runs, on a tracking server or in a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.read.study_folder import StudyError, load
from analysis.trackers.tracking import Trial, trials

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MOST_AT_ONCE = 1000  # metrics that MLflow takes in one call
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def log_study(study_folder: Path, uri: str) -> int:
    """Log each trial that has ended and is not there yet to the experiment of the study's name; returns their number.

    uri: such as http://localhost:5000 or sqlite:///mlflow.db. So a study can be logged again while it grows. Raises
    `StudyError` where mlflow is not installed or the server cannot be used.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default waits minutes for a server that is away
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise StudyError("MLflow is not installed; pip install mlflow-skinny") from None
    study = load(study_folder)
    try:
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(study.names[0])
        experiment = found.experiment_id if found else client.create_experiment(study.names[0])
        there = _logged(client, experiment)
        new = [trial for trial in trials(study) if trial.labels["state"] in _STATUS and trial.name not in there]
        for trial in new:
            _log(client, experiment, trial)
    except (MlflowException, OSError, ImportError) as error:
        raise StudyError(f"MLflow at {uri}: {' '.join(str(error).split())[:200]}") from error
    return len(new)


def _logged(client: MlflowClient, experiment: str) -> set[str]:
    names: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_MOST_AT_ONCE, page_token=token)
        # a run that is not terminated was left by a call that died, and is logged again
        names |= {run.data.tags["trial"] for run in page if run.info.status != "RUNNING" and "trial" in run.data.tags}
        token = page.token
        if not token:
            return names


def _log(client: MlflowClient, experiment: str, trial: Trial) -> None:
    from mlflow.entities import Metric, Param

    tags = trial.labels | {"trial": trial.name}
    run = client.create_run(experiment, run_name=trial.name, tags=tags).info
    at = run.start_time
    drawn = {name for name, _, _ in trial.curves}
    last = [(name, trial.epochs, value) for name, value in trial.figures.items() if name not in drawn]
    metrics = [Metric(name, value, at, step) for name, step, value in [*trial.curves, *last]]
    client.log_batch(run.run_id, params=[Param(name, str(value)) for name, value in trial.params.items()])
    for begin in range(0, len(metrics), _MOST_AT_ONCE):
        client.log_batch(run.run_id, metrics=metrics[begin : begin + _MOST_AT_ONCE])
    client.set_terminated(run.run_id, status=_STATUS[trial.labels["state"]])
