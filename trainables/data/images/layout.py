"""Which folders of an image folder are splits, which are classes, and which are neither.

A folder whose name says train, test or validation is a split if it holds class folders. Where a folder could be read in
two ways, it is refused: a classifier of train against test would look like a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.inputs.image_files import find_images, is_hidden, is_image
from trainables.data import DataError, readable
from trainables.data.images.splits import are_splits, split_named, train_and_test

EXPECTED = "expected train/<class>/*.jpg and test/<class>/*.jpg, <class>/*.jpg, or *.parquet"


@dataclass(frozen=True)
class Layout:
    """Where the classes of each split lie. test: None where train has to be split. note: of how the test split came."""

    train: Path
    test: Path | None
    note: str
    unused: tuple[Path, ...]  # folders with images that are neither


def find_layout(folder: Path) -> Layout:
    """The splits of an image folder. Raises DataError where its folders can be read in two ways."""
    inside = subfolders(folder)
    named = {path: split for path in inside if (split := split_named(path.name)) is not None}
    others = [path for path in inside if path not in named]
    if are_splits(path.name for path in named) or (named and not others):
        return _from_splits(folder, named, others)
    with_classes = [path for path in named if not _is_flat(path)]
    if with_classes and (siblings := [path for path in others if _holds_images(path)]):
        raise DataError(
            f"{folder}: {_names(with_classes)} could be a split or a class beside {_names(siblings)}; rename it, or "
            "move all classes into a folder named train"
        )
    if with_classes:
        return _from_splits(folder, named, others)
    return Layout(folder, None, train_and_test({"train": folder}, folder)[2], ())


def _from_splits(folder: Path, named: dict[Path, str], others: list[Path]) -> Layout:
    by_split: dict[str, list[Path]] = {}
    for path, split in named.items():
        by_split.setdefault(split, []).append(path)
    train, test, note = train_and_test(by_split, folder)
    for paths in (train, test or []):
        if len(paths) > 1:
            raise DataError(
                f"{folder}: {_names(paths)} could each be the {named[paths[0]]} split; keep one of them here"
            )
        for path in paths:
            if _is_flat(path):
                raise DataError(
                    f"{path}: a {named[path]} split, by its name, but its images are not in class folders; {EXPECTED} "
                    "(if it is a class, move all classes into a folder named train)"
                )
    used = [*train, *(test or [])]
    unused = tuple(path for path in (*named, *others) if path not in used and _holds_images(path))
    return Layout(train[0], test[0] if test else None, note, unused)


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones apart, sorted. Raises DataError for a name that is not UTF-8."""
    return [readable(path) for path in _visible(folder)]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))


def class_folders(folder: Path) -> list[Path]:
    """The folders of a split's classes. Raises DataError where there are none or where they are splits themselves."""
    inside = subfolders(folder)
    if not inside:
        raise DataError(f"{folder}: no class folders; {EXPECTED}")
    for parent, children in ((folder, inside), *((path, _visible(path)) for path in inside)):
        if are_splits(path.name for path in children):
            splits = [path for path in children if split_named(path.name)]
            raise DataError(f"{parent}: {_names(splits)} are splits where classes belong; {EXPECTED}")
    return inside


def _is_flat(path: Path) -> bool:
    """Whether a folder holds images itself, and none in folders: then it is a class, or has none."""
    return any(is_image(file) for file in path.iterdir()) and not any(map(_holds_images, _visible(path)))


def _holds_images(path: Path) -> bool:
    return bool(find_images(path)[0])


def _names(paths: list[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
