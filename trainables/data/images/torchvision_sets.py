"""The sets of published.py: from files that lie in the data folder, else downloaded by torchvision, which checks them.

torchvision's classes only say which image file has which label (or hold small arrays); decoding, sizes and the cache are
those of every other data set. IDX files are read without torchvision.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from record.errors import one_line
from trainables.data import DataError
from trainables.data.download import download
from trainables.data.images import ImageData, arrays, findings, idx
from trainables.data.images.arrays import Labelled
from trainables.data.images.cache import cached
from trainables.data.images.decode import Encoded, decode_splits
from trainables.data.images.published import SETS, Published, PublishedIdx
from trainables.data.images.splits import TEST_SHARE


def load(name: str, data_dir: Path, image_size: int) -> ImageData:
    """The set of this name. Raises DataError, also if it is neither there nor can be downloaded."""
    published = SETS[name]
    place = location(name, data_dir) or _elsewhere(published)
    if place is None:
        _download(name, published, data_dir / name)
        place = location(name, data_dir)
        assert place is not None
    if isinstance(published, PublishedIdx):
        return idx.read(place, image_size, 0, name, published.classes, published.prefix)
    return _read(name, published, place, image_size)


def location(name: str, data_dir: Path) -> Path | None:
    """The folder that holds the set as torchvision lays it out, or its IDX files; None where the data folder has neither."""
    published, places = SETS[name], (data_dir / name, data_dir)
    if isinstance(published, PublishedIdx):
        folders = [folder for place in places for folder in (place, place / published.layout)]
        fitting = (folder for folder in folders if idx.holds_idx(folder, published.prefix))
        return next((folder for folder in fitting if not _is_of_another(name, folder)), None)
    return next((place for place in places if (place / published.layout).exists()), None)


def _is_of_another(name: str, folder: Path) -> bool:
    """Whether the folder, or the one whose `raw` it is, is named like another set: MNIST and its kin share file names."""
    folder = folder.resolve()
    called = folder.parent.name if folder.name == "raw" else folder.name
    plain = re.sub("[^a-z0-9]", "", called.lower()).removeprefix("dataset")
    return plain in {other.replace("_", "") for other in SETS if other != name}


def _elsewhere(published: Published) -> Path | None:
    folders = published.elsewhere if isinstance(published, PublishedIdx) else ()
    return next(filter(idx.holds_idx, folders), None)


def _download(name: str, published: Published, folder: Path) -> None:
    what = idx.FILES if isinstance(published, PublishedIdx) and not published.prefix else published.layout
    instead = f"put {what} there, name the folder that has {name}/ with --data-dir, or use --data digits"

    def fetch(draft: Path) -> None:
        for split in (*published.train, published.test) if published.test else ("",):
            _dataset(published, draft, split, download=True)

    download(folder, name, instead, fetch)


def _dataset(published: Published, root: Path, split: str, download: bool = False) -> Any:
    """torchvision's data set of one split; its items name the image file instead of decoding it, where it reads files."""
    from torchvision import datasets

    kind = getattr(datasets, published.kind)
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = dict(published.options)
    if split:
        options |= {"split": split} if "split" in known and "split" not in options else {"train": split == "train"}
    if "loader" in known:
        options["loader"] = Path
    elif published.kind.startswith("Caltech"):
        options["transform"] = _file_name
    return kind(str(root), download=download, **options)


def _file_name(image: Image.Image) -> Path:
    """Of an image that is opened but not decoded."""
    return Path(image.filename)  # type: ignore[attr-defined]


def _read(name: str, published: Published, place: Path, image_size: int) -> ImageData:
    form = _form(published)
    build: partial[ImageData]
    try:
        train = [_dataset(published, place, split) for split in published.train or ("",)]
        test = [_dataset(published, place, published.test)] if published.test else []
        classes = _classes(published, [*train, *test])
        if hasattr(train[0], "data") or published.kind == "PCAM":
            pixels = _arrays(train), _arrays(test) if test else None
            build = partial(arrays.image_data, name, form, classes, *pixels)
        else:
            files = _files(train), _files(test) if test else None
            build = partial(_decoded, name, form, classes, *files)
    except Exception as error:  # whatever the readers of so many formats raise
        problem = one_line(f"{type(error).__name__}: {error}").partition(" You can use download")[0]
        advice = f"delete {place / published.layout} to download it again, or replace its files"
        raise DataError(f"{place}: {name} is broken or incomplete ({problem}); {advice}") from None
    return build(image_size, place)


