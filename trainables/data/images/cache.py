"""Decoded data sets on disk, memory-mapped when they are read again.

They lie in `.cache/<key>` beside the data, or in the user's cache folder where the data are read-only, or
nowhere. The key covers the names, sizes and modification times of the input, so changed data are decoded
anew. Deleting the folder is always safe.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from trainables.data import cache_folders
from trainables.data.images import ImageData, Images

_VERSION = 1  # raise it when decoding changes, or old pixels would be served


def cached(folder: Path, files: Sequence[Path], settings: dict, read: Callable[[], ImageData]) -> ImageData:
    """`read()`, or what it returned when `files` and the JSON-able `settings` were the same."""
    key = _key(folder, files, settings)
    places = cache_folders(folder)
    for root in places:
        found = _load(root / key)
        if found is not None:
            return found
    data = read()
    for root in places:
        with contextlib.suppress(OSError):  # not writable, or full: the next place, or no cache
            _save(data, root / key)
            return _load(root / key) or data
    return data


def _key(folder: Path, files: Sequence[Path], settings: dict) -> str:
    def fingerprint(file: Path) -> tuple[str, int, int]:
        found = file.stat()
        return file.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns

    everything = [_VERSION, str(folder.resolve()), settings, [fingerprint(file) for file in files]]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:20]


def _save(data: ImageData, place: Path) -> None:
    """Write beside `place`, then rename: a reader sees all of it or nothing, whenever the writer dies."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="writing-", dir=place.parent))
    try:
        for split, part in (("train", data.train), ("test", data.test)):
            np.save(draft / f"{split}_images.npy", part.images)
            np.save(draft / f"{split}_labels.npy", part.labels)
        facts = {"name": data.name, "source": data.source, "classes": data.classes}
        (draft / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)  # unreadable, or it would have been used
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _load(place: Path) -> ImageData | None:
    try:
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        parts = {}
        for split in ("train", "test"):
            # asarray: pickle, and so Ray's object store, copies np.memmap but not plain arrays
            images = np.asarray(np.load(place / f"{split}_images.npy", mmap_mode="r"))
            parts[split] = Images(images, np.load(place / f"{split}_labels.npy"))
        return ImageData(facts["name"], facts["source"], tuple(facts["classes"]), **parts)
    except (OSError, ValueError, KeyError):  # absent or damaged
        return None
