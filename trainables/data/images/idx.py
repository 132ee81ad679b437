"""Folders of IDX files, the form of MNIST and its kin, http://yann.lecun.com/exdb/mnist/

A folder holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same of `t10k` (or `test`), plain or .gz; a
prefix such as `emnist-balanced-` tells several sets apart. Without test files, 20 % of the training images become the
test split.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainables.data import DataError
from trainables.data.images import ImageData
from trainables.data.images.arrays import Labelled, image_data
from trainables.data.images.splits import train_and_test

FILES = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-... and t10k-labels-..."

_NAME = re.compile(r"(.*?)(train|t10k|test)-(images|labels)[-.]idx\d-(?:ubyte|int)(?:\.gz)?")
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4"}
_MAX_RATIO = 1032  # of deflate: what claims to be larger is cut off


def holds_idx(folder: Path, prefix: str | None = None) -> bool:
    """Whether a folder holds IDX files; prefix: of their names, any if None."""
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return any(match and prefix in (None, match[1]) for match in names)


def read(
    folder: Path, image_size: int, seed: int, name: str = "", classes: Sequence[str] = (), prefix: str | None = None
) -> ImageData:
    """Read a folder of IDX files. classes: names of the labels from 0 on. Raises DataError, naming the file at fault."""
    train_files, test_files, note = train_and_test(_find(folder, prefix), folder)
    train = _read_split(folder, train_files)
    test = None if test_files is None else _read_split(folder, test_files)
    form = f"IDX files in {folder}{note}" if name else f"IDX files{note}"
    return image_data(name or folder.resolve().name, form, classes, train, test, image_size, folder, seed)


def _find(folder: Path, prefix: str | None) -> dict[str, dict[str, Path]]:
    """Split -> images or labels -> its file, the plain one where it is there twice. Raises DataError."""
    matches = {path: match for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))}
    prefixes = sorted({match[1] for match in matches.values() if prefix in (None, match[1])})
    if len(prefixes) > 1:
        raise DataError(f"{folder}: IDX files of several data sets ({', '.join(prefixes)}); keep those of one there")
    splits: dict[str, dict[str, Path]] = {}
    for path, match in matches.items():  # x comes before x.gz
        if match[1] == prefixes[0]:
            splits.setdefault("train" if match[2] == "train" else "test", {}).setdefault(match[3], path)
    return splits


def _read_split(folder: Path, files: dict[str, Path]) -> Labelled:
    for missing in {"images", "labels"} - files.keys():
        (there,) = files.values()
        raise DataError(
            f"{folder}: {there.name} is there, but no file of its {missing}; a folder of IDX files holds {FILES}"
        )
    images, labels = _read_array(files["images"]), _read_array(files["labels"])
    if images.ndim != 3 or images.dtype != np.uint8:
        raise DataError(
            f"{files['images']}: {images.ndim} dimensions of {images.dtype.name}, not (N, H, W) bytes; replace it"
        )
    if labels.ndim > 1:
        labels = labels.reshape(len(labels), -1)[:, 0]  # QMNIST: the class, then who wrote it
    if len(images) != len(labels):
        names = f"{files['images'].name} has {len(images):,} images, {files['labels'].name} {len(labels):,} labels"
        raise DataError(f"{folder}: {names}; they are not of one data set, replace one of them")
    if files["images"].name.startswith("emnist-"):
        images = images.swapaxes(1, 2)  # EMNIST is published lying on its side
    return images, labels


def _read_array(path: Path) -> np.ndarray:
    """The array of an IDX file: two zero bytes, type, number of dimensions, sizes (big-endian), values."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            *zeros, kind, dimensions = file.read(4).ljust(4, b"x")
            if any(zeros) or kind not in _TYPES or not 1 <= dimensions <= 4:
                raise ValueError("it does not begin as one")
            shape = [int.from_bytes(file.read(4)) for _ in range(dimensions)]
            size = math.prod(shape) * np.dtype(_TYPES[kind]).itemsize
            content = file.read(size + 1) if size <= _MAX_RATIO * path.stat().st_size else b""
            if not content or len(content) != size:
                more = "more" if len(content) > size else "fewer"
                raise ValueError(f"{more} bytes than the {size:,} that it announces")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: not a whole IDX file ({error}); replace it") from None
    return np.frombuffer(content, _TYPES[kind]).reshape(shape)
