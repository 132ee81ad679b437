"""Any of timm's image classifiers by name, at any image size that its layers can take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from models import check_counts, check_rates
from models.weights import files, hub
from record.errors import one_line
from record.settings import setting

SIZES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)  # that an error proposes


@dataclass(frozen=True)
class Config:
    num_classes: int = setting(10, "classes of the data", from_data=True)
    image_size: int = setting(224, "side in pixels that images are resized to; too small ones are refused")
    architecture: str = setting("mobilenetv4_conv_small", "timm's name, with or without the tag of its weights")
    small_stem: bool = setting(
        False,
        "read images at stride 1, without the max-pool of the stem, for images to 64 px; not for stems that cut patches",
    )
    drop_rate: float = setting(0.0, "dropout before the classifier, where the architecture has it", free=True)
    drop_path_rate: float = setting(
        0.0, "stochastic depth: rate at which the last block is skipped, where the architecture has it", free=True
    )

    def __post_init__(self) -> None:
        check_counts(num_classes=self.num_classes, image_size=self.image_size)
        check_rates(drop_rate=self.drop_rate, drop_path_rate=self.drop_path_rate)
        hub.check_architecture(self.architecture, _known(), "an image classifier")
        for name in ("drop_rate", "drop_path_rate"):
            if getattr(self, name) and name not in accepted(self.architecture):
                raise ValueError(f"{name} must be 0: architecture '{self.architecture}' does not have it")
        stem = stem_of(self.architecture) if self.small_stem else None
        if reason := failure(self.architecture, self.image_size, stem):
            raise ValueError(_refused(self.architecture, self.image_size, stem, reason))


class Stem(NamedTuple):
    """What keeps an architecture from reading images at full resolution, by the names of the layers."""

    convolutions: tuple[str, ...]
    pool: str  # "" where none follows


class Passed(NamedTuple):
    """A layer that an image passes, with the sides of its map before and after."""

    name: str
    layer: Any
    before: int
    after: int


def hub_name(config: Config) -> str:
    """The architecture with the tag of its published weights."""
    return hub.tagged(config.architecture)


def build(config: Config, weights: str = "none") -> nn.Module:
    """A small stem keeps the kernels of the architecture's own, and so all published weights fit."""
    values = {
        "img_size": config.image_size,
        "drop_rate": config.drop_rate,
        "drop_path_rate": config.drop_path_rate,
    }
    options = {name: value for name, value in values.items() if name in accepted(config.architecture)}
    model = hub.create(config.architecture, weights == "timm", num_classes=config.num_classes, **options)
    if config.small_stem:
        shrink(model, stem_of(config.architecture))
    if weights not in ("none", "timm"):
        files.load(model, weights, fit)
    return model


def fit(state: files.StateDict, model: nn.Module) -> files.StateDict:
    """timm's own conversion of published checkpoints, which our own checkpoints do not need."""
    target = model.state_dict()
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None or {name: v.shape for name, v in state.items()} == {name: v.shape for name, v in target.items()}:
        return state
    return convert(state, model)


def shrink(model: nn.Module, stem: Stem) -> None:
    """Read images at stride 1, and without the pool of the stem."""
    for name in stem.convolutions:
        convolution: Any = model.get_submodule(name)
        convolution.stride = (1, 1)
    if stem.pool:
        model.set_submodule(stem.pool, nn.Identity())


