"""Labelled images to look at a trained model with: those that the study kept, or a folder of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.read.errors import StudyError
from analysis.use.exported_model import ExportedModel
from models.inputs.image_files import decode, find_images
from record.contents import Sample, Unreadable, read_samples
from record.folder import StudyFolder

UNKNOWN = -1  # the label of an image that lies in no folder named after a class


def load_samples(study_folder: Path) -> dict[str, Sample]:
    """`validation` and `test`, as the study kept them. Raises `StudyError` where it did not."""
    try:
        return read_samples(StudyFolder(study_folder))
    except Unreadable as error:
        raise StudyError(f"{error}; name a folder of images with --images") from error


def read_folder(
    folder: Path, exported: ExportedModel, max_images: int | None = None, option: str = "--images"
) -> Sample:
    """The images anywhere in `folder`, by name; one in a folder named after a class has its label.

    option: the one that named the folder. Raises `StudyError`.
    """
    files = find_images(folder)[0] if folder.is_dir() else []
    if not files:
        raise StudyError(f"{option} {folder}: no images there; name a folder that holds some")
    side = exported.preprocessing.decoded_size or exported.preprocessing.image_size
    images, labels = [], []
    for file in files[:max_images]:
        try:
            images.append(decode(file, side, pixel_range=exported.preprocessing.pixel_range))
        except Exception as error:  # decoders raise nearly anything
            raise StudyError(f"{option}: {file} is not a readable image ({type(error).__name__}); remove it") from error
        name = file.parent.name
        labels.append(exported.classes.index(name) if name in exported.classes else UNKNOWN)
    return Sample(np.stack(images), np.array(labels, dtype=np.int64))
