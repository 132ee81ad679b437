"""A model exported for another engine: the same answers, without torch, or one line that says why not."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from untrained_study import noise, write_untrained_study

from analysis.read.errors import StudyError
from analysis.use.export import export
from analysis.use.exported_model import CARD, CONFIG, WEIGHTS
from analysis.use.predict import Classifier
from models import engines
from models.engines import EngineError, Portable
from record import contents
from record.folder import StudyFolder

TRIAL = "small-000"  # merges tokens
pytestmark = pytest.mark.usefixtures("runtimes")
FILES = {
    "onnxruntime": {"model.onnx"},
    "openvino": {"model.xml", "model.bin"},
    "openvino_int8": {"model.xml", "model.bin"},
}
PREDICT = """
import sys
from analysis.cli.main import app
app(["predict", *sys.argv[1:]], standalone_mode=False)
assert not {"torch", "timm", "onnx", "nncf", "pandas"} & set(sys.modules), "predict imported what it does not need"
"""


@pytest.fixture(scope="module")
def runtimes() -> None:
    for package in ("onnxruntime", "onnxscript", "openvino", "nncf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: {engines.EXTRA}")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The merging model computes in float32 and prefers a class: with random weights all are equal up to rounding."""
    folder = StudyFolder(write_untrained_study(tmp_path / "study"))
    spec = contents.read_spec(folder)
    spec["models"]["small"]["bfloat16"] = False
    contents.write_spec(folder, spec)
    checkpoint = torch.load(folder.checkpoint(TRIAL), weights_only=True)
    checkpoint["loop"]["model"]["head.bias"][0] += 1
    torch.save(checkpoint, folder.checkpoint(TRIAL))
    return folder.path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images as files, some of another size than those of the study."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i, pixels in enumerate(noise(20).images):
        Image.fromarray(pixels if i % 2 else pixels.repeat(2, 0)).save(folder / f"{i:02d}.png")
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def probabilities(model: Path, images: Path) -> np.ndarray:
    return np.stack([result for _, result in Classifier(model).classify(sorted(images.iterdir()))])


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)])
def test_predicts_without_torch_what_torch_predicts(study: Path, images: Path, tmp_path: Path, engine: str) -> None:
    export(study, TRIAL, tmp_path / "model")
    expected = probabilities(tmp_path / "model", images)
    exported = export(study, TRIAL, tmp_path / "model", engine)
    assert exported.engine == engine and names(tmp_path / "model") == FILES[engine] | {CONFIG, CARD}
    command = [sys.executable, "-c", PREDICT, tmp_path / "model", images]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["class"] for row in rows] == [exported.classes[best] for best in expected.argmax(1)]
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected.max(1), atol=1e-5)
    card = (tmp_path / "model" / CARD).read_text()
    assert f"Engine: {engine}, checked on validation images: same class on " in card and WEIGHTS not in card


@pytest.mark.slow
def test_8_bits_are_calibrated_on_training_images(study: Path, images: Path, tmp_path: Path) -> None:
    to, folder = tmp_path / "model", StudyFolder(study)
    assert len(contents.read_calibration(folder).images) == 6
    export(study, TRIAL, to)
    expected = probabilities(to, images)
    export(study, TRIAL, to, "openvino_int8")
    assert names(to) == FILES["openvino_int8"] | {CONFIG, CARD}
    assert (probabilities(to, images).argmax(1) == expected.argmax(1)).mean() >= 0.9
    contents.write_samples(folder, contents.read_samples(folder))  # as an older version did
    with pytest.raises(EngineError, match="needs training images to calibrate with; name a folder with --calibrate"):
        export(study, TRIAL, tmp_path / "other", "openvino_int8")
    with pytest.raises(StudyError, match=r"--calibrate .*: no images there"):
        export(study, TRIAL, to, "openvino_int8", calibrate=study / "checkpoints")
    assert export(study, TRIAL, to, "openvino_int8", calibrate=images).engine == "openvino_int8"


def test_torch_takes_the_folder_back(study: Path, tmp_path: Path) -> None:
    for engine in ("onnxruntime", "torch_compile"):
        export(study, "best", tmp_path / "model", engine)
    assert names(tmp_path / "model") == {WEIGHTS, CONFIG, CARD}
    assert json.loads((tmp_path / "model" / CONFIG).read_text())["engine"] == "torch_compile"


def test_what_cannot_be_deployed_leaves_an_older_export_alone(study: Path, tmp_path: Path) -> None:
    to = tmp_path / "model"
    export(study, "best", to)
    with pytest.raises(EngineError, match="unknown engine 'openvin'; did you mean 'openvino'"):
        export(study, "best", to, "openvin")
    environment = json.loads((study / "environment.json").read_text())
    del environment["data"]["decoded_size"]
    (study / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(StudyError, match="did not record decoded_size, which engine openvino needs"):
        export(study, "best", to, "openvino")
    assert names(to) == {WEIGHTS, CONFIG, CARD}


def test_a_damaged_export_is_one_line(study: Path, tmp_path: Path) -> None:
    export(study, "best", tmp_path / "model", "onnxruntime")
    (tmp_path / "model" / "model.onnx").write_bytes(b"half of it")
    with pytest.raises(EngineError, match=r"model\.onnx cannot be read .*; export the model again"):
        Classifier(tmp_path / "model")


def test_every_engine_with_files_is_tested_here() -> None:
    assert FILES.keys() == {name for name in engines.available() if isinstance(engines.find(name), Portable)}
