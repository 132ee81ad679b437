"""An image classifier timed in several engines."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from models import engines
from record import figures
from trainables.image_classification.config import Config
from trainables.image_classification.engines import time_engines

OPTIONS = {"image_size": 8, "patch_size": 4, "width": 16, "depth": 1, "heads": 2, "feed_forward": 32}


@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason=f"needs the extra: {engines.EXTRA}")
def test_engines_are_timed_side_by_side_and_one_that_cannot_run_the_network_is_refused() -> None:
    """OpenVINO 2026.4 cannot compile the patches of scratch_vit in whole numbers."""
    names = ["torch", "onnxruntime", "openvino_int8"]
    shape = {"height": 8, "width": 8, "classes": 4}
    rows = time_engines(Config(batch_size=8), "scratch_vit", OPTIONS, torch.device("cpu"), shape, names)()
    assert list(rows) == names
    for name in names[:2]:
        row = rows[name]
        assert {figures.BY_NAME[figure].name for figure in row} == set(row)  # each is a column
        assert row["inference_images_per_second"] > 0 and row["latency_ms"] > 0 and row["device"] == "cpu"
    assert rows["onnxruntime"]["dtype"] == "float32"
    [refused] = rows["openvino_int8"].items()
    assert refused[0] == "refused"
    assert str(refused[1]).startswith("engine openvino_int8 cannot run this network: ") and "\n" not in str(refused[1])
