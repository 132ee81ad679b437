"""A trained network as files of an engine, refused where its answers are not those of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from analysis.read.errors import StudyError
from analysis.use.exported_model import ExportedModel
from analysis.use.samples import load_samples, read_folder
from models import engines
from models.engines import Classifier, Difference, SavedRunner
from record import processors
from record.contents import Unreadable, read_calibration
from record.folder import StudyFolder

if TYPE_CHECKING:
    from torch import nn


def deploy(
    network: nn.Module, exported: ExportedModel, study_folder: Path, calibrate: Path | None
) -> tuple[SavedRunner, Difference]:
    """The network in the engine of `exported`, and how far its answers on validation images are from those of float32.

    calibrate: a folder of training images; those that the study kept by default. Raises `UserError`, also where the
    engine answers differently.
    """
    if exported.preprocessing.decoded_size is None:
        raise StudyError(f"{study_folder}: the study did not record decoded_size, which engine {exported.engine} needs")
    engine, threads = engines.find(exported.engine), processors.usable()
    classifier = Classifier(network, exported.source)
    runner = engine.compile(
        classifier,
        threads=threads,
        calibration=_calibration(exported, study_folder, calibrate),
        bfloat16=exported.bfloat16,
    )
    reference = engines.find(engines.EAGER).compile(classifier, threads=threads, calibration=None, bfloat16=False)
    images = load_samples(study_folder)["validation"].images
    difference = engines.check(exported.engine, reference, runner, engines.spread(images, engines.CHECKED_IMAGES))
    return cast(SavedRunner, runner), difference


def _calibration(exported: ExportedModel, study_folder: Path, calibrate: Path | None) -> np.ndarray | None:
    """Training images; None where neither the study kept some nor the user names them, which most engines do not mind."""
    if calibrate is not None:
        return read_folder(calibrate, exported, option="--calibrate").images
    try:
        return read_calibration(StudyFolder(study_folder)).images
    except Unreadable:
        return None
