"""Image data sets as uint8 arrays, decoded once; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from trainables.data import DataError

if TYPE_CHECKING:
    from models.inputs.pixel_depth import Range


@dataclass(frozen=True, eq=False)
class Images:
    """One split, decoded. `images` may be read-only, mapped from the disk cache: copy before changing it."""

    images: np.ndarray  # (N, H, W, 3) uint8
    labels: np.ndarray  # (N,) int64, positions in ImageData.classes

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise DataError(f"images must be (N, H, W, 3) uint8, not {self.images.shape} {self.images.dtype}")
        if self.labels.shape != (len(self.images),) or self.labels.dtype != np.int64:
            raise DataError(f"labels must be ({len(self.images)},) int64, not {self.labels.shape} {self.labels.dtype}")

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set. `source` says what was really read ("cifar10 (Parquet)") and goes into every table.

    remarks: what a person should know before trusting it, such as test images that are also in train. pixel_range: of
    pixels of more than 8 bits, which all splits share; None where all have 8.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    remarks: tuple[str, ...] = ()
    pixel_range: Range | None = None

    @property
    def summary(self) -> str:
        """One line: what was read, and the remarks."""
        count = len(self.train) + len(self.test)
        splits = ", ".join(
            f"{name} {len(part):,} ({_per_class(part, len(self.classes))} per class)"
            for name, part in (("train", self.train), ("test", self.test))
        )
        return "; ".join((f"{self.source}: {count:,} images in {len(self.classes)} classes, {splits}", *self.remarks))


def _per_class(images: Images, classes: int) -> str:
    counts = np.bincount(images.labels, minlength=classes)
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


class ImageDataSet(Protocol):
    """A file of sets/."""

    def load(self, data_dir: Path, image_size: int, seed: int) -> ImageData:
        """The data set, from `data_dir` if it is read from files. Raises DataError.

        image_size: the side to decode images to that are larger or not square. seed: of the test split, unless the
        data set is published with one.
        """
