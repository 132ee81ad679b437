"""A study's trials as MLflow runs, on a tracking server or in a database."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from analysis.read.errors import StudyError
from analysis.read.study_folder import Study, load
from analysis.trackers.tracking import Trial, trials
from analysis.use.export import export
from analysis.use.trained_model import BEST
from record.errors import UserError, one_line
from record.folder import COMPLETE, FAILED, PRUNED, StudyFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 1000  # metrics that MLflow accepts in one call
_STATUS = {COMPLETE: "FINISHED", PRUNED: "KILLED", FAILED: "FAILED"}


def log_study(study_folder: Path, uri: str) -> int:
    """Log each trial that has ended and is not there yet to the experiment named after the study; returns their number.
    Its report and study.yaml are in a run named after the study, the best model in its trial's run.

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
        experiment = existing.experiment_id if existing else client.create_experiment(study.names[0], _artifacts(uri))
        logged = _logged(client, experiment)
        new = [trial for trial in trials(study) if trial.labels["state"] in _STATUS and trial.name not in logged]
        for trial in new:
            _log(client, experiment, trial)
        _log_files(client, experiment, study, StudyFolder(study_folder))
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

    times = {name: int(time.timestamp() * 1000) for name, time in trial.times.items()}
    tags = trial.labels | {"trial": trial.name}
    run = client.create_run(experiment, times.get("started"), tags=tags, run_name=trial.name).info
    at = times.get("finished", run.start_time)
    metrics = [Metric(name, value, at, step) for name, step, value in [*trial.curves, *trial.final()]]
    settings = trial.params | trial.fixed
    client.log_batch(run.run_id, params=[Param(name, str(value)) for name, value in settings.items()])
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run.run_id, metrics=metrics[start : start + _BATCH])
    client.set_terminated(run.run_id, _STATUS[trial.labels["state"]], times.get("finished"))


def _log_files(client: MlflowClient, experiment: str, study: Study, folder: StudyFolder) -> None:
    """The report and what was run in a run of the study's own; in its trial's run, the best model, where one can be exported."""
    [name] = study.names
    run = _run(client, experiment, "study", name)
    run_id = run or client.create_run(experiment, tags={"study": name}, run_name=name).info.run_id
    for file in (folder.report, folder.spec, folder.environment):
        if file.exists():
            client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)
    with TemporaryDirectory() as temporary, suppress(UserError):
        exported = export(folder.path, BEST, Path(temporary) / "model")
        if trial_run := _run(client, experiment, "trial", exported.trial):
            client.log_artifacts(trial_run, temporary)


def _run(client: MlflowClient, experiment: str, tag: str, value: str) -> str | None:
    """The id of the run with this tag."""
    runs = client.search_runs([experiment], f"tags.{tag} = '{value}'", max_results=1)
    return str(runs[0].info.run_id) if runs else None


def _artifacts(uri: str) -> str | None:
    """Where files go: beside a SQLite database, not in the current folder; None: where the server puts them."""
    path = uri.removeprefix("sqlite:///")
    return None if path == uri else (Path(path).resolve().parent / "mlartifacts").as_uri()
