"""The model registry: the name in a space's YAML is the name of a file in this folder.

A model file defines a frozen dataclass `Config` (the options that a space may set, each with its default) and
`build(config, weights) -> nn.Module`; one whose weights timm publishes also defines `hub_name(config)`, and one that is
no image classifier says its task: `TASK = "translation"`. Importing this package imports neither torch nor timm, so
that a space can be checked without waiting for them.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from record.errors import UserError, nearest

if TYPE_CHECKING:
    from torch import nn

Triple = tuple[float, float, float]


class WeightsError(UserError):
    """Pretrained weights cannot be had or do not fit; the one-line message names what to do instead."""


@cache
def available() -> list[str]:
    """Names of the models: the files here that define both `Config` and `build`."""
    names = []
    for path in Path(__file__).parent.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        if re.search(r"^class Config\b", source, re.MULTILINE) and re.search(r"^def build\b", source, re.MULTILINE):
            names.append(path.stem)
    return sorted(names)


def task(name: str) -> str:
    """The task that a model is for. Raises ValueError as `config_class` does."""
    return getattr(_module(name), "TASK", "image_classification")


def config_class(name: str) -> type[Any]:
    """The dataclass of a model's options. Raises ValueError, naming the nearest model, for an unknown name."""
    return _module(name).Config


def build(name: str, weights: str = "none", **options: Any) -> nn.Module:
    """Build a model in training mode on the CPU.

    weights: "none" (random), "timm" (published ones; downloaded unless cached) or the path of a .safetensors, .pt or
    .pth file. Raises ValueError for an unknown model or option and for a bad value, WeightsError for weights that
    cannot be had or do not fit.
    """
    config = _config(name, options)
    if weights == "timm":
        describe_weights(name, weights, **options)
    return _module(name).build(config, weights)


def describe_weights(name: str, weights: str, **options: Any) -> str:
    """What every row of a study records: "none", "timm:<architecture.tag>" or "file:<file name>"."""
    config = _config(name, options)
    if weights == "none":
        return "none"
    if weights != "timm":
        return f"file:{Path(weights).name}"
    if not hasattr(_module(name), "hub_name"):
        raise WeightsError(f"no pretrained weights are published for model '{name}'; use weights none or a FILE")
    return f"timm:{_module(name).hub_name(config)}"


def fetch_weights(name: str, weights: str, **options: Any) -> None:
    """Make sure that the weights can be had and fit, by building the model once; hub weights are cached afterwards.

    Raises WeightsError as `build` does; without a network that takes seconds, not the minute of the hub's retries.
    """
    build(name, weights, **options)


def normalisation(model: nn.Module) -> tuple[Triple, Triple]:
    """Mean and standard deviation, by channel, that the model's input images (0 to 1) are normalised with."""
    published: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    half = (0.5, 0.5, 0.5)
    return tuple(published.get("mean") or half), tuple(published.get("std") or half)


def _module(name: str) -> ModuleType:
    if name not in available():
        raise ValueError(f"unknown model '{name}'; {nearest(name, available())}")
    return importlib.import_module(f"models.{name}")


def _config(name: str, options: dict[str, Any]) -> Any:
    fields = [field.name for field in dataclasses.fields(config_class(name))]
    for option in options:
        if option not in fields:
            raise ValueError(f"model '{name}' has no option '{option}'; {nearest(option, fields)}")
    return config_class(name)(**options)
