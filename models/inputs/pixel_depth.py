"""From pixels of more than 8 bits to 8 bits, by one range of values for a whole data set.

Many files use fewer bits than they have room for: X-rays of 12 bits in 16, 8 bits in a 32-bit TIFF. Read as full-range
pixels, they would be black. The range comes from the file if it says more than its room, and from the values otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

Range = tuple[float, float]  # the values that become 0 and 255
FULL: Range = (0, 65535)  # of 16 bits; what a study that recorded no range used

_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 258, 281  # TIFF tags


class DeepPixels(Exception):
    """An image has more than 8 bits per pixel, and no range was given."""


class Values(NamedTuple):
    """What is known of the pixels of one deep image."""

    is_float: bool
    low: float
    high: float
    declared: int | None  # the largest value that the file says it may hold


def is_deep(image: Image.Image) -> bool:
    """Whether the pixels are grey values of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def values(image: Image.Image) -> Values:
    """Lowest and highest finite value of a deep image, and what the file declares."""
    declared = _declared_maximum(image)  # before the pixels, whose reading closes the file
    pixels = np.asarray(image)
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return Values(image.mode == "F", low, high, declared)


def common_range(images: Iterable[Values]) -> Range:
    """The range for all images of a set. Raises ValueError if integers and floats are mixed.

    Integers from 0 on: up to what all files declare, else up to the next usual depth of a sensor (8, 10, 12, 14 or 16
    bits), unless the values fill less than a quarter of that. Floats between 0 and 1: 0 to 1. Otherwise the lowest and
    the highest value.
    """
    every = list(images)
    if len({each.is_float for each in every}) > 1:
        raise ValueError("some images have integer pixels and others have floats; save them all in one form")
    low, high = min(each.low for each in every), max(each.high for each in every)
    if every[0].is_float:
        limit = 1.0
    else:
        declared = {each.declared for each in every}
        (one, *others) = declared
        limit = float(one) if one is not None and not others and high <= one else _usual_maximum(int(high))
        if low > 0 and 0 < high - low < limit / 4:
            return low, high
    if low >= 0 and high <= limit:
        return 0, limit
    return (low, high) if low < high else (low, low + 1)


def to_8_bit(image: Image.Image, pixel_range: Range) -> Image.Image:
    """8-bit grey; values outside the range become black or white."""
    low, high = pixel_range
    pixels = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=low, posinf=high, neginf=low)
    return Image.fromarray(np.round((pixels - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8))


def _usual_maximum(value: int) -> float:
    bits = max(1, value.bit_length())
    usual = next((usual for usual in (8, 10, 12, 14, 16) if usual >= bits > 7), bits)
    return float(2**usual - 1)


def _declared_maximum(image: Image.Image) -> int | None:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if (largest := image.tag_v2.get(_MAX_SAMPLE_VALUE)) is not None:
            return int(largest[0] if isinstance(largest, tuple) else largest)
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]
        return 2**bits - 1 if bits < 16 else None
    if image.format == "PPM":
        return 65535  # Pillow has scaled the values to 16 bits
    if image.format == "PNG" and isinstance(image, ImageFile.ImageFile):
        bits = _significant_bits(image)
        return 2**bits - 1 if bits else None
    return None


def _significant_bits(image: ImageFile.ImageFile) -> int | None:
    """What the sBIT chunk of a grey PNG says, https://www.w3.org/TR/png-3/#11sBIT"""
    file = image.fp
    if file is None:
        return None
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"sBIT":
                return file.read(1)[0]
            if kind in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, 1)  # the content and its checksum
        return None
    finally:
        file.seek(place)
