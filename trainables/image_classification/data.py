"""The data of image classification as a study uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.engines import CALIBRATION_IMAGES
from record import contents
from record.folder import StudyFolder
from trainables.data import DataError
from trainables.data.images import Images
from trainables.data.images.loading import load_images
from trainables.data.images.splits import subset, validation_split
from trainables.image_classification.config import DataOptions

MAX_SAMPLE_MB = 32.0  # per split in samples.npz: all of CIFAR-10's test images, a few hundred of 224 pixels


@dataclass(frozen=True)
class Data:
    """What a search may see: training and validation images. The test split is kept apart from it."""

    classes: tuple[str, ...]
    train: Images
    validation: Images
    summary: str = ""  # what was read, and what a person should know of it
    pixel_range: tuple[float, float] | None = None  # of pixels of more than 8 bits, where there are any


def load_data(
    name: str, data_dir: Path, options: DataOptions, image_sizes: Sequence[int], seed: int
) -> tuple[Data, Images, str]:
    """(training and validation images, test images, what was really read); decoded for the largest of the sizes.

    Raises DataError.
    """
    whole = load_images(name, data_dir, max(image_sizes), seed)
    labels = whole.train.labels
    count = _count(options.validation, len(labels))
    if count >= len(labels):
        raise DataError(f"data.validation: {count} of {len(labels)} training images leave none to train on")
    train, held_out = validation_split(labels, count, seed)
    parts = _take(whole.train, train), _take(whole.train, held_out)
    test, summary = whole.test, whole.summary
    if options.test is not None:
        test = _part_of_test(whole.test, options.test)
        summary += f"; {len(test):,} of the test images are used" if len(test) < len(whole.test) else ""
    return Data(whole.classes, *parts, summary, whole.pixel_range), test, whole.source


def _count(share_or_count: float, images: int) -> int:
    return round(share_or_count * images) if share_or_count < 1 else int(share_or_count)


def _part_of_test(test: Images, share_or_count: float) -> Images:
    """The same images for every seed of a study. Raises DataError."""
    count = _count(share_or_count, len(test))
    if count > len(test):
        raise DataError(f"data.test: {count} of {len(test)} test images are asked for")
    return test if count == len(test) else _take(test, validation_split(test.labels, count, seed=0)[1])


def check_train_size(data: Data, train_size: int | None) -> None:
    """Raises DataError if there are fewer than `train_size` training images."""
    if train_size is not None:
        subset(data.train.labels, train_size, seed=0)


def model_options(data: Data) -> dict[str, int]:
    """The fields of a model's Config that the data decide."""
    return {"num_classes": len(data.classes)}


def shape(data: Data) -> dict[str, int]:
    """What `profile` needs to know about the data."""
    _, height, width, _ = data.train.images.shape
    return {"height": height, "width": width, "classes": len(data.classes)}


def describe(data: Data, test: Images) -> dict[str, object]:
    """What environment.json says about the data besides their sizes.

    `images_per_class`: of each split, those of its smallest and of its largest class. `baseline`: the share of the most
    frequent class, which is the accuracy of whoever names it for every image.
    """
    splits = {"train": data.train, "validation": data.validation, "test": test}
    counts = {name: np.bincount(split.labels, minlength=len(data.classes)) for name, split in splits.items()}
    return {
        "classes": list(data.classes),
        "images_per_class": {name: [int(each.min()), int(each.max())] for name, each in counts.items()},
        "baseline": {name: float(counts[name].max() / counts[name].sum()) for name in ("validation", "test")},
        "decoded_size": data.train.images.shape[1],
        "summary": data.summary,
        "pixel_range": data.pixel_range,
    }


def keep(folder: StudyFolder, data: Data, test: Images) -> None:
    """Write the test labels, and images to inspect models with when the data are no longer at hand."""
    contents.write_predictions(folder.labels, test.labels)
    if not folder.samples.exists():
        calibration = sample(data.train, max_images=CALIBRATION_IMAGES)
        splits = {"validation": sample(data.validation), "test": sample(test), "calibration": calibration}
        contents.write_samples(folder, splits)


def sample(images: Images, max_mb: float = MAX_SAMPLE_MB, max_images: int | None = None) -> contents.Sample:
    """As many images as fit into `max_mb`, up to `max_images`, class-balanced if that is not all of them."""
    fitting = max(1, int(max_mb * 1e6 / images.images[0].nbytes))
    fitting = min(fitting, max_images or fitting)
    chosen = np.sort(subset(images.labels, min(fitting, len(images)), seed=0))
    return contents.Sample(images.images[chosen], images.labels[chosen], chosen)


def _take(images: Images, indices: np.ndarray) -> Images:
    return Images(images.images[indices], images.labels[indices])
