"""A network with its preprocessing as an ONNX model, which all engines read that are not torch."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.engines import EngineError, Source, packages_of
from models.inputs.preprocessing import normalise, resize, shrinks, to_floats
from record.errors import one_line

INPUT, OUTPUT = "images", "logits"
OPSET = 20  # the first with GELU; the Attention of 23 makes ONNX Runtime slower and OpenVINO no faster


class FromPixels(nn.Module):
    """uint8 images (B, height, width, 3) -> logits, as `prepare` and the network compute them.

    Shrinking is a product with two matrices: OpenVINO 2026.4 reads ONNX's Resize without its antialiasing.
    """

    mean: Tensor
    std: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, network: nn.Module, source: Source) -> None:
        super().__init__()
        self.network, self.size = network, source.size
        self.register_buffer("mean", torch.tensor(source.mean))
        self.register_buffer("std", torch.tensor(source.std))
        self.shrinks = shrinks((source.height, source.width), source.size)
        if self.shrinks:
            self.register_buffer("rows", _resizing(source.height, source.size))
            self.register_buffer("columns", _resizing(source.width, source.size).T)

    def forward(self, images: Tensor) -> Tensor:
        floats = to_floats(images)
        floats = self.rows @ floats @ self.columns if self.shrinks else resize(floats, self.size)
        return self.network(normalise(floats, self.mean, self.std))


def _resizing(length: int, size: int) -> Tensor:
    """(size, length): resizes a column of `length` pixels, with antialiasing."""
    identity = torch.eye(length)[None, None]
    return F.interpolate(identity, (size, length), mode="bilinear", antialias=True, align_corners=False)[0, 0]


def to_onnx(network: nn.Module, source: Source, engine: str) -> bytes:
    """The model, with any batch size. Raises EngineError where ONNX has no counterpart of an operation."""
    with packages_of(engine):
        import onnxscript  # noqa: F401  (torch says less clearly that it is missing)
    module = FromPixels(copy.deepcopy(network).cpu(), source).eval().requires_grad_(False)
    images = torch.zeros(2, source.height, source.width, 3, dtype=torch.uint8)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                module, (images,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT], external_data=False, verbose=False,
            )  # fmt: skip
        return cast(bytes, program.model_proto.SerializeToString())  # type: ignore[union-attr]
    except (torch.onnx.OnnxExporterError, ValueError) as error:  # ValueError: above 2 GB
        raise EngineError(f"engine {engine} cannot run this network: {_obstacle(error)}") from error


def _obstacle(error: Exception) -> str:
    """The operation that stands in the way, if the exporter names one."""
    named = re.search(r"op='([\w.]+)', overload='(\w+)'", str(error))
    return f"ONNX has no {named[1]}.{named[2]}" if named else one_line(error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own deprecations and on attributes that it guesses."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
