"""A folder with one folder of images per class.

Either `train/<class>/*.jpg` with `test/<class>/*.jpg`, or one tree `<class>/*.jpg`, 20 % of which becomes the test
split. `val`, `valid` or `validation` replaces a missing `test`, and is ignored beside one. Hidden files and files that
are not images are ignored; images may lie in subfolders of their class's folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.inputs.image_files import EXTENSIONS, is_image
from trainables.data import DataError
from trainables.data.images import ImageData
from trainables.data.images.cache import cached
from trainables.data.images.decode import Encoded, decode_splits
from trainables.data.images.splits import split_named, train_and_test

_EXPECTED = "expected train/<class>/*.jpg and test/<class>/*.jpg, <class>/*.jpg, or *.parquet"


def read(folder: Path, image_size: int, seed: int) -> ImageData:
    """Read an image folder. Raises DataError, naming the folder or file at fault."""
    train_folder, test_folder, note = _split_folders(folder)
    classes = [path.name for path in _subfolders(train_folder)]
    if len(classes) < 2:
        raise DataError(f"{train_folder}: {len(classes)} class folder(s), at least two are needed; {_EXPECTED}")
    train = _list_images(train_folder, classes)
    test = _list_images(test_folder, classes) if test_folder is not None else None

    def decode() -> ImageData:
        parts = decode_splits(train, test, image_size, seed)
        name = folder.resolve().name
        return ImageData(name, f"{name} (image folder{note})", tuple(classes), *parts)

    files = [Path(source) for part in (train, test) if part is not None for source in part.where]
    settings = {"kind": "image folder", "image_size": image_size, "seed": seed if test is None else None}
    return cached(folder, files, settings, decode)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _split_folders(folder: Path) -> tuple[Path, Path | None, str]:
    splits: dict[str, Path] = {}
    for path in _subfolders(folder):
        split = split_named(path.name) if path.name.isalpha() else None
        # a folder that holds images itself is a class that happens to be called "train"
        if split is not None and not any(is_image(file) for file in path.iterdir()):
            splits[split] = path
    return train_and_test(splits if splits.keys() & {"train", "test"} else {"train": folder}, folder)


def _list_images(folder: Path, classes: list[str]) -> Encoded:
    """All images below `folder`, class by class. Raises DataError on an unknown or empty class."""
    paths: list[Path] = []
    labels: list[int] = []
    subfolders = _subfolders(folder)
    if not subfolders:
        raise DataError(f"{folder}: no class folders; {_EXPECTED}")
    for subfolder in subfolders:
        if subfolder.name not in classes:
            raise DataError(f"{subfolder}: class not among the training classes ({', '.join(classes[:10])})")
        images = sorted(path for path in subfolder.rglob("*") if is_image(path))
        if not images:
            raise DataError(
                f"{subfolder}: class without an image (*{', *'.join(sorted(EXTENSIONS))}); add or remove it"
            )
        paths += images
        labels += [classes.index(subfolder.name)] * len(images)
    return Encoded(paths, [str(path) for path in paths], np.array(labels, dtype=np.int64))
