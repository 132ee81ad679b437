"""Decoded images on disk, memory-mapped when they are read again.

They lie in a folder per key. The key covers the names, sizes and modification times of the input, so that changed data
are decoded again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.data import cache
from trainables.data.images import ImageData, Images

_VERSION = 3  # increment when decoding changes, or old pixels would be returned


def cached(
    folder: Path, files: Sequence[Path], settings: Mapping[str, object], read: Callable[[], ImageData]
) -> ImageData:
    """`read()`, or what it returned when `files` and the JSON-able `settings` were the same."""
    return cache.cached(folder, _key(folder, files, settings), read, _load, _save)


def _key(folder: Path, files: Sequence[Path], settings: Mapping[str, object]) -> str:
    def fingerprint(file: Path) -> tuple[str, int, int]:
        status = file.stat()
        return file.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns

    content = [_VERSION, str(folder.resolve()), settings, [fingerprint(file) for file in files]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _save(data: ImageData, place: Path) -> None:
    """Write beside `place`, then rename: readers see a complete folder or none, even if the writer is killed."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="writing-", dir=place.parent))
    try:
        for split, part in (("train", data.train), ("test", data.test)):
            np.save(draft / f"{split}_images.npy", part.images)
            np.save(draft / f"{split}_labels.npy", part.labels)
        facts: dict[str, object] = {"name": data.name, "source": data.source, "classes": data.classes}
        facts |= {"remarks": data.remarks, "pixel_range": data.pixel_range}
        (draft / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)  # it is damaged, or it would have been used
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _load(place: Path) -> ImageData | None:
    try:
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        low_high = facts["pixel_range"]
        return ImageData(
            name=facts["name"],
            source=facts["source"],
            classes=tuple(facts["classes"]),
            train=_split(place, "train"),
            test=_split(place, "test"),
            remarks=tuple(facts["remarks"]),
            pixel_range=None if low_high is None else (low_high[0], low_high[1]),
        )
    except (OSError, EOFError, ValueError, KeyError):  # absent or damaged
        return None


def _split(place: Path, split: str) -> Images:
    # asarray: pickle, and so Ray's object store, copies np.memmap but not plain arrays
    images = np.asarray(np.load(place / f"{split}_images.npy", mmap_mode="r"))
    return Images(images, np.load(place / f"{split}_labels.npy"))
