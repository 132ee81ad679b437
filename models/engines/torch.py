"""PyTorch as the study evaluates with it: eager, in bfloat16 where the hardware has it, on CPU or GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.engines import Classifier
from models.inputs.preprocessing import prepare
from models.layers.precision import has_bfloat16

DEVICES = ("cpu", "cuda")
PACKAGES: tuple[str, ...] = ()


class TorchRunner:
    """Takes images of any height and width. Computes on the network's device."""

    def __init__(self, classifier: Classifier, threads: int, bfloat16: bool) -> None:
        network, source = classifier.network, classifier.source
        self.device, self.threads, self.size = next(network.parameters()).device, threads, source.size
        self.bfloat16 = bfloat16 and has_bfloat16(self.device)
        self.dtype = "bfloat16" if self.bfloat16 else "float32"
        network = copy.deepcopy(network).eval().requires_grad_(False)
        if self.bfloat16:
            _round_weights(network)
        self.network = network.to(memory_format=torch.channels_last)
        self.mean = torch.tensor(source.mean, device=self.device)
        self.std = torch.tensor(source.std, device=self.device)
        self.forward: Callable[[Tensor], Tensor] = self._forward

    def __call__(self, images: np.ndarray) -> np.ndarray:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            # no_grad, not inference_mode: torch.compile takes tensors of both kinds for different inputs.
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                logits = self.forward(torch.tensor(images, device=self.device))
            return logits.float().cpu().numpy()
        finally:
            torch.set_num_threads(before)

    def _forward(self, images: Tensor) -> Tensor:
        return self.network(prepare(images, self.size, self.mean, self.std))


def _round_weights(network: nn.Module) -> None:
    """Convert once what autocast would convert in every call; the answers stay the same to the last bit."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.to(torch.bfloat16)


def compile(
    classifier: Classifier,
    *,
    threads: int,
    calibration: np.ndarray | None = None,
    bfloat16: bool = True,
) -> TorchRunner:
    return TorchRunner(classifier, threads, bfloat16)
