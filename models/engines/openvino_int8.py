"""OpenVINO with activations of 8 bits and weights of 7, scaled after training by what training images bring about (NNCF)."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from models.engines import CALIBRATION_IMAGES, Classifier, EngineError, openvino, packages_of, spread
from models.engines.openvino import DEVICES, FILES, OpenVinoRunner, running

__all__ = ["DEVICES", "FILES", "PACKAGES", "compile", "load"]

PACKAGES = (*openvino.PACKAGES, "nncf")


def compile(
    classifier: Classifier,
    *,
    threads: int,
    calibration: np.ndarray | None = None,
    bfloat16: bool = True,
) -> OpenVinoRunner:
    if calibration is None or not len(calibration):
        raise EngineError(
            "engine openvino_int8 needs training images to calibrate with; name a folder with --calibrate"
        )
    openvino.runtime()  # first, for its telemetry
    with packages_of("openvino_int8"):
        import nncf
    from torch import nn

    logging.getLogger("nncf").setLevel(logging.ERROR)
    attends = any(isinstance(layer, nn.LayerNorm) for layer in classifier.network.modules())
    chosen = spread(calibration, CALIBRATION_IMAGES)
    with running("openvino_int8"), redirect_stdout(io.StringIO()):  # its progress bars
        quantised = nncf.quantize(
            openvino.convert(classifier),
            nncf.Dataset([chosen[i : i + 1] for i in range(len(chosen))]),
            subset_size=len(chosen),
            model_type=nncf.ModelType.TRANSFORMER if attends else None,
            # Weights of 7 bits: processors without VNNI add products of 8 bits in 16, which overflow silently. The file may be
            # deployed on such a one, wherever it was made.
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        )
        return OpenVinoRunner(quantised, threads, bfloat16, "int8")


def load(folder: Path, *, threads: int, bfloat16: bool = True) -> OpenVinoRunner:
    return openvino.load(folder, threads=threads, bfloat16=bfloat16, dtype="int8")