@cache
def stem_of(architecture: str) -> Stem:
    """What `shrink` changes. Raises ValueError where convolutions that overlap do not read the image."""
    problem = f"small_stem does not fit architecture '{architecture}'"
    if reason := failure(architecture, own_size(architecture), None):
        raise ValueError(f"{problem} ({reason}); leave it out")
    passed = trace(architecture, own_size(architecture))
    reading = [each for each in passed if isinstance(each.layer, nn.Conv2d) and each.layer.in_channels == 3]
    strided = [each for each in reading if max(each.layer.stride) > 1]
    if not strided:
        raise ValueError(f"{problem}: no strided convolution reads the image; leave it out")
    # Kernels of one pixel are branches beside larger ones, as in RepVGG.
    sizes = [(each.layer.kernel_size[0], each.layer.stride[0]) for each in strided if each.layer.kernel_size != (1, 1)]
    if not sizes or any(kernel <= stride for kernel, stride in sizes):
        size = strided[0].layer.stride[0]
        raise ValueError(f"{problem}, which cuts patches of {size} px; leave it out and give a larger image_size")
    later = passed[passed.index(strided[-1]) + 1 :]
    lower = next((each for each in later if each.after != each.before), None)
    pool = lower.name if lower and isinstance(lower.layer, nn.MaxPool2d) else ""
    return Stem(tuple(each.name for each in strided), pool)


@cache
def failure(architecture: str, image_size: int, stem: Stem | None) -> str:
    """Why the architecture cannot classify images of this size; "" where it can."""
    try:
        trace(architecture, image_size, stem)
    except Exception as error:  # whatever timm or torch raises for sizes that its layers cannot have
        return one_line(error, 120) or type(error).__name__
    return ""


def trace(architecture: str, image_size: int, stem: Stem | None = None) -> list[Passed]:
    """Pass an image through an architecture on the meta device, where only shapes are computed, and list its layers."""
    passed = []

    def note(layer: nn.Module, inputs: tuple[Any, ...], y: Any) -> None:
        if all(isinstance(each, Tensor) and each.ndim == 4 for each in (*inputs[:1], y)):
            passed.append(Passed(names[layer], layer, inputs[0].shape[-1], y.shape[-1]))

    size: dict[str, Any] = {"img_size": image_size} if "img_size" in accepted(architecture) else {}
    with _meta():
        model = timm.create_model(architecture, num_classes=10, **size).eval()
    if stem:
        shrink(model, stem)
    names = {layer: name for name, layer in model.named_modules()}
    for layer in names:
        if not any(layer.children()):
            layer.register_forward_hook(note)
    with torch.no_grad():
        y = model(torch.zeros(2, 3, image_size, image_size, device="meta"))
    if not isinstance(y, Tensor) or tuple(y.shape) != (2, 10):
        raise ValueError("it does not give one score per class")
    return passed


@cache
def accepted(architecture: str) -> frozenset[str]:
    """Those of the optional arguments img_size, drop_rate and drop_path_rate that the architecture takes."""
    options: dict[str, Any] = {"img_size": own_size(architecture), "drop_rate": 0.0, "drop_path_rate": 0.0}
    while True:
        try:
            with _meta():
                timm.create_model(architecture, **options)
        except TypeError as error:  # Python's, which names the argument in quotes
            refused = [name for name in options if f"'{name}'" in str(error)]
            if not refused:
                raise
            del options[refused[0]]
        else:
            return frozenset(options)


@cache
def own_size(architecture: str) -> int:
    """The side in pixels of the images that the architecture is published for."""
    published: Any = timm.models.get_pretrained_cfg(architecture)
    return int(published.input_size[-1])


def _refused(architecture: str, image_size: int, stem: Stem | None, reason: str) -> str:
    """The message for a size that the architecture cannot take, with one that it can."""
    if stem and not failure(architecture, image_size, None):
        return f"small_stem does not fit architecture '{architecture}' at {image_size} px ({reason}); leave it out"
    sizes = sorted({*SIZES, own_size(architecture)}, key=lambda size: (size < image_size, size))  # larger ones first
    fitting = next((size for size in sizes if not failure(architecture, size, stem)), None)
    if fitting is None:
        return f"architecture '{architecture}' cannot classify images of {image_size} px ({reason}); use another"
    return f"image_size {image_size} does not fit architecture '{architecture}' ({reason}); use {fitting}"


@contextmanager
def _meta() -> Iterator[None]:
    """Build without memory, and without drawing from the random numbers that initial weights come from."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        yield


@cache
def _known() -> frozenset[str]:
    return frozenset(timm.list_models())