def _form(published: Published) -> str:
    """What the tables say about where the splits come from."""
    notes = ["torchvision"]
    if len(published.train) > 1:
        notes.append(f"{' and '.join(published.train)} as train")
    if published.test not in ("", "test"):
        notes.append(f"{published.test} as test")
    if not published.test:
        notes.append(f"{TEST_SHARE:.0%} split off as test")
    return ", ".join(notes)


def _classes(published: Published, datasets: Sequence[Any]) -> list[str]:
    """The names of the labels from 0 on; none where nobody says them. Raises ValueError where the splits disagree."""
    named = [list(getattr(each, "classes", getattr(each, "categories", ()))) for each in datasets]
    if any(names != named[0] for names in named):
        raise ValueError("its splits have other classes")
    names = published.classes or named[0]
    return [name if isinstance(name, str) else name[0] for name in names]  # Imagenette has synonyms


def _arrays(datasets: Sequence[Any]) -> Labelled:
    parts = [_items(each) if not hasattr(each, "data") else _held(each) for each in datasets]
    return np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts])


def _held(dataset: Any) -> Labelled:
    """The arrays that a data set holds, with colours last."""
    pixels = np.asarray(dataset.data)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return pixels.transpose(0, 2, 3, 1) if pixels.ndim == 4 else pixels, np.asarray(labels, dtype=np.int64)


def _items(dataset: Any) -> Labelled:
    """The arrays of a data set that reads image by image from large files."""
    first, _ = dataset[0]
    pixels, labels = np.empty((len(dataset), *np.asarray(first).shape), np.uint8), np.empty(len(dataset), np.int64)
    for i in range(len(dataset)):
        pixels[i], labels[i] = dataset[i]
    return pixels, labels


def _files(datasets: Sequence[Any]) -> Encoded:
    """The image files in the order of their names: a few sets have them as the disk lists them."""
    pairs = sorted((Path(path), int(label)) for each in datasets for path, label in _pairs(each))
    if missing := [path for path, _ in pairs if not path.is_file()]:
        raise FileNotFoundError(f"{len(missing)} images are missing, such as {missing[0]}")
    paths = [path for path, _ in pairs]
    return Encoded(paths, list(map(str, paths)), np.array([label for _, label in pairs], dtype=np.int64))


def _pairs(dataset: Any) -> Iterable[tuple[Any, int]]:
    """(path of the image, label)."""
    if hasattr(dataset, "_samples"):  # GTSRB, which would decode each image to give its item
        return dataset._samples
    if hasattr(dataset, "_images"):  # OxfordIIITPet, likewise
        return zip(dataset._images, dataset._labels, strict=True)
    return (dataset[i] for i in range(len(dataset)))


def _decoded(
    name: str, form: str, classes: Sequence[str], train: Encoded, test: Encoded | None, image_size: int, place: Path
) -> ImageData:
    files = [*train.sources, *(test.sources if test else [])]
    labels = np.concatenate([train.labels, test.labels if test else []])
    names = classes or [str(label) for label in range(int(labels.max()) + 1)]

    def decode() -> ImageData:
        decoded = decode_splits(train, test, image_size, seed=0)  # one split for everybody, as if it were published
        return findings.examined(name, f"{name} ({form})", names, decoded, place)

    digest = hashlib.blake2b(labels.astype(np.int64).tobytes(), digest_size=16).hexdigest()
    settings = {"kind": form, "name": name, "image_size": image_size, "train": len(train.labels), "labels": digest}
    return cached(place, [Path(str(file)) for file in files], settings, decode)
