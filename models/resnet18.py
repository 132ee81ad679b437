"""timm's ResNet-18 (He et al., arXiv 1512.03385), with a stem for small images on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from models import WeightsError, check_counts, check_rates
from models.weights import files, hub
from record.settings import setting

ARCHITECTURE = "resnet18"
WIDTH = 64


@dataclass(frozen=True)
class Config:
    num_classes: int = setting(10, "classes of the data", from_data=True)
    image_size: int = setting(224, "side in pixels that images are resized to; any size works")
    small_stem: bool = setting(
        False,
        "start with a 3x3 convolution of stride 1 and no max-pool: four times the resolution, for images to 64 px",
    )
    width: int = setting(WIDTH, "channels of the first stage, doubled by each of the next three; 64 is ResNet-18")
    drop_rate: float = setting(0.0, "dropout before the classifier", free=True)

    def __post_init__(self) -> None:
        check_counts(num_classes=self.num_classes, image_size=self.image_size, width=self.width)
        check_rates(drop_rate=self.drop_rate)


def hub_name(config: Config) -> str:
    """The architecture with the tag of its published weights."""
    return hub.tagged(ARCHITECTURE)


def build(config: Config, weights: str = "none") -> nn.Module:
    """A small stem takes the centre 3x3 of the 7x7 kernels from weights that have those."""
    if weights == "timm" and config.width != WIDTH:
        raise WeightsError(
            f"timm's weights of resnet18 fit width {WIDTH}, not {config.width}; use weights none or a FILE"
        )
    channels = tuple(config.width * factor for factor in (1, 2, 4, 8))
    options = {"num_classes": config.num_classes, "drop_rate": config.drop_rate, "channels": channels}
    model = hub.create(ARCHITECTURE, weights == "timm", **options)
    if config.small_stem:
        _shrink_stem(model, keep_values=weights == "timm")
    if weights not in ("none", "timm"):
        files.load(model, weights, _fit_stem)
    return model


def _shrink_stem(model: Any, keep_values: bool) -> None:
    stem = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    if keep_values:
        stem.weight.data.copy_(_centre(model.conv1.weight.data))
    model.conv1 = stem
    model.maxpool = nn.Identity()


def _fit_stem(state: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    kernel = state.get("conv1.weight")
    if kernel is not None and kernel.shape == (64, 3, 7, 7) and model.conv1.kernel_size == (3, 3):
        state["conv1.weight"] = _centre(kernel)
    return state


def _centre(kernel: Tensor) -> Tensor:
    return kernel[:, :, 2:5, 2:5]  # (64, 3, 7, 7) -> (64, 3, 3, 3)
