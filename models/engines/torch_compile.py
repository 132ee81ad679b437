"""PyTorch's compiler: the first batch takes it up to a minute, and so does the second size of batches.

Needs a C++ compiler on CPUs.
"""

from __future__ import annotations

import numpy as np
import torch

from models.engines import Classifier, EngineError
from models.engines.torch import DEVICES, PACKAGES, TorchRunner
from record.errors import one_line

__all__ = ["DEVICES", "PACKAGES", "compile"]


class CompiledRunner(TorchRunner):
    def __init__(self, classifier: Classifier, threads: int, bfloat16: bool) -> None:
        super().__init__(classifier, threads, bfloat16)
        # A process compiles one model after another from the same code; after a few, torch silently gives up.
        torch.compiler.reset()
        self.forward = torch.compile(self._forward)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        try:
            return super().__call__(images)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # whatever the compiler, or the lack of one, leads to
            raise EngineError(f"engine torch_compile cannot run this network: {one_line(error)}") from error


def compile(
    classifier: Classifier,
    *,
    threads: int,
    calibration: np.ndarray | None = None,
    bfloat16: bool = True,
) -> CompiledRunner:
    return CompiledRunner(classifier, threads, bfloat16)
