"""An image data set by its name, or from a folder of the user's in whatever form it has."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from models.inputs.image_files import is_hidden
from trainables.data import DataError, data_sets, find_folder, unknown_data
from trainables.data.images import ImageData, ImageDataSet, published, sets


def names() -> list[str]:
    """The data sets that have a name: files of sets/, and what torchvision knows."""
    return [*data_sets(sets), *published.SETS]


def unknown(data: str, places: Sequence[str]) -> DataError:
    """The error for what is neither a data set nor a folder in one of the places."""
    alternative = "a folder of images (train/<class>/*.jpg) or of Parquet files works too"
    return unknown_data(data, names(), places, alternative, examples=data_sets(sets))


def load_images(data: str, data_dir: Path = Path("data"), image_size: int = 224, seed: int = 0) -> ImageData:
    """Read a data set by name, or a folder of Parquet or Arrow files, IDX files, CIFAR batches or images.

    `data` is tried as a name, as a folder of `data_dir`, and as a path. Square images of one size up to `image_size`
    pixels keep their size (the training loop resizes in batches); all others are resized to `image_size`. `seed` only
    decides which images become the test split of a data set that has none, so it must stay the same throughout a
    study. Raises DataError.
    """
    if image_size < 1:
        raise DataError(f"image_size is {image_size}; it must be at least 1 pixel")
    data_dir = Path(os.path.expanduser(data_dir))
    if data in data_sets(sets):
        module = cast(ImageDataSet, importlib.import_module(f"{sets.__name__}.{data}"))
        return module.load(data_dir, image_size, seed)
    if data in published.SETS:
        return _load_published(data, data_dir, image_size, seed)
    folder = find_folder(data, data_dir)
    if folder is None:
        raise unknown(data, ("the current folder", str(data_dir)))
    return _load_folder(folder, image_size, seed)


def _load_published(name: str, data_dir: Path, image_size: int, seed: int) -> ImageData:
    """A set of torchvision, in its own form or in any other that a folder may have; downloaded where there is none."""
    from trainables.data.images import torchvision_sets

    own = data_dir / name
    has_other_form = own.is_dir() and not all(map(is_hidden, own.iterdir()))
    if has_other_form and torchvision_sets.location(name, data_dir) is None:
        return _load_folder(own, image_size, seed)
    return torchvision_sets.load(name, data_dir, image_size)


def _load_folder(folder: Path, image_size: int, seed: int) -> ImageData:
    from trainables.data.images import idx, image_folder, parquet, torchvision_sets  # pyarrow takes 0.3 s to import
    from trainables.data.images.sets import cifar10, cifar100

    for cifar in (cifar10.FORMS, cifar100.FORMS):
        if cifar.location_in(folder) is not None:
            return cifar.load(folder, seed)
    name = folder.resolve().name.replace("-", "_")  # as Debian writes fashion-mnist
    if name in published.SETS and torchvision_sets.location(name, folder) is not None:
        return torchvision_sets.load(name, folder, image_size)
    if idx.holds_idx(folder):
        return idx.read(folder, image_size, seed)
    if parquet.holds_parquet(folder):
        return parquet.read(folder, image_size, seed)
    return image_folder.read(folder, image_size, seed)
