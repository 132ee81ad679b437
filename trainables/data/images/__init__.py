"""Image data sets as uint8 arrays, decoded once; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from trainables.data import DataError


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
    """A data set. `source` says what was really read ("cifar10 (Parquet)") and goes into every table."""

    name: str
    source: str
    classes: tuple[str, ...]
    train: Images
    test: Images


class ImageDataSet(Protocol):
    """A file of sets/."""

    def load(self, data_dir: Path, image_size: int, seed: int) -> ImageData:
        """The data set, from `data_dir` if it is read from files. Raises DataError.

        image_size: the side to decode images to that are larger or not square. seed: of the test split, unless the
        data set is published with one.
        """
