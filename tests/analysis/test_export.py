"""Taking a model away: the export predicts exactly what the study's table states, and says what it cannot do."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import models
from analysis.read.errors import StudyError
from analysis.use.export import export
from analysis.use.exported_model import ExportedModel
from analysis.use.predict import BATCH, Classifier, expand_folders
from models.inputs.image_files import decode
from record.errors import UserError
from trainables.data.images.decode import decode_images
from trainables.data.images.sets import digits

ROOT = Path(__file__).parents[2]


def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analysis", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def rows_of(study: Path) -> list[dict[str, str]]:
    with (study / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def test_split(tmp_path_factory):
    """The test split of digits as PNG files, named in its order, and its labels."""
    folder = tmp_path_factory.mktemp("digits")
    data = digits.load(folder, 8, 0).test
    for i, pixels in enumerate(data.images):
        Image.fromarray(pixels).save(folder / f"{i:04d}.png")
    return folder, data.labels


@pytest.fixture
def changed_study(tiny_study, tmp_path):
    """A copy of the study, and a function that rewrites its table's rows."""
    study = tmp_path / "changed"
    shutil.copytree(tiny_study, study)

    def change(edit):
        rows = [row for row in rows_of(study) if edit(row) is not False]
        with (study / "trials.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    return study, change


def test_predictions_are_those_of_the_study_to_the_last_image(tiny_study, test_split, tmp_path):
    folder, labels = test_split
    confirmed = [row for row in rows_of(tiny_study) if row["phase"] == "confirm"]
    assert {row["model"] for row in confirmed} == {"scratch_vit", "vit_tome"}
    for row in confirmed:
        to = tmp_path / row["trial"]
        export(tiny_study, row["trial"], to)
        results = list(Classifier(to).classify(expand_folders([folder])))
        predicted = np.array([int(result.argmax()) for _, result in results])
        assert (predicted == np.load(tiny_study / "predictions" / f"{row['trial']}.npy")).all()
        assert (predicted == labels).sum() / len(labels) == float(row["test_accuracy"])
        assert all(abs(float(result.sum()) - 1) < 1e-5 for _, result in results)


def test_command_line_gives_the_accuracy_of_the_table(tiny_study, test_split, tmp_path):
    folder, labels = test_split
    assert run("export", tiny_study, "--to", tmp_path / "model").returncode == 0
    result = run("predict", tmp_path / "model", folder)
    assert result.returncode == 0, result.stderr
    table = list(csv.DictReader(io.StringIO(result.stdout)))
    exported = json.loads((tmp_path / "model" / "config.json").read_text())
    right = sum(row["class"] == str(label) for row, label in zip(table, labels, strict=True))
    assert right / len(labels) == exported["figures"]["test_accuracy"]
    assert all(float(row["probability"]) >= float(row["second_probability"]) for row in table)


def test_broken_images_are_reported_and_the_rest_is_done(tiny_study, test_split, tmp_path):
    folder, _ = test_split
    export(tiny_study, "best", tmp_path / "model")
    images = tmp_path / "images" / "deeper"
    images.mkdir(parents=True)
    (images / "a.png").write_bytes((folder / "0000.png").read_bytes())
    (images / "b.png").write_bytes((folder / "0001.png").read_bytes()[:60])
    (images / "notes.txt").write_text("not an image, skipped")
    Image.fromarray(np.zeros((40, 30), dtype=np.uint8)).save(tmp_path / "grey.jpg")
    result = run("predict", tmp_path / "model", tmp_path / "images", tmp_path / "grey.jpg", tmp_path / "absent.png")
    assert result.returncode == 1
    table = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["file"] for row in table] == [str(images / "a.png"), str(tmp_path / "grey.jpg")]
    broken = result.stderr.splitlines()
    assert [line.split(":")[0] for line in broken] == [str(images / "b.png"), str(tmp_path / "absent.png")]


def test_a_batch_of_broken_images_and_more_than_one_batch(tiny_study, test_split, tmp_path):
    folder, _ = test_split
    export(tiny_study, "best", tmp_path / "model")
    classifier = Classifier(tmp_path / "model")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    good = folder / "0000.png"
    results = [result for _, result in classifier.classify([broken] * BATCH + [good])]
    assert all(isinstance(result, str) for result in results[:-1])
    np.testing.assert_allclose(results[-1], next(classifier.classify([good]))[1], rtol=1e-4)


