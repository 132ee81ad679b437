"""From pixels of more than 8 bits to 8 bits, by one range of values for a whole data set.

Many files use fewer bits than they have room for: X-rays of 12 bits in 16, 8 bits in a 32-bit TIFF. Read as full-range
pixels, they would be black. The range comes from the file if it says more than its room, and from the values otherwise.

Of colours of 16 bits, Pillow reads the high bytes alone. Such a file is read once more, for its low bytes.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

Range = tuple[float, float]  # the values that become 0 and 255
FULL: Range = (0, 65535)  # of 16 bits; what a study that recorded no range used

# What Pillow calls pixels of 16 bits per channel in a file -> the name under which it reads their low bytes.
_LOW_BYTES = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBA", "RGBX")
    for order, other in ("BL", "LB", "NL" if sys.byteorder == "big" else "NB")
} | {"LA;16B": "RGBA"}  # all four bytes of grey and alpha

_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE, _PLANES = 258, 281, 284  # TIFF tags


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


def is_deep_colour(image: Image.Image) -> bool:
    """Whether the pixels of an image, opened but not read, have several channels of 16 bits.

    Raises ValueError for forms whose low bytes are out of reach, or that Pillow garbles.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.format not in ("PNG", "TIFF") or is_deep(image):
        return False
    can_be_read = bool(image.tile) and {_form(tile.args)[0] for tile in image.tile} <= _LOW_BYTES.keys()
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return can_be_read
    bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (8,)))
    if bits <= 8 or len(image.getbands()) == 1:
        return False
    if not can_be_read or image.tag_v2.get(_PLANES) == 2:
        raise ValueError(f"{bits} bits per channel in a form that cannot be read; save it as an RGB image in a PNG")
    return True


def low_bytes(image: Image.Image) -> Image.Image:
    """The low bytes of a deep colour image, which was opened for this; turned as EXIF says."""
    assert isinstance(image, ImageFile.ImageFile)
    forms = [_form(tile.args) for tile in image.tile]
    image.tile = [
        tile._replace(args=(_LOW_BYTES[form[0]], *form[1:])) for tile, form in zip(image.tile, forms, strict=True)
    ]
    ImageOps.exif_transpose(image, in_place=True)
    if forms[0][0] != "LA;16B":
        return image
    _, grey, _, alpha = image.split()
    return Image.merge("RGBA", (grey, grey, grey, alpha))


def join(high: Image.Image, low: Image.Image) -> np.ndarray:
    """(height, width, channels) uint16, from an image's high and low bytes."""
    return np.asarray(high, np.uint16) * 256 + np.asarray(low, np.uint16)


def values(pixels: np.ndarray, declared: int | None) -> Values:
    """Lowest and highest finite value of a deep image, alpha left out, and what the file declares."""
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return Values(pixels.dtype.kind == "f", low, high, declared)


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


def to_8_bit(pixels: np.ndarray, pixel_range: Range) -> Image.Image:
    """8-bit grey or colours; values outside the range become black or white. Alpha is of 16 full bits."""
    low, high = pixel_range
    scaled = np.nan_to_num(pixels.astype(np.float64), nan=low, posinf=high, neginf=low)
    scaled = np.round((scaled - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    if pixels.shape[2:] == (4,):
        scaled[..., 3] = pixels[..., 3] >> 8
    return Image.fromarray(scaled)


def _usual_maximum(value: int) -> float:
    bits = max(1, value.bit_length())
    usual = next((usual for usual in (8, 10, 12, 14, 16) if usual >= bits > 7), bits)
    return float(2**usual - 1)


def _form(args: object) -> tuple[str, ...]:
    """What Pillow calls the pixels in a file, and what it must know besides."""
    return args if isinstance(args, tuple) else (str(args),)


def declared_maximum(image: Image.Image) -> int | None:
    """The largest value that the file of an image, opened but not read, says it may hold."""
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
    """What the sBIT chunk of a PNG says, https://www.w3.org/TR/png-3/#11sBIT"""
    file = image.fp
    if file is None:
        return None
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"sBIT":
                return max(file.read(length)[: 3 if length > 2 else 1])  # the channels, without alpha
            if kind in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, 1)  # the content and its checksum
        return None
    finally:
        file.seek(place)
