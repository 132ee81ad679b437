"""CIFAR-10: 60,000 photos in ten classes, 32x32 pixels; see trainables/data/images/cifar.py for its forms."""

from __future__ import annotations

from pathlib import Path

from trainables.data.images import ImageData
from trainables.data.images.cifar import Cifar

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FORMS = Cifar(
    name="cifar10",
    title="CIFAR-10",
    kind="CIFAR10",
    folder="cifar-10-batches-py",
    train_files=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test_files=("test_batch",),
    label_key="labels",
    classes=CLASSES,
)


def load(data_dir: Path, image_size: int, seed: int) -> ImageData:
    """CIFAR-10 at its native 32x32. Raises DataError, also if it is neither there nor can be downloaded."""
    return FORMS.load(data_dir, seed)
