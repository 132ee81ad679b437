"""Image data sets that are published as one array of images of one size, not as image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models.inputs.image_files import fit
from trainables.data import DataError
from trainables.data.images import ImageData, Images, findings
from trainables.data.images.decode import Decoded
from trainables.data.images.splits import TEST_SHARE, validation_split

Labelled = tuple[np.ndarray, np.ndarray]  # (N, H, W) or (N, H, W, 3) uint8 pixels, (N,) integer labels


def image_data(
    name: str,
    form: str,
    classes: Sequence[str],
    train: Labelled,
    test: Labelled | None,
    image_size: int,
    where: Path,
    seed: int = 0,
) -> ImageData:
    """The data set; without a test part, TEST_SHARE of train becomes it. Raises DataError.

    form: how it was published, for the tables. classes: names of the labels from 0 on; none where labels are named as they are.
    """
    values = range(len(classes)) if classes else sorted({*train[1].tolist()})
    names = classes or [str(value) for value in values]
    if len(names) < 2:
        raise DataError(f"{where}: {len(names)} class(es), at least two are needed")
    parts = [_images(part, values, image_size, where) for part in (train, test) if part is not None]
    if test is None:
        indices = validation_split(parts[0].labels, TEST_SHARE, seed)
        parts = [Images(parts[0].images[index], parts[0].labels[index]) for index in indices]
    if parts[0].images.shape[1:] != parts[1].images.shape[1:]:
        raise DataError(f"{where}: train and test images differ in size; replace the files")
    return findings.examined(name, f"{name} ({form})", names, Decoded(parts[0], parts[1], None), where)


def _images(labelled: Labelled, values: Sequence[int], image_size: int, where: Path) -> Images:
    """Squares up to `image_size` keep their size, as `decode_images` has it; greys become colours."""
    pixels, labels = labelled
    if len(pixels) != len(labels):
        raise DataError(f"{where}: {len(pixels):,} images, but {len(labels):,} labels; replace the files")
    if strange := sorted({*labels.tolist()} - {*values}):
        raise DataError(f"{where}: label {strange[0]} is none of the {len(values)} classes; replace the files")
    height, width = pixels.shape[1:3]
    keep = height == width <= image_size
    side = height if keep else image_size
    colours = np.empty((len(pixels), side, side, 3), np.uint8)
    if keep:
        colours[:] = pixels if pixels.ndim == 4 else pixels[..., None]
    else:
        for i, image in enumerate(pixels):
            colours[i] = np.asarray(fit(Image.fromarray(np.ascontiguousarray(image)).convert("RGB"), side))
    return Images(colours, np.searchsorted(np.array(values), labels).astype(np.int64))
