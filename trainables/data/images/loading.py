"""An image data set by its name, or from a folder of the user's in whatever form it has."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import cast

from trainables.data import DataError, data_sets, find_folder, unknown_data
from trainables.data.images import ImageData, ImageDataSet, sets


def load_images(data: str, data_dir: Path = Path("data"), image_size: int = 224, seed: int = 0) -> ImageData:
    """Read a data set by name, or a folder of Parquet files, CIFAR-10 batches or images.

    `data` is tried as a name, as a path, and as a folder of `data_dir`. Square images of one size up to `image_size`
    pixels keep their size (the training loop resizes in batches); all others are resized to `image_size`. `seed` only
    decides which images become the test split of a data set that has none, so it must stay the same throughout a
    study. Raises DataError.
    """
    if image_size < 1:
        raise DataError(f"image_size is {image_size}; it must be at least 1 pixel")
    data_dir = Path(os.path.expanduser(data_dir))
    names = data_sets(sets)
    if data in names:
        module = cast(ImageDataSet, importlib.import_module(f"{sets.__name__}.{data}"))
        return module.load(data_dir, image_size, seed)
    folder = find_folder(data, data_dir)
    if folder is None:
        raise unknown_data(data, names, "a folder of images (train/<class>/*.jpg) or of Parquet files works too")
    return _load_folder(folder, image_size, seed)


def _load_folder(folder: Path, image_size: int, seed: int) -> ImageData:
    from trainables.data.images import image_folder, parquet  # pyarrow takes a third of a second to import
    from trainables.data.images.sets import cifar10, cifar100

    for cifar in (cifar10.FORMS, cifar100.FORMS):
        if cifar.location_in(folder) is not None:
            return cifar.load(folder, seed)
    if parquet.holds_parquet(folder):
        return parquet.read(folder, image_size, seed)
    return image_folder.read(folder, image_size, seed)
