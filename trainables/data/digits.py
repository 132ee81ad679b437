"""scikit-learn's digits: 1,797 real scans of written digits, 8x8 pixels in 17 greys. Needs no download."""

from pathlib import Path

import numpy as np

from trainables.data import ImageData, Images
from trainables.data.splits import TEST_SHARE, validation_split


def load(data_dir: Path, image_size: int, seed: int) -> ImageData:
    """The digits at their native 8x8; the test split is the same for every seed, as if it were published."""
    from sklearn.datasets import load_digits  # a second to import

    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)  # (N, 8, 8), 0-16 to 0-255
    images = np.repeat(grey[..., None], 3, axis=3)
    labels = digits.target.astype(np.int64)
    train, test = validation_split(labels, TEST_SHARE, seed=0)
    return ImageData(
        name="digits",
        source="digits (scikit-learn)",
        classes=tuple(str(digit) for digit in digits.target_names),
        train=Images(images[train], labels[train]),
        test=Images(images[test], labels[test]),
    )
