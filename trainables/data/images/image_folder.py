"""A folder with one folder of images per class.

Either `train/<class>/*.jpg` with `test/<class>/*.jpg`, or one tree `<class>/*.jpg`, 20 % of which becomes the test
split. A validation folder replaces a missing test folder, and is passed over beside one. layout.py says which names are
splits. Hidden files and files that are not images are passed over; images may lie in subfolders of their class's folder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.inputs.image_files import find_images, is_hidden
from trainables.data import DataError
from trainables.data.images import ImageData, findings
from trainables.data.images.cache import cached
from trainables.data.images.decode import Encoded, decode_splits
from trainables.data.images.layout import EXPECTED, class_folders, find_layout, subfolders


@dataclass(frozen=True, eq=False)
class _Split:
    """The images of a split's class folders, and what was passed over there."""

    images: list[Path]
    labels: list[int]
    passed_over: list[Path]

    @property
    def encoded(self) -> Encoded:
        where = [str(path).encode(errors="backslashreplace").decode() for path in self.images]
        return Encoded(self.images, where, np.array(self.labels, dtype=np.int64))


def read(folder: Path, image_size: int, seed: int) -> ImageData:
    """Read an image folder. Raises DataError, naming the folder or file at fault."""
    layout = find_layout(folder)
    classes = sorted({_class_name(path) for path in subfolders(layout.train)})
    if len(classes) < 2:
        raise DataError(f"{layout.train}: {len(classes)} class folder(s), at least two are needed; {EXPECTED}")
    train = _list_images(layout.train, classes)
    test = _list_images(layout.test, classes) if layout.test is not None else None
    name = folder.resolve().name

    def decode() -> ImageData:
        decoded = decode_splits(train.encoded, test.encoded if test else None, image_size, seed)
        return findings.examined(name, f"{name} (image folder{layout.note})", classes, decoded, folder)

    settings = {"kind": "image folder", "image_size": image_size, "seed": seed if test is None else None}
    data = cached(folder, [*train.images, *(test.images if test else [])], settings, decode)
    passed_over = [*train.passed_over, *(test.passed_over if test else [])]
    return replace(data, remarks=(*findings.in_folders(passed_over, layout.unused), *data.remarks))


def _class_name(folder: Path) -> str:
    """The name in composed form: some systems decompose an accented letter when they copy or pack a folder."""
    return unicodedata.normalize("NFC", folder.name)


def _list_images(folder: Path, classes: list[str]) -> _Split:
    """All images below `folder`, class by class. Raises DataError on an unknown or empty class."""
    folders = class_folders(folder)
    _refuse_links_to_one_folder(folders)
    split = _Split([], [], [path for path in sorted(folder.iterdir()) if path.is_file() and not is_hidden(path)])
    for subfolder in folders:
        name = _class_name(subfolder)
        if name not in classes:
            raise DataError(f"{subfolder}: class not among the training classes ({', '.join(classes[:10])})")
        images, passed_over = find_images(subfolder, _resolved(folders) - {subfolder.resolve()})
        if not images:
            ends = sorted({path.suffix for path in passed_over if path.is_file()})
            raise DataError(
                f"{subfolder}: class without an image{_instead(ends)}; add some (.jpg, .png, ...) or remove it"
            )
        split.images.extend(images)
        split.labels.extend([classes.index(name)] * len(images))
        split.passed_over.extend(passed_over)
    return split


def _instead(ends: list[str]) -> str:
    return f" (only *{', *'.join(ends[:5])})" if ends else ""


def _resolved(folders: Collection[Path]) -> set[Path]:
    return {path.resolve() for path in folders}


def _refuse_links_to_one_folder(folders: list[Path]) -> None:
    first: dict[Path, Path] = {}
    for path in folders:
        if (other := first.setdefault(path.resolve(), path)) != path:
            raise DataError(f"{path}: the same folder as {other.name}, through a link; remove one of them")
