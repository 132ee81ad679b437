"""Classify image files with an exported model, exactly as the study evaluated it. Needs torch only if its engine does."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from analysis.read.errors import StudyError
from analysis.use.exported_model import ExportedModel
from models.inputs import image_files
from models.inputs.image_files import decode, square_side
from record import processors

BATCH = 256  # as in the study's evaluation


class Classifier:
    """An exported model, ready to classify, on the first GPU if there is one and its engine computes there.

    Raises `UserError` where the folder does not hold a complete model, or its engine is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.exported = ExportedModel.read(folder)
        self.runner = self.exported.load(folder, processors.usable())

    def classify(self, files: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray | str]]:
        """Each file, in order, with its class probabilities (classes,), or with what is wrong with it."""
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
                warnings.filterwarnings("ignore", module="PIL")  # they concern metadata, not pixels
                decoded = list(pool.map(self._decode, batch))
            probabilities = iter(self._probabilities([image for image in decoded if not isinstance(image, str)]))
            for file, image in zip(batch, decoded, strict=True):
                yield file, image if isinstance(image, str) else next(probabilities)

    def _decode(self, file: Path) -> np.ndarray | str:
        """(side, side, 3) uint8, or the reason why the file cannot be read."""
        steps = self.exported.preprocessing
        side = steps.decoded_size
        try:
            if side is None:
                own = square_side(file)
                side = own if own is not None and own <= steps.image_size else steps.image_size
            return decode(file, side, pixel_range=steps.pixel_range)
        except Exception as error:  # decoders raise nearly anything
            return f"{type(error).__name__}: {error}".splitlines()[0]

    def _probabilities(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """(classes,) for each image; those of one size are computed together."""
        positions = defaultdict(list)
        for position, image in enumerate(images):
            positions[image.shape].append(position)
        results: dict[int, np.ndarray] = {}
        for alike in positions.values():
            logits = self.runner(np.stack([images[position] for position in alike]))
            powers = np.exp(logits - logits.max(1, keepdims=True))
            results |= zip(alike, powers / powers.sum(1, keepdims=True), strict=True)
        return [results[position] for position in range(len(images))]


def expand_folders(paths: Sequence[Path]) -> list[Path]:
    """The files as given, and the images anywhere in the folders, by name. Raises `StudyError` for an empty folder."""
    files: list[Path] = []
    for path in paths:
        inside = image_files.find_images(path)[0] if path.is_dir() else [path]
        if not inside:
            raise StudyError(f"{path}: no images in this folder; name image files or a folder that holds some")
        files += inside
    return files
