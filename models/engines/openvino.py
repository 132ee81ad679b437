"""OpenVINO on the CPU, in bfloat16 where the hardware has it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.engines import OUTPUT, Classifier, EngineError, packages_of, unreadable
from record.errors import one_line

DEVICES = ("cpu",)
PACKAGES = ("openvino",)
FILES = ("model.xml", "model.bin")


class OpenVinoRunner:
    def __init__(self, model: Any, threads: int, bfloat16: bool, dtype: str | None = None) -> None:
        """model: an openvino.Model. dtype: where its weights are not floats."""
        core = shared_core()
        reduced = bfloat16 and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.dtype = dtype or ("bfloat16" if reduced else "float32")
        self.model = model
        self.compiled = core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, on all threads
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": "bf16" if reduced else "f32",
                "ENABLE_CPU_PINNING": False,  # several processes would choose the same cores
            },
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.compiled(np.ascontiguousarray(images), share_inputs=True)[0]

    def save(self, folder: Path) -> None:
        runtime().save_model(self.model, folder / FILES[0], compress_to_fp16=False)


def runtime() -> Any:
    """The package, imported so that it reports nothing to its makers: without this package it has a stub for it."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    with packages_of("openvino"):
        import openvino
    return openvino


@cache
def shared_core() -> Any:
    """This process's only openvino.Core, never destroyed.

    Each gives the thread that loads its CPU plugin another stack for signals. Of two that are destroyed in the order in
    which they were created, the second puts back the stack of the first, which is no longer there: the next Ctrl-C would
    end the process with a segmentation fault.
    """
    return runtime().Core()


@contextmanager
def running(engine: str) -> Iterator[None]:
    """Inside, whatever OpenVINO raises for a network that it cannot run is an EngineError."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:  # its own have no other base
        raise EngineError(f"engine {engine} cannot run this network: {_obstacle(str(error))}") from error


def _obstacle(message: str) -> str:
    """What OpenVINO says after the lines on its own code, which come first."""
    if missing := re.search(r"No conversion rule found for operations: (.+)", message):
        return f"OpenVINO has no {missing[1]}"
    own = ("Exception from ", "Check '", "FrontEnd API failed")
    return one_line(" ".join(line for line in message.splitlines() if not line.startswith(own)))


def convert(classifier: Classifier) -> Any:
    """The classifier as an openvino.Model, with any batch size. Raises EngineError, and whatever OpenVINO raises."""
    source = classifier.source
    model = runtime().convert_model(classifier.graph)
    model.reshape([-1, source.height, source.width, 3])
    model.output(0).get_tensor().set_names({OUTPUT})
    return model


def compile(
    classifier: Classifier,
    *,
    threads: int,
    calibration: np.ndarray | None = None,
    bfloat16: bool = True,
) -> OpenVinoRunner:
    with running("openvino"):
        return OpenVinoRunner(convert(classifier), threads, bfloat16)


def load(folder: Path, *, threads: int, bfloat16: bool = True, dtype: str | None = None) -> OpenVinoRunner:
    path = folder / FILES[0]
    try:
        return OpenVinoRunner(shared_core().read_model(path), threads, bfloat16, dtype)
    except RuntimeError as error:
        raise unreadable(path, error) from error
