"""Classify image files with an exported model, exactly as the study evaluated it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import models
from analysis.read.errors import StudyError
from analysis.use.exported_model import WEIGHTS, ExportedModel
from models.inputs import image_files
from models.inputs.image_files import decode, square_side
from models.inputs.preprocessing import prepare
from models.layers.precision import has_bfloat16
from models.weights.files import read
from record.errors import one_line

BATCH = 256  # as in the study's evaluation


class Classifier:
    """An exported model, ready to classify. Raises `StudyError` where the folder does not hold a complete one."""

    def __init__(self, folder: Path, device: torch.device | None = None) -> None:
        """device: the first GPU, if there is one, by default."""
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.exported = ExportedModel.read(folder)
        network = self.exported.build()
        try:
            network.load_state_dict(read(str(folder / WEIGHTS)))
        except (models.WeightsError, RuntimeError) as error:
            raise StudyError(
                f"{folder / WEIGHTS} does not hold this model ({one_line(error)}); export it again"
            ) from error
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps = self.exported.preprocessing
        self.mean = torch.tensor(steps.mean, device=self.device)
        self.std = torch.tensor(steps.std, device=self.device)

    def classify(self, files: Sequence[Path]) -> Iterator[tuple[Path, Tensor | str]]:
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

    @torch.inference_mode()
    def _probabilities(self, images: list[np.ndarray]) -> Tensor:
        """(B, classes) on the CPU."""
        if not images:
            return torch.empty(0)
        size = self.exported.preprocessing.image_size
        parts = []
        for _, group in groupby(images, key=lambda image: image.shape):
            pixels = torch.from_numpy(np.stack(list(group))).to(self.device)
            parts.append(prepare(pixels, size, self.mean, self.std))
        reduced = self.exported.bfloat16 and has_bfloat16(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            logits = self.network(torch.cat(parts)).float()
        return logits.softmax(1).cpu()


def expand_folders(paths: Sequence[Path]) -> list[Path]:
    """The files as given, and the images anywhere in the folders, by name. Raises `StudyError` for an empty folder."""
    files: list[Path] = []
    for path in paths:
        inside = image_files.find_images(path)[0] if path.is_dir() else [path]
        if not inside:
            raise StudyError(f"{path}: no images in this folder; name image files or a folder that holds some")
        files += inside
    return files
