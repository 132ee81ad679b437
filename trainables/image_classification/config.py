"""Settings of an image classifier's training, and what a space may set for its data. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from record.settings import setting
from trainables.data.images import loading as data_sets

__all__ = ["Config", "DataOptions", "data_sets"]


@dataclass(frozen=True)
class DataOptions:
    """What a space may set under `data` besides the name."""

    validation: float = setting(0.2, "validation split: share of the training images (below 1) or their number")
    test: float | None = setting(None, "test images used: share (below 1) or number, the same for any seed; null: all")

    def __post_init__(self) -> None:
        if self.validation <= 0:
            raise ValueError(f"validation must be above 0, got {self.validation!r}")
        if self.test is not None and self.test <= 0:
            raise ValueError(f"test must be above 0, got {self.test!r}")


@dataclass(frozen=True)
class Config:
    """Settings of one training."""

    lr: float = setting(1e-3, "peak learning rate of AdamW", free=True)
    train_size: int | None = setting(None, "training images, class-balanced and nested; null: all", free=True)
    epochs: int = setting(10, "epochs per trial", free=True)
    batch_size: int = setting(64, "images per step of the optimiser")
    accumulation: int = setting(1, "parts that each batch is computed in")
    weight_decay: float = setting(0.05, "weight decay of matrices", free=True)
    warmup_epochs: float = setting(1.0, "epochs of linear warm-up", free=True)
    label_smoothing: float = setting(0.1, "label smoothing", free=True)
    gradient_clip: float = setting(1.0, "largest norm of the gradient; 0: no clipping", free=True)
    flip: bool = setting(True, "mirror half of the training images", free=True)
    shift: float = setting(0.125, "largest shift of a training image, as a share of its side", free=True)
    bfloat16: bool = setting(True, "compute in bfloat16 where the hardware does")
    compile: bool = setting(False, "train through torch.compile: a slow start, faster steps")
    seed: int = setting(0, "seed of subset, initial weights and order", free=True)

    def __post_init__(self) -> None:
        for name, valid, what in (
            ("lr", self.lr > 0, "above 0"),
            ("train_size", self.train_size is None or self.train_size >= 1, "1 or more"),
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("accumulation", 1 <= self.accumulation <= self.batch_size, f"1 to batch_size ({self.batch_size})"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("warmup_epochs", self.warmup_epochs >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 to below 1"),
            ("gradient_clip", self.gradient_clip >= 0, "0 or more"),
            ("shift", 0 <= self.shift < 1, "0 to below 1"),
        ):
            if not valid:
                raise ValueError(f"{name} must be {what}, got {getattr(self, name)!r}")
