"""Labelled images to look at a trained model with: those that the study kept, or a folder of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.read.study_folder import StudyError
from analysis.use.exported_model import ExportedModel
from models.inputs.image_files import decode, is_image

FILE = "samples.npz"
UNKNOWN = -1


class Sample(NamedTuple):
    """images (N, H, W, 3) uint8; labels (N,), positions in the model's classes, or UNKNOWN."""

    images: np.ndarray
    labels: np.ndarray


def kept(study_folder: Path) -> dict[str, Sample]:
    """`validation` and `test`, as the study kept them. Raises `StudyError` where it did not."""
    path = study_folder / FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: Sample(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in ("validation", "test")}
    except FileNotFoundError:
        raise StudyError(f"{study_folder} has no {FILE}; name a folder of images with --images") from None
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{path} cannot be read ({error}); name a folder of images with --images") from error


def read_folder(folder: Path, exported: ExportedModel, most: int | None = None) -> Sample:
    """The images anywhere in `folder`, by name; one in a folder named as a class has its label. Raises `StudyError`."""
    files = sorted(file for file in folder.rglob("*") if is_image(file)) if folder.is_dir() else []
    if not files:
        raise StudyError(f"--images {folder}: no image there; name a folder with some")
    side = exported.preprocessing.decoded_size or exported.preprocessing.image_size
    images, labels = [], []
    for file in files[:most]:
        try:
            images.append(decode(file, side))
        except Exception as error:  # decoders raise nearly anything
            raise StudyError(f"--images: {file} is no readable image ({type(error).__name__}); remove it") from error
        name = file.parent.name
        labels.append(exported.classes.index(name) if name in exported.classes else UNKNOWN)
    return Sample(np.stack(images), np.array(labels, dtype=np.int64))
