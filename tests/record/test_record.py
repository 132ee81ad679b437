"""The ground floor: files arrive whole, contents read back as they were written, and nothing heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from record import contents, figures, folder, tasks
from record.contents import Checkpoint, Sample, Text, Unreadable
from record.errors import UserError, nearest, one_line
from record.folder import StudyFolder


def test_the_ground_floor_imports_none_of_the_engines() -> None:
    absent = {"torch", "ray", "optuna", "pandas", "timm", "matplotlib"}
    code = f"import sys, record.contents, record.figures, record.pareto; print({absent} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_models_tasks_and_analysis_import_no_ray() -> None:
    modules = ["record.contents", "models", "analysis", *(f"trainables.{name}.task" for name in tasks.TASKS)]
    code = f"import sys, {', '.join(modules)}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


# -- figures and terms


def test_a_figure_is_listed_once() -> None:
    names = [figure.name for figure in figures.FIGURES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_columns_of_the_contract(task: str) -> None:
    terms = tasks.terms(task)
    trials = [figure.name for figure in figures.of(task, figures.TRIALS)]
    assert trials[:4] == ["trial", "model", "phase", "state"]
    assert {"seed", "data", "weights", "train_size", "epochs", "val_loss", "train_seconds", "eval_seconds"} < set(
        trials
    )
    assert {"parameters", "peak_memory_mb", "pareto", "error", terms.validation, terms.tested, terms.speed} < set(
        trials
    )
    assert [f.name for f in figures.of(task, figures.EPOCHS)][:4] == ["trial", "model", "phase", "epoch"]
    assert [f.name for f in figures.of(task, figures.PROFILE)][:2] == ["model", "phase"]


def test_an_objective_has_a_direction_and_a_label_goes_with_one() -> None:
    for figure in figures.FIGURES:
        assert figure.better or not (figure.objective or figure.label), figure.name


def test_directions() -> None:
    assert figures.maximise(["val_accuracy", "latency_ms", "train_seconds", "val_bleu"]) == [True, False, False, True]


def test_what_other_trials_may_slow_down_says_so_in_its_name() -> None:
    assert figures.contended("train_seconds") == "contended_train_seconds"
    assert figures.contended("val_accuracy") == "val_accuracy"


def test_values_are_shown_in_the_terms_of_the_task() -> None:
    images, text = tasks.IMAGE_CLASSIFICATION, tasks.TRANSLATION
    assert (images.show(0.9684), images.show_points(-0.012)) == ("96.8 %", "1.2 points")
    assert (text.show(31.24), text.show_points(1.2)) == ("31.2", "1.2 BLEU")
    assert (
        images.speed == "inference_images_per_second" and text.interpolated_speed == "interpolated_sentences_per_second"
    )


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"task: unknown 'translations'; did you mean 'translation'\?"):
        tasks.terms("translations")


# -- errors


def test_nearest_names_what_is_close_or_all() -> None:
    assert nearest("resnet81", ["resnet18", "vit"]) == "did you mean 'resnet18'?"
    assert nearest("x", ["b", "a"]) == "valid: a, b" and nearest("x", []) == "nothing is valid here"


def test_one_line_of_anything() -> None:
    assert one_line("a\n  b\tc") == "a b c" and one_line("x" * 9, limit=5) == "xxxxx..."


# -- files


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    folder.write_text(path, "old")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        folder.write_whole(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_a_study_once_something_was_recorded(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    assert not study.is_study()
    contents.write_spec(study, {"trials": 1})
    assert study.is_study() and study.name == tmp_path.name


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(spec=st.dictionaries(st.text(min_size=1), plain, max_size=4))
def test_a_spec_reads_back_equal(spec: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    study = StudyFolder(tmp_path_factory.mktemp("spec"))
    contents.write_spec(study, spec)
    assert contents.read_spec(study) == spec


def test_environment_and_text_read_back_equal(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    assert contents.read_environment(study) == {}
    contents.write_environment(study, {"schema": folder.SCHEMA, "gpus": []})
    assert contents.read_environment(study) == {"schema": folder.SCHEMA, "gpus": []}
    text = Text({"language": "de"}, {"language": "en"}, {"Ja.": "Yes.", "ü\u2028": "x"})
    contents.write_text_data(study, text)
    assert contents.read_text_data(study) == text


def test_samples_read_back_equal(tmp_path: Path) -> None:
    study, random = StudyFolder(tmp_path), np.random.default_rng(0)
    splits = {
        name: Sample(random.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8), np.arange(n, dtype=np.int64))
        for name, n in (("validation", 3), ("test", 5))
    }
    splits["test"] = splits["test"]._replace(positions=np.array([0, 2, 3, 7, 9]))
    contents.write_samples(study, splits)
    read = contents.read_samples(study)
    for name, sample in read.items():
        assert (sample.images == splits[name].images).all() and (sample.labels == splits[name].labels).all()
    positions = read["test"].positions
    assert read["validation"].positions is None and positions is not None and positions.tolist() == [0, 2, 3, 7, 9]


def test_probabilities_take_two_bytes_each(tmp_path: Path) -> None:
    path = StudyFolder(tmp_path).confidences("vit-000")
    contents.write_confidences(path, np.array([0.25, 1.0, 0.3331]))
    written = contents.read_predictions(path)
    assert written is not None and written.dtype == np.float16 and written == pytest.approx([0.25, 1, 0.333], abs=1e-3)


@pytest.mark.parametrize("damage", [None, b"", b"PK\x03\x04 cut off"])
def test_missing_or_damaged_samples_are_one_line(tmp_path: Path, damage: bytes | None) -> None:
    study = StudyFolder(tmp_path)
    if damage is not None:
        study.samples.write_bytes(damage)
    with pytest.raises(Unreadable, match=r"samples\.npz") as error:
        contents.read_samples(study)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("classes", "type_"), [(10, np.uint8), (256, np.uint8), (300, np.uint16)])
def test_predictions_take_one_small_number_per_image(tmp_path: Path, classes: int, type_: type) -> None:
    path = StudyFolder(tmp_path).predictions("vit-000")
    predicted = np.arange(classes, dtype=np.int64)
    contents.write_predictions(path, predicted)
    written = contents.read_predictions(path)
    assert written is not None and written.dtype == type_ and (written == predicted).all()


def test_predictions_that_are_missing_or_cut_off_are_none(tmp_path: Path) -> None:
    path = StudyFolder(tmp_path).predictions("vit-000")
    assert contents.read_predictions(path) is None
    contents.write_predictions(path, np.arange(10))
    path.write_bytes(path.read_bytes()[:-4])
    assert contents.read_predictions(path) is None


def test_a_checkpoint_reads_back_equal(tmp_path: Path) -> None:
    path = StudyFolder(tmp_path).checkpoint("vit-000")
    older = path.with_name("older.pt")
    first = Checkpoint({"model": {"w": torch.ones(2)}}, [{"epoch": 1}], {"trial": "x", "seed": 1})
    contents.write_checkpoint(path, first, torch.save, older)
    assert not older.exists()
    loop, rows, origin = contents.read_checkpoint(path, torch.load)
    assert (loop["model"]["w"] == 1).all() and rows == [{"epoch": 1}] and origin == first.origin
    contents.write_checkpoint(path, first._replace(rows=[{"epoch": 1}, {"epoch": 2}]), torch.save, older)
    assert contents.read_checkpoint(older, torch.load).rows == rows


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", json.dumps({"loop": 1}).encode()])
def test_a_checkpoint_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="is not a readable checkpoint") as error:
        contents.read_checkpoint(path, torch.load)
    assert "\n" not in str(error.value)


def test_a_message_to_the_user_is_one_line_whatever_it_quotes() -> None:
    shown = str(UserError("weights file \u2028\n\x1b[2J schön does not exist"))
    assert shown == r"weights file \u2028\n\x1b[2J schön does not exist"
