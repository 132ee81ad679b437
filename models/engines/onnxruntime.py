"""ONNX Runtime on the CPU, in float32: it has no bfloat16 there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.engines import Classifier, EngineError, packages_of, unreadable

DEVICES = ("cpu",)
PACKAGES = ("onnxruntime", "onnxscript")
FILES = ("model.onnx",)


class OnnxRunner:
    dtype = "float32"

    def __init__(self, model: bytes, threads: int) -> None:
        with packages_of("onnxruntime"):
            import onnxruntime
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Else its threads wait for the next call at full speed, and take the processors from whatever runs meanwhile.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.model = model
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        [self.input], [self.output] = self.session.get_inputs(), self.session.get_outputs()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        [logits] = self.session.run([self.output.name], {self.input.name: images})
        return logits

    def save(self, folder: Path) -> None:
        (folder / FILES[0]).write_bytes(self.model)


def compile(
    classifier: Classifier,
    *,
    threads: int,
    calibration: np.ndarray | None = None,
    bfloat16: bool = True,
) -> OnnxRunner:
    from models.engines.conversion.onnx_model import to_onnx  # imports torch

    return OnnxRunner(to_onnx(classifier, "onnxruntime"), threads)


def load(folder: Path, *, threads: int, bfloat16: bool = True) -> OnnxRunner:
    path = folder / FILES[0]
    try:
        return OnnxRunner(path.read_bytes(), threads)
    except EngineError:
        raise
    except Exception as error:  # ONNX Runtime's own errors have no common base
        raise unreadable(path, error) from error
