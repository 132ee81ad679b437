"""scikit-learn's digits: 1,797 scans of handwritten digits, 8x8 pixels in 17 greys. Needs no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from trainables.data.images import ImageData, Images
from trainables.data.images.splits import TEST_SHARE, validation_split


def load(data_dir: Path, image_size: int, seed: int) -> ImageData:
    """The digits at their native 8x8; the test split is the same for every seed, as if it were published."""
    rows = np.loadtxt(_file(), delimiter=",", dtype=np.int64)  # (N, 65): the pixels, then the digit
    grey = np.round(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # (N, 8, 8), 0-16 to 0-255
    images = np.repeat(grey[..., None], 3, axis=3)
    labels = rows[:, -1].copy()
    train, test = validation_split(labels, TEST_SHARE, seed=0)
    return ImageData(
        name="digits",
        source="digits (scikit-learn)",
        classes=tuple(map(str, range(10))),
        train=Images(images[train], labels[train]),
        test=Images(images[test], labels[test]),
    )


def _file() -> Path:
    """The table inside scikit-learn, located without importing it, which would take two seconds."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
