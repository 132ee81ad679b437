"""The model registry: the name in a space's YAML is the name of a file in this folder.

    NAME.py     one model: its `Config`, its layers, `build`; the names that such a file has are those of `ModelFile`
    layers/     what several models are made of: attention, Transformer blocks, token merging, number formats
    inputs/     from an image file or a sentence to what a model reads
    engines/    what a trained model is deployed with: PyTorch, ONNX Runtime, OpenVINO
    outputs/    from a model to what a person reads: decoded translations, attention maps
    weights/    pretrained weights, from the hub or from a file

Importing this package imports neither torch nor timm, so that a space can be checked without waiting for them.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, runtime_checkable

from record import tasks
from record.errors import UserError, nearest

if TYPE_CHECKING:
    from torch import nn

Triple = tuple[float, float, float]
C = TypeVar("C")


class WeightsError(UserError):
    """Pretrained weights are not available or do not fit; the one-line message says what to use instead."""


class ModelFile(Protocol[C]):
    """The names that every model file has. Those of `Published` and `ForTask` are optional."""

    @property
    def Config(self) -> type[C]:
        """The options of the model: a frozen dataclass, each field a `record.settings.setting` with its default.

        Raises ValueError for values that no model can have; the message starts with the field's name.
        """

    def build(self, config: C, weights: str = "none") -> nn.Module:
        """The model in training mode on the CPU. weights: "none", "timm" or the path of a file.

        Raises ValueError for options that do not fit together, WeightsError for weights that do not fit them.
        """


@runtime_checkable
class Published(Protocol):
    """A model whose weights timm publishes."""

    def hub_name(self, config: Any) -> str:
        """The architecture with the tag of its published weights. Raises WeightsError if it has none."""


@runtime_checkable
class ForTask(Protocol):
    """A model that is not for the default task."""

    TASK: str  # a name of record.tasks


def available() -> list[str]:
    """Names of the models: the files here, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def task(name: str) -> str:
    """The task that a model is for. Raises UserError for an unknown model."""
    module = _load(name)
    return module.TASK if isinstance(module, ForTask) else tasks.DEFAULT


def config_class(name: str) -> type[Any]:
    """The dataclass of a model's options. Raises UserError, naming the nearest models, for an unknown name."""
    return _load(name).Config


def build(name: str, weights: str = "none", **options: Any) -> nn.Module:
    """Build a model in training mode on the CPU.

    weights: "none" (random), "timm" (published ones; downloaded unless cached) or the path of a .safetensors, .pt or
    .pth file. Raises ValueError for an unknown model or option and for a bad value, WeightsError for weights that
    are not available or do not fit.
    """
    config = _config(name, options)
    if weights == "timm":
        _hub_name(name, config)
    from models.layers import convolutions  # imports torch

    model = _load(name).build(config, weights)
    convolutions.guard(model)
    return model


def describe_weights(name: str, weights: str, **options: Any) -> str:
    """What every row of a study records: "none", "timm:<architecture.tag>" or "file:<file name>"."""
    config = _config(name, options)
    if weights == "none":
        return "none"
    if weights == "timm":
        return f"timm:{_hub_name(name, config)}"
    from models.weights import files  # imports torch

    return f"file:{files.describe(weights)}"


def fetch_weights(name: str, weights: str, **options: Any) -> None:
    """Check that the weights are available and fit, by building the model once; hub weights are cached afterwards.

    Random ones take no memory for it. Raises WeightsError as `build` does; without a network that takes seconds, not the
    minute of the hub's retries.
    """
    import torch

    with torch.device("meta") if weights == "none" else nullcontext():
        build(name, weights, **options)


def published_facts(model: nn.Module) -> dict[str, Any]:
    """What timm says about a model that it built (mean, std, classifier, ...); {} for a model of our own."""
    return getattr(model, "pretrained_cfg", None) or {}


def normalisation(model: nn.Module) -> tuple[Triple, Triple]:
    """Mean and standard deviation, per channel, that the model's input images (0 to 1) are normalised with."""
    facts, half = published_facts(model), (0.5, 0.5, 0.5)
    return tuple(facts.get("mean") or half), tuple(facts.get("std") or half)


def check_counts(**counts: int | None) -> None:
    """For `Config.__post_init__`: ValueError for a count below 1. None means what the architecture has."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be 1 or more, got {count}")


def check_rates(**rates: float) -> None:
    """For `Config.__post_init__`: ValueError for a rate outside [0, 1)."""
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must be 0 to below 1, got {rate}")


@cache  # a driver asks once for every trial and row
def _load(name: str) -> ModelFile[Any]:
    if name not in available():
        raise UserError(f"unknown model '{name}'; {nearest(name, available())}")
    return cast("ModelFile[Any]", importlib.import_module(f"models.{name}"))


def _config(name: str, options: dict[str, Any]) -> Any:
    fields = [field.name for field in dataclasses.fields(config_class(name))]
    for option in options:
        if option not in fields:
            raise UserError(f"model '{name}' has no option '{option}'; {nearest(option, fields)}")
    return config_class(name)(**options)


def _hub_name(name: str, config: Any) -> str:
    module = _load(name)
    if not isinstance(module, Published):
        raise WeightsError(f"no pretrained weights are published for model '{name}'; use weights none or a FILE")
    return module.hub_name(config)
