"""Reading study folders: types, what may be missing, what is refused, and merging."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import trial_row, write_study, write_tables

import analysis
from analysis.read.candidates import choices, confirmed, front, outcomes, searched, settings, speed, terms
from analysis.read.columns import types
from analysis.read.study_folder import StudyError
from analysis.weigh.summary import summary


def test_frames_have_the_types_of_the_contract(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "digits"))
    for frame, table in ((study.trials, "trials"), (study.epochs, "epochs"), (study.profile, "profile")):
        columns = types("image_classification", table)
        assert {name: str(frame[name].dtype) for name in columns} == columns
    assert len(study.trials) == 16 + 4 * 3
    assert study.trials["seed"].to_list()[-3:] == [0, 1, 2]
    assert study.spec["name"] == "digits"
    assert study.environment["torch"] == "2.14"
    assert study.notes == ()


def test_a_study_that_has_only_started_has_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: started\n")
    study = analysis.load(tmp_path)
    assert study.trials.empty
    assert list(study.trials.columns) == list(types("image_classification", "trials"))
    assert searched(study).empty
    assert confirmed(study).empty
    assert summary(study).empty
    assert study.notes == ("environment.json is missing",)


def test_values_that_do_not_fit_are_left_out_and_reported(tmp_path: Path) -> None:
    rows = [
        trial_row("vit-000", 0.9, 100.0, lr="fast"),
        trial_row("vit-001", 0.8, 100.0, train_size=2.5, shade=7),
    ]
    study = analysis.load(write_tables(tmp_path, rows))
    assert study.trials["lr"].isna().to_list() == [True, False]
    assert study.trials["shade"].to_list()[1] == 7  # a column of a newer version is kept
    assert study.notes == (
        "trials.csv: left out 1 value of lr: not a number",
        "trials.csv: left out 1 value of train_size: not a whole number",
    )


def test_unreadable_documents_do_not_hide_the_tables(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "digits")
    (folder / "study.yaml").write_text("name: [")
    (folder / "environment.json").write_text("{")
    study = analysis.load(folder)
    assert len(study.trials) == 28
    assert study.spec == {}
    assert [note.split(":")[0] for note in study.notes] == [
        "study.yaml cannot be read",
        "environment.json cannot be read",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "nowhere", "no such folder"),
        (
            lambda path: path,
            r"not a study folder: it has no study.yaml, trials.csv or study.db; the studies in it are .*digits",
        ),
        (lambda path: path / "digits" / "trials.csv", "is a file: give the study folder"),
    ],
)
def test_what_is_not_a_study_folder_is_refused(tmp_path: Path, make, message: str) -> None:
    write_study(tmp_path / "digits")
    with pytest.raises(StudyError, match=message):
        analysis.load(make(tmp_path))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b'a,b\n1,2\n1,2,3,4\n"'])
def test_a_table_that_is_not_a_table_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trials.csv").write_bytes(content)
    with pytest.raises(StudyError, match=r"trials\.csv is not a readable table: [^\n]+$"):
        analysis.load(tmp_path)


def test_merged_studies_are_told_apart(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "one" / "digits"), write_study(tmp_path / "two" / "digits", seeds=0))
    assert study.names == ["one/digits", "two/digits"]
    assert list(study.trials.columns[:2]) == ["study", "trial"]
    assert study.trials["study"].value_counts().to_dict() == {"one/digits": 28, "two/digits": 16}
    assert len(confirmed(study)) == 4
    assert len(summary(study)) == 8
    with pytest.raises(StudyError, match="specs"):
        _ = study.spec
    with pytest.raises(StudyError, match="given twice"):
        analysis.load(tmp_path / "one" / "digits", tmp_path / "one" / "digits" / ".")


def test_studies_of_different_kinds_are_not_compared(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "digits"), write_study(tmp_path / "multi30k", quality="bleu"))
    assert [task.quality for task in study.tasks.values()] == ["accuracy", "bleu"]
    with pytest.raises(StudyError, match="accuracy and bleu"):
        terms(study)


@pytest.mark.parametrize(
    ("spec", "quality", "task"),
    [
        ("task: translation", "accuracy", "translation"),
        ("task: image_classification", "bleu", "image_classification"),
        ("task: chess", "bleu", "translation"),
        ("name: x", "bleu", "translation"),
        ("name: x", "accuracy", "image_classification"),
    ],
)
def test_the_space_names_the_task_or_else_the_columns_tell(tmp_path: Path, spec: str, quality: str, task: str) -> None:
    folder = write_tables(tmp_path, [trial_row("a-000", 0.9, 100.0)], quality)
    (folder / "study.yaml").write_text(spec)
    study = analysis.load(folder)
    assert terms(study).name == task
    assert {terms(study).validation, terms(study).speed, *types(task, "trials")} <= {*study.trials}


def test_confirmed_candidates_are_means_over_their_seeds(tmp_path: Path) -> None:
    again = {"candidate": "vit-000", "phase": "confirm", "tome_ratio": 0.1}
    rows = [
        trial_row("vit-000", 0.90, 100.0, tome_ratio=0.1),
        *(trial_row(f"vit-000-{i}", 0.9, 100.0 + i, seed=i, test_accuracy=a, **again) for i, a in enumerate((0.8, 0.9, 1.0))),
        trial_row("vit-000-3", 0.9, 1.0, state="running", **again),
    ]  # fmt: skip
    (candidate,) = confirmed(analysis.load(write_tables(tmp_path, rows))).to_dict("records")
    assert candidate["trial"] == "vit-000"
    assert candidate["test_accuracy"] == pytest.approx(0.9)
    assert candidate["test_accuracy_std"] == pytest.approx(0.1)
    assert candidate["seeds"] == 3
    assert candidate["inference_images_per_second"] == 101.0
    assert candidate["tome_ratio"] == 0.1  # a setting stays exact; the mean of three times 0.1 would not be


def test_the_test_split_decides_only_when_every_model_is_confirmed(tmp_path: Path) -> None:
    rows = [trial_row("vit-000", 0.9, 100.0), trial_row("resnet18-000", 0.8, 300.0)]
    again = {"phase": "confirm", "test_accuracy": 0.85}
    rows.append(trial_row("vit-000-s0", 0.9, 100.0, candidate="vit-000", **again))
    _, accuracy = choices(analysis.load(write_tables(tmp_path, rows)))
    assert accuracy == "val_accuracy"
    rows.append(trial_row("resnet18-000-s0", 0.9, 300.0, candidate="resnet18-000", **again))
    rows_to_choose, accuracy = choices(analysis.load(write_tables(tmp_path, rows)))
    assert accuracy == "test_accuracy"
    assert rows_to_choose["trial"].to_list() == ["vit-000", "resnet18-000"]


def test_settings_include_what_the_space_searches(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, [trial_row("vit-000", 0.9, 100.0, weight_decay=0.1, patch=4, shade=1)])
    (folder / "study.yaml").write_text("models: [{search: {weight_decay: [0, 1]}, factors: {patch: [4, 8]}}]")
    assert settings(analysis.load(folder)) == ["lr", "train_size", "weight_decay", "patch"]


def test_an_image_size_that_all_trials_share_is_not_a_setting(tmp_path: Path) -> None:
    sizes = [trial_row(f"vit-00{i}", 0.9, 100.0, image_size=32) for i in range(2)]
    assert "image_size" not in settings(analysis.load(write_tables(tmp_path / "same", sizes)))
    sizes[1] |= {"image_size": 64}
    assert "image_size" in settings(analysis.load(write_tables(tmp_path / "two", sizes)))


def test_outcomes_leave_out_settings_and_what_other_trials_slowed_down(tmp_path: Path) -> None:
    study = analysis.load(write_tables(tmp_path, [trial_row("vit-000", 0.9, 100.0)]))
    named = set(outcomes(study))
    assert {"val_accuracy", "test_accuracy", "inference_images_per_second", "latency_ms", "parameters"} <= named
    assert not {"lr", "train_size", "seed", "val_bleu", "contended_train_seconds_per_epoch"} & named


def test_ten_thousand_trials_load_and_tabulate(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    count = 10_000
    row = trial_row("vit-00000", 0.9, 100.0)
    trials = pd.DataFrame({name: [value] * count for name, value in row.items()})
    trials["trial"] = [f"vit-{i:05d}" for i in range(count)]
    trials["val_accuracy"], trials["inference_images_per_second"] = random.random(count), random.random(count)
    trials.to_csv(tmp_path / "trials.csv", index=False)
    epochs = trials[["trial", "model", "phase", "val_accuracy", "train_seconds"]]
    pd.concat([epochs.assign(epoch=i) for i in range(10)]).to_csv(tmp_path / "epochs.csv", index=False)
    start = time.perf_counter()
    study = analysis.load(tmp_path)
    assert len(summary(study)) == 1
    assert len(study.epochs) == 100_000
    assert len(front(*choices(study), speed(study))) > 1
    assert time.perf_counter() - start < 60  # usually 2


def test_reading_needs_neither_ray_nor_torch_nor_matplotlib() -> None:
    absent = {"ray", "torch", "optuna", "matplotlib"}
    code = f"import sys, analysis.cli.main, analysis.tell.pictures.png; print({absent} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
