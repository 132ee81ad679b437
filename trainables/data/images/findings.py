"""What a person should know of an image data set before trusting a result on it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from models.inputs.image_files import is_hidden
from trainables.data import DataError
from trainables.data.images import ImageData, Images
from trainables.data.images.decode import Decoded


def examined(name: str, source: str, classes: Sequence[str], decoded: Decoded, where: Path) -> ImageData:
    """The data set with the remarks on its classes and pixels. Raises DataError if all images are equal."""
    remarks = (*in_classes(decoded.test, classes), *in_pixels(decoded, str(where)))
    return ImageData(name, source, tuple(classes), decoded.train, decoded.test, remarks, decoded.pixel_range)


def in_pixels(decoded: Decoded, where: str) -> tuple[str, ...]:
    """Remarks on the pixels. Raises DataError if all images are equal: there is nothing to learn."""
    train, test, pixel_range = decoded
    train_digests, test_digests = _digests(train), _digests(test)
    if len(set(train_digests) | set(test_digests)) == 1:
        pixels = np.unique(train.images[0].reshape(-1, 3), axis=0)
        what = f"of one colour {tuple(pixels[0].tolist())}" if len(pixels) == 1 else "equal"
        raise DataError(f"{where}: all {len(train) + len(test)} images are {what}; replace them")
    labels: dict[bytes, set[int]] = {}
    for digests, split in ((train_digests, train), (test_digests, test)):
        for digest, label in zip(digests, split.labels.tolist(), strict=True):
            labels.setdefault(digest, set()).add(label)
    known = set(train_digests)
    counts = {
        "test images are also in train": sum(digest in known for digest in test_digests),
        "train images are copies of others": len(train) - len(known),
        "images have more than one label": sum(len(each) > 1 for each in labels.values()),
    }
    remarks = [f"{count:,} {what}" for what, count in counts.items() if count]
    if pixel_range is not None:
        remarks.append("pixels of more than 8 bits are scaled from {:g} to {:g}".format(*pixel_range))
    return tuple(remarks)


def _digests(images: Images) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.images]


def in_classes(test: Images, classes: Sequence[str]) -> tuple[str, ...]:
    """A remark on the classes that the test split lacks."""
    counts = np.bincount(test.labels, minlength=len(classes))
    lacking = [name for name, count in zip(classes, counts, strict=True) if not count]
    return (f"test has no images of {_listed(lacking)}",) if lacking else ()


def in_folders(passed_over: Sequence[Path], unused: Iterable[Path]) -> tuple[str, ...]:
    """A remark on the files and folders that were not read."""
    hidden = [path for path in passed_over if is_hidden(path)]
    visible = [path for path in passed_over if not is_hidden(path)]
    files = Counter(path.suffix.lower() or path.name for path in visible if not path.is_dir())
    parts = [
        f"{files.total():,} files that are not images ({_listed(sorted(files))})" if files else "",
        f"{len(hidden):,} hidden files or folders ({_listed(sorted({path.name for path in hidden}))})"
        if hidden
        else "",
        *(f"link {path}" for path in visible if path.is_dir()),
        *(f"{'folder' if path.is_dir() else 'file'} {path.name}" for path in unused),
    ]
    return (f"passed over: {', '.join(filter(None, parts))}",) if any(parts) else ()


def _listed(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