def test_best_is_chosen_by_validation_accuracy(tiny_study, tmp_path):
    runs = [row for row in rows_of(tiny_study) if row["phase"] == "confirm"]
    means = {
        candidate: np.mean([float(row["val_accuracy"]) for row in runs if row["candidate"] == candidate])
        for candidate in {row["candidate"] for row in runs}
    }
    best = max(means, key=lambda candidate: means[candidate])
    expected = max((row for row in runs if row["candidate"] == best), key=lambda row: float(row["val_accuracy"]))
    assert export(tiny_study, "best", tmp_path / "model").trial == expected["trial"]


def test_knee(changed_study, tmp_path):
    study, change = changed_study
    kept = next(path.stem for path in (study / "checkpoints").glob("vit_tome-00?.pt"))  # the better one of its search
    points = {"scratch_vit-000": (0.5, 1000), kept: (0.9, 900), "scratch_vit-001": (0.92, 100)}

    def three_on_a_front(row):
        if row["trial"] not in points:
            return False
        row["val_accuracy"], row["inference_images_per_second"] = points[row["trial"]]

    change(three_on_a_front)
    exported = export(study, "knee", tmp_path / "model")
    assert (exported.trial, exported.model) == (kept, "vit_tome")
    assert exported.options["tome_ratio"] == float(
        next(row for row in rows_of(study) if row["trial"] == kept)["tome_ratio"]
    )


def test_a_front_without_a_knee_says_so(tiny_study, tmp_path):
    with pytest.raises(StudyError, match="no knee"):
        export(tiny_study, "knee", tmp_path / "model")


