"""TensorBoard, optuna-dashboard and MLflow see what the study's tables say."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import pytest

from analysis.read.study_folder import StudyError
from analysis.trackers import mlflow_log, tensorboard


def rows_of(study: Path, table: str) -> list[dict[str, str]]:
    with (study / table).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tensorboard_reads_every_epoch_and_figure(tiny_study):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    for _ in range(2):  # written anew, not twice
        logs = tensorboard.write_events(tiny_study)
    assert logs == tiny_study / "tensorboard"
    epochs = rows_of(tiny_study, "epochs.csv")
    for row in rows_of(tiny_study, "trials.csv"):
        events = reader.EventAccumulator(str(logs / row["trial"]))
        events.Reload()
        curve = [(event.step, event.value) for event in events.Scalars("val_accuracy")]
        expected = [(int(e["epoch"]), float(e["val_accuracy"])) for e in epochs if e["trial"] == row["trial"]]
        assert curve == [(epoch, pytest.approx(value, rel=1e-6)) for epoch, value in expected]
        speed = events.Scalars("inference_images_per_second")
        assert [event.value for event in speed] == pytest.approx([float(row["inference_images_per_second"])])


def test_tensorboard_shows_the_settings_of_every_model(tiny_study):
    backend = pytest.importorskip(
        "tensorboard.backend.event_processing.plugin_event_multiplexer", reason="needs tensorboard"
    )
    from tensorboard.plugins.hparams import plugin_data_pb2

    runs = backend.EventMultiplexer().AddRunsFromDirectory(str(tensorboard.write_events(tiny_study)))
    runs.Reload()

    def hparams(run: str, tag: str) -> plugin_data_pb2.HParamsPluginData:
        content = runs.SummaryMetadata(run, f"_hparams_/{tag}").plugin_data.content
        return plugin_data_pb2.HParamsPluginData.FromString(content)

    columns = {info.name for info in hparams(".", "experiment").experiment.hparam_infos}
    assert {"model", "phase", "seed", "lr", "train_size", "tome_ratio"} <= columns
    for row in rows_of(tiny_study, "trials.csv"):
        values = hparams(row["trial"], "session_start_info").session_start_info.hparams
        assert values["lr"].number_value == float(row["lr"])
        assert values["model"].string_value == row["model"]


def test_the_ledger_holds_one_optuna_study_a_cell(tiny_study):
    storage = f"sqlite:///{tiny_study / 'study.db'}"
    studies = {summary.study_name: summary for summary in optuna.get_all_study_summaries(storage)}
    assert {"scratch_vit", "vit_tome"} <= studies.keys()
    searched = [row for row in rows_of(tiny_study, "trials.csv") if row["phase"] == "search"]
    for name in ("scratch_vit", "vit_tome"):
        assert studies[name].n_trials == sum(row["model"] == name for row in searched)


def test_optuna_dashboard_shows_the_studies_with_the_names_of_trials_and_objectives(tiny_study):
    dashboard = pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard")
    app = dashboard.wsgi(f"sqlite:///{tiny_study / 'study.db'}")

    def served(path):
        environment = {"PATH_INFO": path}
        setup_testing_defaults(environment)
        status: list[str] = []
        body = b"".join(app(environment, lambda line, headers, info=None: status.append(line)))
        assert status[0].startswith("200")
        return json.loads(body)

    ids = {study["study_name"]: study["study_id"] for study in served("/api/studies")["study_summaries"]}
    assert {"scratch_vit", "vit_tome"} <= ids.keys()
    shown = served(f"/api/studies/{ids['vit_tome']}")
    attributes = [{each["key"]: each["value"] for each in trial["user_attrs"]} for trial in shown["trials"]]
    names = [row["trial"] for row in rows_of(tiny_study, "trials.csv") if row["model"] == "vit_tome"]
    assert [each["trial"].strip('"') for each in attributes] == [n for n in names if "-seed" not in n]
    assert {"key": "trial", "sortable": False} in shown["union_user_attrs"]  # a column of its table
    assert shown["objective_names"][0] == "val_accuracy"


def test_mlflow_gets_each_trial_once(tiny_study, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    rows = rows_of(tiny_study, "trials.csv")
    assert mlflow_log.log_study(tiny_study, uri) == len(rows)
    assert mlflow_log.log_study(tiny_study, uri) == 0
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(tiny_study.name)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {tiny_study.name, *(row["trial"] for row in rows)}
    files = {file.path for file in client.list_artifacts(runs[tiny_study.name].info.run_id)}
    assert {"report.html", "study.yaml"} <= files
    models = {name: client.list_artifacts(run.info.run_id, "model") for name, run in runs.items()}
    [exported] = [name for name, files in models.items() if files]
    assert "-seed" in exported and {"model/weights.safetensors"} <= {file.path for file in models[exported]}
    epochs = rows_of(tiny_study, "epochs.csv")
    for row in rows:
        run = runs[row["trial"]]
        assert run.info.status == "FINISHED"
        assert run.data.tags["model"] == row["model"]
        assert float(run.data.params["lr"]) == float(row["lr"])
        assert run.data.params["batch_size"] == row["batch_size"]
        times = [datetime.fromisoformat(row[name]).timestamp() * 1000 for name in ("started", "finished")]
        assert [run.info.start_time, run.info.end_time] == times
        assert run.data.metrics["inference_images_per_second"] == float(row["inference_images_per_second"])
        curve = client.get_metric_history(run.info.run_id, "val_accuracy")
        expected = {int(e["epoch"]): float(e["val_accuracy"]) for e in epochs if e["trial"] == row["trial"]}
        assert {metric.step: metric.value for metric in curve} == expected
        if row["phase"] == "confirm":
            assert run.data.metrics["test_accuracy"] == float(row["test_accuracy"])


def test_mlflow_says_what_is_wrong_with_the_uri(tiny_study):
    pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    with pytest.raises(StudyError, match="MLflow at carrier-pigeon://loft") as caught:
        mlflow_log.log_study(tiny_study, "carrier-pigeon://loft")
    assert "\n" not in str(caught.value)
