"""The graph of a classifier as an ONNX model."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch

from models.engines import INPUT, OUTPUT, Classifier, EngineError, packages_of
from record.errors import one_line

OPSET = 20  # the first with GELU; the Attention of 23 makes ONNX Runtime slower


def to_onnx(classifier: Classifier, engine: str) -> bytes:
    """The model, with any batch size. Raises EngineError where ONNX has no counterpart of an operation."""
    with packages_of(engine):
        import onnxscript  # noqa: F401  (torch says less clearly that it is missing)
    graph = classifier.graph
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                graph, dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT],
                external_data=False, verbose=False,
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
