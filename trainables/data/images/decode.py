"""Encoded image files (JPEG, PNG, ...) to one uint8 array."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.inputs.image_files import OtherSize, Source, decode, deep_values, square_side
from models.inputs.pixel_depth import DeepPixels, Range, Values, common_range
from record import processors
from trainables.data import DataError
from trainables.data.images import Images
from trainables.data.images.splits import TEST_SHARE, validation_split

_CHUNK = 64  # images per task of the thread pool
_SMALL_BYTES = 16_384  # below this, Python's own work dominates and threads only wait for the interpreter lock


@dataclass(frozen=True, eq=False)
class Encoded:
    """One split, not yet decoded."""

    sources: Sequence[Source]
    where: Sequence[str]  # what an error message calls each image
    labels: np.ndarray  # (N,) int64

    def take(self, index: np.ndarray) -> Encoded:
        return Encoded([self.sources[i] for i in index], [self.where[i] for i in index], self.labels[index])


class Decoded(NamedTuple):
    """Both splits. `pixel_range` is that of pixels of more than 8 bits; None where all have 8 bits."""

    train: Images
    test: Images
    pixel_range: Range | None


def decode_splits(train: Encoded, test: Encoded | None, image_size: int, seed: int) -> Decoded:
    """Decode train and test to one common size; without a test part, TEST_SHARE of train becomes it."""
    if test is None:
        train_index, test_index = validation_split(train.labels, TEST_SHARE, seed)
        train, test = train.take(train_index), train.take(test_index)
    pixels, pixel_range = decode_images([*train.sources, *test.sources], [*train.where, *test.where], image_size)
    n = len(train.sources)
    return Decoded(Images(pixels[:n], train.labels), Images(pixels[n:], test.labels), pixel_range)


def decode_images(sources: Sequence[Source], where: Sequence[str], image_size: int) -> tuple[np.ndarray, Range | None]:
    """(N, S, S, 3) uint8, and the range of pixels of more than 8 bits, which all such images share.

    S is `image_size`, or the images' own side if all are squares of one size up to that.
    Keeping small images small saves memory: a 28x28 image takes 64 times as much at 224. All others are rotated as
    their EXIF says, scaled until the shorter side is `image_size`, and centre-cropped. Raises DataError naming the
    first broken image and the number of others.
    """
    own = square_side(sources[0])
    resize = own is None or own > image_size
    side = image_size if own is None or resize else own
    pixel_range: Range | None = None
    while True:
        try:
            return _decode_all(sources, where, side, resize, pixel_range), pixel_range
        except OtherSize:
            side, resize = image_size, True
        except DeepPixels:
            pixel_range = _common_range(sources, where)


def _common_range(sources: Sequence[Source], where: Sequence[str]) -> Range:
    """The range of all pixels of more than 8 bits. Broken images have no part in it: decoding will name them."""

    def read(source: Source) -> Values | None:
        try:
            return deep_values(source)
        except Exception:
            return None

    with ThreadPoolExecutor(_workers(sources)) as pool:
        deep = [each for each in pool.map(read, sources) if each is not None]
    try:
        return common_range(deep) if deep else (0, 1)
    except ValueError as error:
        raise DataError(f"{where[0]}, ...: {error}") from None


def _decode_all(
    sources: Sequence[Source], where: Sequence[str], side: int, resize: bool, pixel_range: Range | None
) -> np.ndarray:
    pixels = np.empty((len(sources), side, side, 3), dtype=np.uint8)
    broken: list[tuple[int, str]] = []

    def decode_chunk(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(sources))):
            try:
                pixels[i] = decode(sources[i], side, resize, pixel_range)
            except (OtherSize, DeepPixels):
                raise
            except Exception as error:
                broken.append((i, f"{type(error).__name__}: {error}".splitlines()[0]))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # they are about metadata; only the pixels matter
        with ThreadPoolExecutor(_workers(sources)) as pool:
            list(pool.map(decode_chunk, range(0, len(sources), _CHUNK)))
    if broken:
        first, reason = min(broken)
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise DataError(f"{where[first]}: not a readable image{more}, {reason}; replace or remove it")
    return pixels


def _workers(sources: Sequence[Source]) -> int:
    sample = sources[:: max(1, len(sources) // 32)]
    size = np.mean([len(source) if isinstance(source, bytes) else source.stat().st_size for source in sample])
    return 1 if size < _SMALL_BYTES else processors.usable()
