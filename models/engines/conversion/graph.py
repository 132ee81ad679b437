"""A network with its preprocessing as a graph of torch's operations, which engines that are not torch convert."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from models.engines import EngineError, Source
from models.inputs.preprocessing import normalise, resize, shrinks, to_floats
from record.errors import one_line


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


def export(network: nn.Module, source: Source) -> ExportedProgram:
    """The graph, with any batch size; the network is left as it is. Raises EngineError for what torch cannot trace."""
    module = FromPixels(copy.deepcopy(network).cpu(), source).eval().requires_grad_(False)
    images = torch.zeros(2, source.height, source.width, 3, dtype=torch.uint8)
    try:
        with torch.no_grad():
            return torch.export.export(module, (images,), dynamic_shapes=({0: Dim("batch")},))
    except Exception as error:  # of many classes, private ones among them
        raise EngineError(f"torch cannot trace this network, so only torch runs it: {one_line(error, 300)}") from error
