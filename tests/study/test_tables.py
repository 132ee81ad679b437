"""The tables of a study, read back from their files: their rows, their names, and what is on the front."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from record import figures
from study import tables
from study.cells import cells
from study.costs import DataFacts
from study.ledger import IsolatedTiming, Ledger, Trial
from study.proposals import build_sampler
from study.space.reading import resolve
from study.space.schema import StudySpec
from trainables.task import Figures, in_row

SPACE = {
    "description": "one model",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy", "inference_images_per_second"],
    "models": {
        "resnet18": {"epochs": 2, "train_size": 128, "image_size": 8, "search": {"width": [8, 16]}},
    },
}
DATA = DataFacts("digits (scikit-learn)", train=1000, validation=100, test=200)
TIMED: Figures = {
    "inference_images_per_second": 50.0, "train_images_per_second": 40.0, "train_step_seconds": 0.1, "latency_ms": 1.0,
    "parameters": 10, "gflops_per_image": 0.1, "peak_memory_mb": 5.0, "busy": None,
}  # fmt: skip


@pytest.fixture
def spec() -> StudySpec:
    return resolve(SPACE, "test")


def train(
    ledger: Ledger,
    trial: Trial,
    accuracy: float,
    speed: float,
    tested: float | None = None,
    engines: Figures | None = None,
) -> None:
    for epoch in (1, 2):
        row: Figures = {"epoch": epoch, "val_accuracy": accuracy, "train_seconds": epoch, "eval_seconds": 0.5}
        ledger.record(trial, row | ({} if tested is None else {"test_accuracy": tested}) | (engines or {}))
    ledger.finish(trial, "complete", [accuracy, speed])


def read(folder: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{table}.csv").set_index("trial" if table == "trials" else "model")


def test_the_tables_have_the_columns_of_the_contract_before_anything_has_run(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        tables.write(ledger, DATA)
    for table in (figures.TRIALS, figures.EPOCHS, figures.PROFILE):
        names = [figure.name for figure in figures.of(spec.task, table)]
        assert pd.read_csv(tmp_path / f"{table}.csv").columns.tolist() == names
    assert {path.name for path in tmp_path.glob("*.csv*")} == {"trials.csv", "epochs.csv", "profile.csv"}


def test_a_row_tells_settings_results_and_costs(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        for width in (8, 16):
            ledger.add_timing(IsolatedTiming("resnet18", "profile", {"width": width}, {"width": width}, TIMED))
        [cell] = cells(spec)
        trial = ledger.ask(cell, build_sampler(ledger, cell))
        train(ledger, trial, accuracy=0.75, speed=50.0)
        failed = ledger.ask(cell, build_sampler(ledger, cell))
        ledger.finish(failed, "failed", error="diverged")
        tables.write(ledger, DATA)
    trials = read(tmp_path, "trials")
    row = trials.loc["resnet18-000"]
    assert (row.state, row.model, row.phase, row.data) == ("complete", "resnet18", "search", "digits (scikit-learn)")
    assert (row.width, row.image_size, row.train_size, row.epochs, row.epoch_budget) == (
        trial.params["width"],
        8,
        128,
        2,
        2,
    )
    assert (row.val_accuracy, row.inference_images_per_second) == (0.75, 50)
    assert row.contended_train_seconds_per_epoch == 1.5 and row.contended_eval_seconds_per_epoch == 0.5
    assert row.train_seconds == pytest.approx(2 * 2 * 0.1)  # two epochs of two steps of 64 images
    assert row.eval_seconds == pytest.approx(2 * 100 / 50)
    row = trials.loc["resnet18-001"]
    assert (row.state, row.error, row.epochs) == ("failed", "diverged", 0) and pd.isna(row.train_seconds)
    epochs = pd.read_csv(tmp_path / "epochs.csv")
    assert epochs.contended_train_seconds.tolist() == [1, 2] and "train_seconds" not in epochs
    profile = read(tmp_path, "profile")
    assert profile.width.tolist() == [8, 16] and profile.inference_images_per_second.tolist() == [50, 50]


def test_a_timing_has_a_row_for_each_engine(tmp_path: Path, spec: StudySpec) -> None:
    engines: dict[str, Figures] = {
        "openvino": {"inference_images_per_second": 90.0, "dtype": "bfloat16"},
        "onnxruntime": {"refused": "engine onnxruntime cannot run this network: it is too large"},
    }
    with Ledger(tmp_path, spec) as ledger:
        ledger.add_timing(IsolatedTiming("resnet18", "profile", {"width": 8}, {"width": 8}, TIMED, engines))
        tables.write(ledger, DATA)
    profile = read(tmp_path, "profile")
    assert profile.engine.tolist() == ["torch", "openvino", "onnxruntime"] and profile.width.tolist() == [8, 8, 8]
    assert profile.inference_images_per_second.tolist()[:2] == [50, 90]
    assert profile.train_step_seconds.notna().tolist() == [True, False, False]  # timed once
    assert profile.refused.isna().tolist() == [True, True, False]


def test_engines_have_a_row_for_each_confirmed_trial_and_engine(tmp_path: Path) -> None:
    spec = resolve(SPACE | {"engines": ["torch", "openvino", "onnxruntime"]}, "test")
    timed: dict[str, Figures] = {
        "openvino": {"inference_images_per_second": 90.0, "latency_ms": 0.5}, "onnxruntime": {"refused": "too large"},
    }  # fmt: skip
    tested = in_row(
        {
            "torch": {"dtype": "bfloat16"},
            "openvino": {"val_accuracy": 0.79, "test_accuracy": 0.78, "equal_classes": 0.99, "dtype": "bfloat16"},
            "onnxruntime": {"refused": "engine onnxruntime cannot run this network: it is too large"},
        }
    )
    with Ledger(tmp_path, spec) as ledger:
        [cell] = cells(spec)
        searched = ledger.ask(cell, build_sampler(ledger, cell))
        train(ledger, searched, 0.8, 50.0)
        point = {"width": searched.params["width"]}
        ledger.add_timing(IsolatedTiming("resnet18", "profile", point, point, TIMED, timed))
        for seed in (1, 2):
            train(ledger, ledger.repeat(searched, seed), 0.8, 50.0, 0.75, tested)
        tables.write(ledger, DATA)
        before = (tmp_path / "engines.csv").read_text()
    with Ledger(tmp_path, spec) as ledger:  # another run has the same rows, each once
        tables.write(ledger, DATA)
    assert (tmp_path / "engines.csv").read_text() == before
    rows = pd.read_csv(tmp_path / "engines.csv")
    assert rows.trial.tolist() == ["resnet18-000-seed1"] * 3 + ["resnet18-000-seed2"] * 3
    assert rows.engine.tolist() == ["torch", "openvino", "onnxruntime"] * 2 and set(rows.candidate) == {"resnet18-000"}
    eager, openvino, refused = rows.head(3).itertuples(index=False)
    assert (eager.test_accuracy, eager.accuracy_difference, eager.equal_classes) == (0.75, 0, 1)
    assert (eager.inference_images_per_second, openvino.inference_images_per_second) == (50, 90)
    assert (eager.val_accuracy, openvino.val_accuracy) == (0.8, 0.79)
    assert openvino.accuracy_difference == pytest.approx(0.03) and openvino.dtype == "bfloat16"
    assert pd.isna(refused.test_accuracy) and refused.refused.endswith("it is too large")
    for table in ("trials", "epochs"):  # which keep to eager PyTorch
        whole = pd.read_csv(tmp_path / f"{table}.csv")
        assert not [name for name in whole if "openvino" in name]
        assert whole.test_accuracy.dropna().eq(0.75).all()
    assert pd.read_csv(tmp_path / "trials.csv").engine.tolist() == ["openvino", "torch", "torch"]


def test_the_front_is_the_search_s_by_trial_and_the_confirm_phase_s_by_candidate(
    tmp_path: Path, spec: StudySpec
) -> None:
    with Ledger(tmp_path, spec) as ledger:
        [cell] = cells(spec)
        reached = [(0.9, 10.0), (0.8, 20.0), (0.7, 15.0)]
        searched = [ledger.ask(cell, build_sampler(ledger, cell)) for _ in reached]
        for trial, (accuracy, speed) in zip(searched, reached, strict=True):
            train(ledger, trial, accuracy, speed)
        for width, speed in ((8, 30.0), (16, 20.0)):
            figures_there = TIMED | {"inference_images_per_second": speed}
            ledger.add_timing(IsolatedTiming("resnet18", "confirm", {"width": width}, {"width": width}, figures_there))
        # The first candidate is better in one of its repeats, the second in the mean; both are equally fast.
        searched[1].params = searched[0].params
        for candidate, tested in ((searched[0], (0.9, 0.5)), (searched[1], (0.8, 0.8))):
            for seed, accuracy in enumerate(tested, start=1):
                train(ledger, ledger.repeat(candidate, seed), 0.9, 0.0, accuracy)
        rows = {str(row["trial"]): row for row in tables.trial_rows(ledger, DATA)}
    confirmed = {name: row["pareto"] for name, row in rows.items() if row["phase"] == "confirm"}
    assert confirmed == {
        "resnet18-000-seed1": False, "resnet18-000-seed2": False, "resnet18-001-seed1": True, "resnet18-001-seed2": True,
    }  # fmt: skip


def test_running_trials_are_on_no_front(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        [cell] = cells(spec)
        trial = ledger.ask(cell, build_sampler(ledger, cell))
        ledger.record(trial, {"epoch": 1, "val_accuracy": 0.9, "train_seconds": 1.0, "eval_seconds": 1.0})
        [row] = tables.trial_rows(ledger, DATA)
    assert row["state"] == "running" and "pareto" not in row