def test_what_cannot_be_exported_names_what_can(changed_study, tmp_path):
    study, change = changed_study
    with pytest.raises(StudyError, match=r"no trial 'vit-009'; those that can be exported: .*scratch_vit-"):
        export(study, "vit-009", tmp_path / "model")
    confirmed = next(row["trial"] for row in rows_of(study) if row["phase"] == "confirm")
    (study / "checkpoints" / f"{confirmed}.pt").unlink()
    with pytest.raises(StudyError, match=f"{confirmed} was not kept; those that can be exported: "):
        export(study, confirmed, tmp_path / "model")
    change(lambda row: row.update(state="running"))
    with pytest.raises(StudyError, match="no trial has finished yet"):
        export(study, "best", tmp_path / "model")
    with pytest.raises(StudyError, match="is running; no trial of this study can be exported"):
        export(study, confirmed, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_damaged_checkpoint_is_one_line(changed_study, tmp_path):
    study, _ = changed_study
    trial = next((study / "checkpoints").glob("*-seed1.pt")).stem
    (study / "checkpoints" / f"{trial}.pt").write_bytes(b"half of it")
    with pytest.raises(UserError, match="is not a readable checkpoint") as caught:
        export(study, trial, tmp_path / "model")
    assert "\n" not in str(caught.value)
    torch.save({"loop": {"epoch": 1}, "rows": []}, study / "checkpoints" / f"{trial}.pt")
    with pytest.raises(UserError, match="it has no model"):
        export(study, trial, tmp_path / "model")


def test_a_checkpoint_of_another_trial_or_study_is_refused(changed_study, tmp_path):
    """Its accuracy is not the one that the model card would state."""
    study, _ = changed_study
    first, second, *_ = (row["trial"] for row in rows_of(study) if row["phase"] == "confirm")
    checkpoints = study / "checkpoints"
    own = (checkpoints / f"{first}.pt").read_bytes()
    shutil.copy(checkpoints / f"{second}.pt", checkpoints / f"{first}.pt")
    result = run("export", study, "--trial", first, "--to", tmp_path / "model")
    assert result.returncode == 2 and f"{first}.pt is a checkpoint of another study or trial" in result.stderr
    (checkpoints / f"{first}.pt").write_bytes(own)
    environment = study / "environment.json"
    environment.write_text(environment.read_text().replace('"identity": "', '"identity": "0'))
    result = run("export", study, "--trial", first, "--to", tmp_path / "model")
    assert result.returncode == 2 and "of another study or trial" in result.stderr and not (tmp_path / "model").exists()


def test_a_study_without_classes_has_no_classifier(changed_study, tmp_path):
    study, _ = changed_study
    environment = json.loads((study / "environment.json").read_text())
    del environment["data"]["classes"]
    (study / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(StudyError, match=r"no data\.classes; this takes image classifiers"):
        export(study, "best", tmp_path / "model")


def test_a_folder_with_other_files_is_left_alone(tiny_study, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StudyError, match="thesis"):
        export(tiny_study, "best", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    for _ in range(2):  # an older export is replaced
        export(tiny_study, "best", tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "weights.safetensors", "README.md"}


@pytest.mark.parametrize("model", ["scratch_vit", "vit_tome"])
def test_a_later_study_starts_from_the_weights(tiny_study, tmp_path, model):
    trial = next(row["trial"] for row in rows_of(tiny_study) if row["model"] == model and row["phase"] == "confirm")
    exported = export(tiny_study, trial, tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    saved = load_file(weights)
    loaded = models.build(model, weights=str(weights), **exported.options).state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)
    other_classes = models.build(model, weights=str(weights), **exported.options | {"num_classes": 3})
    assert other_classes(torch.zeros(1, 3, 16, 16)).shape == (1, 3)


def test_model_card_states_the_figures(tiny_study, tmp_path):
    exported = export(tiny_study, "best", tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    right = round(exported.figures["test_accuracy"] * 359)
    for stated in (
        f"({right} of 359 images; 95 % Wilson interval",
        "Speed measured alone on: ",
        "Data: digits (scikit-learn)",
        "were trained with 2 seeds",
        "| accuracy on the validation split | 0.",
        "| inference throughput at the best batch size | ",
        " images/s |",
        f"| lr | `{exported.settings['lr']}` |",
        f"torch {exported.versions['torch']}",
    ):
        assert stated in card


def test_export_folder_says_what_is_wrong_with_it(tiny_study, tmp_path):
    with pytest.raises(StudyError, match="no exported model here"):
        Classifier(tmp_path)
    export(tiny_study, "best", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    whole = json.loads(config.read_text())
    for changes, message in (
        ({"version": 2}, "newer than this program"),
        ({"classes": 10}, "classes"),
        ({"model": "no_such"}, "unknown model 'no_such'"),
        ({"options": {"image_size": 17}}, "cannot be built from its options"),
    ):
        config.write_text(json.dumps(whole | changes))
        with pytest.raises(StudyError, match=message):
            Classifier(tmp_path / "model")
    config.write_text(json.dumps(whole))
    save_file({"other": torch.zeros(1)}, tmp_path / "model" / "weights.safetensors")
    with pytest.raises(StudyError, match="does not hold this model"):
        Classifier(tmp_path / "model")
    config.write_text("{")
    with pytest.raises(StudyError, match="Invalid JSON"):
        ExportedModel.read(tmp_path / "model")


def test_an_empty_folder_of_images_is_refused(tmp_path):
    with pytest.raises(StudyError, match="no images in this folder"):
        expand_folders([tmp_path])


@pytest.mark.parametrize(
    ("sizes", "decoded"), [([(8, 8), (8, 8)], 8), ([(8, 8), (40, 30), (16, 16)], 16), ([(50, 50), (8, 8)], 16)]
)
def test_a_file_alone_is_decoded_as_in_its_data_set(tmp_path, sizes, decoded):
    noise = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(len(sizes))]
    for file, (width, height) in zip(files, sizes, strict=True):
        Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
    together, _ = decode_images(files, [str(file) for file in files], image_size=16)
    assert together.shape[1] == decoded
    assert (np.stack([decode(file, decoded) for file in files]) == together).all()


def test_recorded_size_decides_how_a_file_is_decoded(tiny_study, tmp_path):
    """A study that trained on 8x8 pixels gets 8x8 pixels of any photo, not the detail that it never saw."""
    export(tiny_study, "best", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    whole = json.loads(config.read_text())
    whole["preprocessing"]["decoded_size"] = 8
    config.write_text(json.dumps(whole))
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    photo, small = tmp_path / "photo.png", tmp_path / "small.png"
    Image.fromarray(noise).save(photo)
    Image.fromarray(decode(photo, 8)).save(small)
    results = [result for _, result in Classifier(tmp_path / "model").classify([photo, small])]
    assert (results[0] == results[1]).all()


def test_needs_neither_ray_nor_the_training_code():
    code = (
        "import sys, analysis.use.export, analysis.use.predict, analysis.trackers.tensorboard;"
        "import analysis.trackers.mlflow_log;"
        "print([name for name in ('ray', 'study', 'trainables', 'mlflow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
