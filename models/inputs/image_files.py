"""From image files to pixels, defined once: a study and an exported model must see the same files and the same pixels.

Needs numpy and Pillow only; data sets are decoded without torch.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from models.inputs.pixel_depth import (
    FULL,
    DeepPixels,
    Range,
    Values,
    declared_maximum,
    is_deep,
    is_deep_colour,
    join,
    low_bytes,
    to_8_bit,
    values,
)

Source = Path | bytes

# Formats that Pillow only recognises, or decodes with the help of other programs.
_NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
_SYSTEM_FOLDERS = frozenset({"@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"})


class OtherSize(Exception):
    """An image does not have the size that was promised."""


@cache
def extensions() -> frozenset[str]:
    """The file extensions of all types that Pillow decodes: .jpg and so on."""
    types = Image.registered_extensions()
    return frozenset(end for end, name in types.items() if name in Image.OPEN and name not in _NOT_DECODED)


def is_image(path: Path) -> bool:
    """Whether the name of a file is that of an image; hidden files are not."""
    return path.suffix.lower() in extensions() and not path.name.startswith(".") and path.is_file()


def is_hidden(path: Path) -> bool:
    """Whether a file or folder was left by a program for itself: .ipynb_checkpoints, __MACOSX, @eaDir."""
    return path.name.startswith((".", "__")) or path.name.lower() in _SYSTEM_FOLDERS


def find_images(folder: Path, others: Collection[Path] = ()) -> tuple[list[Path], list[Path]]:
    """(images, what was passed over) anywhere below a folder, both sorted.

    Hidden folders are passed over. Links to folders are followed, but never twice, nor to a folder above this one, nor
    into one of `others` (resolved paths).
    """
    root = folder.resolve()
    images: list[Path] = []
    passed_over: list[Path] = []
    pending, seen = [folder], {root}
    while pending:
        for path in sorted(pending.pop().iterdir()):
            if path.is_dir():
                real = path.resolve()
                barred = path.is_symlink() and (
                    root.is_relative_to(real) or any(real.is_relative_to(other) for other in others)
                )
                if is_hidden(path) or real in seen or barred:
                    passed_over.append(path)
                else:
                    seen.add(real)
                    pending.append(path)
            else:
                (images if is_image(path) else passed_over).append(path)
    return sorted(images), sorted(passed_over)


def square_side(source: Source) -> int | None:
    """The side of a square image in pixels; None for an image that is not square or cannot be read."""
    try:
        with _open(source) as image:
            return image.width if image.width == image.height else None
    except Exception:
        return None


def deep_values(source: Source) -> Values | None:
    """What is known of the values of an image with more than 8 bits per pixel; None for any other."""
    with _open(source) as image:
        colour = is_deep_colour(image)
        if not colour and not is_deep(image):
            return None
        declared = declared_maximum(image)  # before the pixels, whose reading closes the file
        return values(_deep_pixels(image, source, colour), declared)


def decode(source: Source, side: int, resize: bool = True, pixel_range: Range | None = FULL) -> np.ndarray:
    """(side, side, 3) uint8 RGB: turned as EXIF says, shorter side scaled to `side`, centre-cropped.

    An image that already has this size keeps its pixels. With `resize` False, raises `OtherSize` for any other size.
    pixel_range: of images with more than 8 bits per pixel; None raises `DeepPixels` for them.
    Raises whatever the file's decoder raises, which may be anything.
    """
    with _open(source) as image:
        if resize:
            # JPEG then decodes at a half, a quarter or an eighth of its size, which is much faster for photos.
            image.draft(None, (2 * side, 2 * side))
        elif image.size != (side, side):
            raise OtherSize
        colour = is_deep_colour(image)
        deep = colour or is_deep(image)
        if deep and pixel_range is None:
            raise DeepPixels
        if image.mode == "F" and pixel_range == FULL:
            raise ValueError("float pixels have no fixed range, save it with 8 bits per channel")
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _to_rgb(to_8_bit(_deep_pixels(image, source, colour), pixel_range or FULL) if deep else image)
    return np.asarray(fit(rgb, side) if resize else rgb)


def fit(image: Image.Image, side: int) -> Image.Image:
    """The shorter side scaled to `side`, the longer one cropped at the centre."""
    return ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)


def _open(source: Source) -> Image.Image:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _deep_pixels(image: Image.Image, source: Source, colour: bool) -> np.ndarray:
    """The pixels of an image of more than 8 bits; of one with colours, `image` has the high bytes only."""
    if not colour:
        return np.asarray(image)
    ImageOps.exif_transpose(image, in_place=True)
    with _open(source) as again:
        return join(image, low_bytes(again))


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB, with white under transparent pixels."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
