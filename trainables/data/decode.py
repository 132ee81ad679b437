"""Encoded image files (JPEG, PNG, ...) to one uint8 array."""

import io
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainables.data import DataError, Images
from trainables.data.splits import TEST_SHARE, validation_split

Source = Path | bytes

_CHUNK = 64  # images a task
_SMALL_BYTES = 16_384  # below this, Python's own work dominates and threads fight for the interpreter lock


@dataclass(frozen=True, eq=False)
class Encoded:
    """One split, not yet decoded."""

    sources: Sequence[Source]
    where: Sequence[str]  # what an error message calls each image
    labels: np.ndarray  # (N,) int64

    def take(self, index: np.ndarray) -> "Encoded":
        return Encoded([self.sources[i] for i in index], [self.where[i] for i in index], self.labels[index])


def decode_splits(train: Encoded, test: Encoded | None, image_size: int, seed: int) -> tuple[Images, Images]:
    """Decode train and test to one common size; without a test part, TEST_SHARE of train becomes it."""
    if test is None:
        train_index, test_index = validation_split(train.labels, TEST_SHARE, seed)
        train, test = train.take(train_index), train.take(test_index)
    pixels = decode_images([*train.sources, *test.sources], [*train.where, *test.where], image_size)
    n = len(train.sources)
    return Images(pixels[:n], train.labels), Images(pixels[n:], test.labels)


def decode_images(sources: Sequence[Source], where: Sequence[str], image_size: int) -> np.ndarray:
    """(N, S, S, 3) uint8, S being `image_size`, or their own side if all are square, alike and no larger.

    Keeping small images small saves memory: a 28x28 image takes 64 times as much at 224. The others are
    rotated as their EXIF says, scaled until the shorter side is `image_size`, and centre-cropped. Raises
    DataError naming the first broken image and how many more there are.
    """
    side = _square_side(sources[0])
    if side is not None and side <= image_size:
        try:
            return _decode_all(sources, where, side, resize=False)
        except _OtherSize:
            pass
    return _decode_all(sources, where, image_size, resize=True)


class _OtherSize(Exception):
    """An image is not of the size that the first one promised."""


def _square_side(source: Source) -> int | None:
    try:
        with _open(source) as image:
            return image.width if image.width == image.height else None
    except Exception:  # noqa: BLE001 - broken images are reported together, by _decode_all
        return None


def _decode_all(sources: Sequence[Source], where: Sequence[str], side: int, resize: bool) -> np.ndarray:
    pixels = np.empty((len(sources), side, side, 3), dtype=np.uint8)
    broken: list[tuple[int, str]] = []

    def decode_chunk(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(sources))):
            try:
                pixels[i] = _decode(sources[i], side, resize)
            except _OtherSize:
                raise
            except Exception as error:  # noqa: BLE001 - decoders raise nearly anything
                broken.append((i, f"{type(error).__name__}: {error}".splitlines()[0]))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # about metadata; the pixels decide
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
    return 1 if size < _SMALL_BYTES else os.cpu_count() or 1


def _open(source: Source) -> Image.Image:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _decode(source: Source, side: int, resize: bool) -> np.ndarray:
    """(side, side, 3) uint8"""
    with _open(source) as image:
        if resize:
            # lets JPEG decode at a half, quarter or eighth of its size: much faster for photos
            image.draft(None, (2 * side, 2 * side))
        elif image.size != (side, side):
            raise _OtherSize
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _to_rgb(image)
    return np.asarray(ImageOps.fit(rgb, (side, side), Image.Resampling.BICUBIC) if resize else rgb)


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: 16-bit grey is scaled down (PIL would clip it), and white is laid under transparency."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise ValueError("float pixels have no fixed range, save it with 8 bits a channel")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
