"""timm's ResNet-18 (He et al., arXiv 1512.03385), with a stem for small images on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from models import WeightsError
from models.weights import files as weight_files

ARCHITECTURE = "resnet18"


@dataclass(frozen=True)
class Config:
    num_classes: int = 10
    image_size: int = 224  # any size works; it is here so that every image model has it
    small_stem: bool = False  # 3x3 stride 1 without max-pool: four times the resolution, for images up to about 64 px
    width: int = 64  # channels of the first stage, doubled by each of the next three; 64 is ResNet-18
    drop_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(
                f"width is {self.width}; it is the number of channels of the first stage, 64 for ResNet-18"
            )


def hub_name(config: Config) -> str:
    """The architecture with the tag of its published weights."""
    return weight_files.tagged(ARCHITECTURE)


def build(config: Config, weights: str = "none") -> nn.Module:
    """A small stem takes the centre 3x3 of the 7x7 kernels from weights that have those."""
    if weights == "timm" and config.width != 64:
        raise WeightsError(f"timm's weights of resnet18 fit width 64, not {config.width}; use weights none or a FILE")
    channels = tuple(config.width * factor for factor in (1, 2, 4, 8))
    options = {"num_classes": config.num_classes, "drop_rate": config.drop_rate, "channels": channels}
    model = weight_files.create(ARCHITECTURE, "timm" if weights == "timm" else "none", **options)
    _guard_single_pixels(model)
    if config.small_stem:
        _shrink_stem(model, keep_values=weights == "timm")
    if weights not in ("none", "timm"):
        weight_files.load(model, weights, _fit_stem)
    return model


class Downsampling(nn.Conv2d):
    """3x3 with stride 2. A map of one pixel meets the kernel's centre alone, so that is what it is multiplied with.

    oneDNN, as torch 2.14 has it, computes the weights' gradient of this case in bfloat16 from memory that nothing was
    written to.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] == (1, 1):
            return F.conv2d(x, self.weight[:, :, 1:2, 1:2])
        return super().forward(x)


def _guard_single_pixels(model: nn.Module) -> None:
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Conv2d) and (layer.kernel_size, layer.stride) == ((3, 3), (2, 2)):
            guarded = Downsampling(layer.in_channels, layer.out_channels, 3, stride=2, padding=1, bias=False)
            guarded.weight = layer.weight
            model.set_submodule(name, guarded)


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
