"""samples.npz: images of the validation and the test split, for looking at a model after the study.

The data set may lie elsewhere by then, or have been downloaded; a study folder is to be enough for its pictures.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from trainables.data.images import Images
from trainables.data.images.splits import subset

FILE = "samples.npz"
MOST_MB = 32.0  # a split: all of CIFAR-10's test images, a few hundred of 224 pixels


def write(path: Path, splits: dict[str, Images], most_mb: float = MOST_MB) -> None:
    """`<split>_images` and `<split>_labels` of each split, class-balanced where not all fit; kept if it is there."""
    if path.exists():
        return
    arrays: dict[str, np.ndarray] = {}
    for name, images in splits.items():
        fit = max(1, int(most_mb * 1e6 / images.images[0].nbytes))
        chosen = np.sort(subset(images.labels, min(fit, len(images)), seed=0))
        arrays |= {f"{name}_images": images.images[chosen], f"{name}_labels": images.labels[chosen]}
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, allow_pickle=False, **arrays)
    os.replace(partial, path)
