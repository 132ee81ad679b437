"""Image data sets as uint8 arrays, decoded once; numpy only.

A data set is a file of this folder with a function `load(data_dir, image_size, seed) -> ImageData`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.data import DataError, data_sets, unknown


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


def load(data: str, data_dir: Path = Path("data"), image_size: int = 224, seed: int = 0) -> ImageData:
    """Read a data set by name, or a folder of Parquet files, CIFAR-10 batches or images.

    `data` is tried as a name, as a path, and as a folder of `data_dir`. Square images of one size up to
    `image_size` pixels keep their size (the training loop resizes in batches); all others are brought to
    `image_size`. `seed` only decides which images a data set without a test split gives up for one, so it
    must stay the same throughout a study. Raises DataError.
    """
    if image_size < 1:
        raise DataError(f"image_size is {image_size}; it must be at least 1 pixel")
    data_dir = Path(data_dir).expanduser()
    known = data_sets(sys.modules[__name__])
    if data in known:
        return known[data].load(data_dir, image_size, seed)
    for folder in (Path(data).expanduser(), data_dir / data):
        if data and folder.is_dir():
            return _load_folder(folder, image_size, seed)
    raise unknown(data, known, "a folder of images (train/<class>/*.jpg) or of Parquet files works too")


def _load_folder(folder: Path, image_size: int, seed: int) -> ImageData:
    from trainables.data.images import cifar10, image_folder, parquet

    if cifar10.place_in(folder) is not None:
        return cifar10.load(folder, image_size, seed)
    if parquet.holds_parquet(folder):
        return parquet.read(folder, image_size, seed)
    return image_folder.read(folder, image_size, seed)
