"""An image classifier in several engines: timed side by side, and tested once it is trained."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models import engines
from record import contents, figures
from record.folder import StudyFolder
from trainables.data.images import Images
from trainables.image_classification.config import Config
from trainables.image_classification.data import Data
from trainables.image_classification.engines import evaluate_engines, time_engines
from trainables.image_classification.loop import Loop
from trainables.pace import Yardstick

CPU = torch.device("cpu")
OPTIONS = {"image_size": 8, "patch_size": 4, "width": 16, "depth": 1, "heads": 2, "feed_forward": 32}
SHAPE = {"height": 8, "width": 8, "classes": 4}
NO_NNCF = f"engine openvino_int8 needs the package nncf, which is not installed: {engines.EXTRA}"


needs_runtimes = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason=f"needs the extra: {engines.EXTRA}"
)


@needs_runtimes
def test_engines_are_timed_side_by_side() -> None:
    names = ["torch", "onnxruntime", "openvino_int8"]
    rows = time_engines(Config(batch_size=8), "scratch_vit", OPTIONS, CPU, SHAPE, names, Yardstick(CPU))()
    assert list(rows) == names
    for name in names:
        row = rows[name]
        assert {figures.BY_NAME[figure].name for figure in row} == set(row)  # each is a column
        assert row["inference_images_per_second"] > 0 and row["latency_ms"] > 0 and row["device"] == "cpu"
        assert row["compile_seconds"]
    assert [rows[name]["dtype"] for name in names[1:]] == ["float32", "int8"]


@needs_runtimes
def test_one_that_cannot_run_is_refused_and_the_others_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)  # importing it fails as if it were not installed
    names = ["torch", "openvino_int8", "openvino"]
    rows = time_engines(Config(batch_size=8), "scratch_vit", OPTIONS, CPU, SHAPE, names, Yardstick(CPU))()
    assert rows["openvino_int8"] == {"refused": NO_NNCF}
    assert all(rows[name]["inference_images_per_second"] for name in ("torch", "openvino"))


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Loop, Images, StudyFolder]:
    """A network after an epoch, its test images, and the folder that has its eager predictions."""
    labels = np.arange(60) % 4
    pixels = np.random.default_rng(0).integers(0, 120, (60, 8, 8, 3), dtype=np.uint8)
    pixels += (30 * labels).astype(np.uint8)[:, None, None, None]  # a class is a brightness
    images, folder = Images(pixels, labels), StudyFolder(tmp_path)
    data = Data(tuple("abcd"), images, images)
    config = Config(batch_size=8, epochs=1, lr=3e-3, bfloat16=False)
    loop = Loop(config, "scratch_vit", OPTIONS, "none", data, CPU)
    loop.run_epoch()
    return loop, Images(pixels[::-1].copy(), labels[::-1].copy()), folder


@needs_runtimes
def test_a_trained_network_is_tested_in_each_engine_and_a_failing_one_says_why(
    trained: tuple[Loop, Images, StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    loop, test, folder = trained
    eager = loop.test(test, folder, "t")
    rows = evaluate_engines(loop, test, folder, "t", ["onnxruntime", "openvino_int8"])
    assert rows["torch"] == {"dtype": "float32"}
    validated, _, _, _ = loop.evaluate(loop.data.validation)
    assert rows["onnxruntime"] == {
        "dtype": "float32", "val_accuracy": validated, "test_accuracy": eager["test_accuracy"], "equal_classes": 1.0,
    }  # fmt: skip
    predictions = [contents.read_predictions(folder.predictions("t", engine)) for engine in (None, "onnxruntime")]
    np.testing.assert_array_equal(*predictions)
    assert rows["openvino_int8"] == {"refused": NO_NNCF} and not folder.predictions("t", "openvino_int8").exists()


@needs_runtimes
def test_an_engine_that_answers_differently_is_refused_by_name(trained: tuple[Loop, Images, StudyFolder]) -> None:
    loop, test, folder = trained
    loop.test(test, folder, "t")
    with torch.no_grad():
        next(loop.model.parameters()).fill_(torch.nan)
    rows = evaluate_engines(loop, test, folder, "t", ["onnxruntime"])
    assert str(rows["onnxruntime"]["refused"]).startswith("engine onnxruntime (float32) is refused: same class on ")
