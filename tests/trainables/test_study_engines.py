"""An image classifier in several engines: timed side by side, and tested once it is trained."""

from __future__ import annotations

import importlib.util
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


needs_runtimes = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason=f"needs the extra: {engines.EXTRA}"
)


@needs_runtimes
def test_engines_are_timed_side_by_side_and_one_that_cannot_run_the_network_is_refused() -> None:
    """OpenVINO 2026.4 cannot compile the patches of scratch_vit in whole numbers."""
    names = ["torch", "onnxruntime", "openvino_int8"]
    shape = {"height": 8, "width": 8, "classes": 4}
    rows = time_engines(Config(batch_size=8), "scratch_vit", OPTIONS, CPU, shape, names, Yardstick(CPU))()
    assert list(rows) == names
    for name in names[:2]:
        row = rows[name]
        assert {figures.BY_NAME[figure].name for figure in row} == set(row)  # each is a column
        assert row["inference_images_per_second"] > 0 and row["latency_ms"] > 0 and row["device"] == "cpu"
    assert rows["onnxruntime"]["dtype"] == "float32"
    [refused] = rows["openvino_int8"].items()
    assert refused[0] == "refused"
    assert str(refused[1]).startswith("engine openvino_int8 cannot run this network: ") and "\n" not in str(refused[1])


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
    trained: tuple[Loop, Images, StudyFolder],
) -> None:
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
    assert list(rows["openvino_int8"]) == ["refused"] and not folder.predictions("t", "openvino_int8").exists()


@needs_runtimes
def test_an_engine_that_answers_differently_is_refused_by_name(trained: tuple[Loop, Images, StudyFolder]) -> None:
    loop, test, folder = trained
    loop.test(test, folder, "t")
    with torch.no_grad():
        next(loop.model.parameters()).fill_(torch.nan)
    rows = evaluate_engines(loop, test, folder, "t", ["onnxruntime"])
    assert str(rows["onnxruntime"]["refused"]).startswith("engine onnxruntime (float32) is refused: same class on ")
