"""From an image file to pixels, defined once: a study and an exported model must see the same pixels.

Needs numpy and Pillow only; data sets are decoded without torch.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

Source = Path | bytes

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif")
)


class OtherSize(Exception):
    """An image does not have the size that was promised."""


def is_image(path: Path) -> bool:
    """Whether the name of a file is that of an image; hidden files are not."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def square_side(source: Source) -> int | None:
    """The side of a square image in pixels; None for an image that is not square or cannot be read."""
    try:
        with _open(source) as image:
            return image.width if image.width == image.height else None
    except Exception:
        return None


def decode(source: Source, side: int, resize: bool = True) -> np.ndarray:
    """(side, side, 3) uint8 RGB: turned as EXIF says, shorter side scaled to `side`, centre-cropped.

    An image that already has this size keeps its pixels. With `resize` False, raises `OtherSize` for any other size.
    Raises whatever the file's decoder raises, which may be anything.
    """
    with _open(source) as image:
        if resize:
            # JPEG then decodes at a half, a quarter or an eighth of its size, which is much faster for photos.
            image.draft(None, (2 * side, 2 * side))
        elif image.size != (side, side):
            raise OtherSize
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _to_rgb(image)
    return np.asarray(ImageOps.fit(rgb, (side, side), Image.Resampling.BICUBIC) if resize else rgb)


def _open(source: Source) -> Image.Image:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: scales 16-bit grey down (PIL would clip it) and puts white under transparent pixels."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise ValueError("float pixels have no fixed range, save it with 8 bits per channel")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
