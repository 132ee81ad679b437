"""Take a trained model out of a study folder: configuration, model card, and weights or the files of another engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

import models
from analysis.read.candidates import outcomes, terms
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study, load
from analysis.use.deploy import deploy
from analysis.use.exported_model import CARD, CONFIG, WEIGHTS, ExportedModel, Preprocessing
from analysis.use.model_card import model_card
from analysis.use.trained_model import (
    BEST,
    KNEE,
    complete_options,
    find_trial,
    load_state,
    plain,
    read_state,
    split_settings,
)
from models import engines
from models.engines import Portable
from models.inputs.pixel_depth import FULL
from record.folder import StudyFolder

if TYPE_CHECKING:
    from torch import Tensor


class Trained(NamedTuple):
    """A trial of a study with what it learnt; `exported` builds its network, which takes `state`."""

    study: Study
    row: pd.Series
    exported: ExportedModel
    state: dict[str, Tensor]


def export(
    study_folder: Path, trial: str, to: Path, engine: str = engines.EAGER, calibrate: Path | None = None
) -> ExportedModel:
    """Write the model of `trial` (a name, "best" or "knee", see `find_trial`) to the folder `to`, ready for an engine.

    calibrate: a folder of training images for engines that compute in whole numbers. Raises `UserError`.
    """
    portable = isinstance(engines.find(engine), Portable)
    study, row, exported, state = trained(study_folder, trial)
    exported.engine = engine
    _check_folder(to)
    difference = None
    if portable:
        network = exported.build()
        load_state(network, state, row["trial"])
        runner, difference = deploy(network, exported, study_folder, calibrate)
    _empty_folder(to)
    if portable:
        runner.save(to)
    else:
        _save(state, to / WEIGHTS)
    exported.write(to)
    (to / CARD).write_text(model_card(study, row, exported, difference), encoding="utf-8")
    return exported


def trained(study_folder: Path, trial: str, among: Collection[str] | None = None) -> Trained:
    """The trial (a name, "best" or "knee") of an image classifier with its weights. Raises `UserError`.

    among: the model entries that "best" and "knee" choose from; all by default.
    """
    study, folder = load(study_folder), StudyFolder(study_folder)
    if among is not None and trial in (BEST, KNEE):
        study = dataclasses.replace(study, trials=study.trials[study.trials["model"].isin(among)])
    classes = _classes(study)
    row = find_trial(study, folder, trial)
    state = read_state(folder, row["trial"])
    exported = _describe(study, row, classes)
    network = exported.build()
    exported.preprocessing.mean, exported.preprocessing.std = models.normalisation(network)
    load_state(network, state, row["trial"])
    return Trained(study, row, exported, state)


def _classes(study: Study) -> list[str]:
    data = study.environment.get("data")
    classes = data.get("classes") if isinstance(data, dict) else None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or not classes:
        raise StudyError(
            f"{study.names[0]}: environment.json has no data.classes; this takes image classifiers (restore the file "
            "if the study trained them)"
        )
    return classes


def _describe(study: Study, row: pd.Series, classes: list[str]) -> ExportedModel:
    """What is known of the trial; `mean` and `std` are set from the network once it is built."""
    model, options, settings = split_settings(study, row)
    options = complete_options(model, options | {"num_classes": len(classes)})
    timed = study.profile[study.profile["model"] == row["model"]]["dtype"].dropna()
    figures = [name for name in (*outcomes(study), f"test_{terms(study).examples}") if pd.notna(row[name])]
    return ExportedModel(
        model=model,
        options=options,
        classes=classes,
        preprocessing=Preprocessing(
            decoded_size=study.environment["data"].get("decoded_size"),
            image_size=options["image_size"],
            mean=(0, 0, 0),
            std=(1, 1, 1),
            pixel_range=study.environment["data"].get("pixel_range") or FULL,
        ),
        bfloat16=bool(settings.get("bfloat16", True)) and (timed.empty or "bfloat16" in timed.to_list()),
        study=study.names[0],
        trial=row["trial"],
        settings=settings | {"epochs": int(row["epochs"]), "seed": int(row["seed"])},
        data=plain(row["data"]),
        weights=plain(row["weights"]),
        figures={name: plain(row[name]) for name in figures},
        versions=study.environment.get("versions", {}),
    )


def _check_folder(to: Path) -> None:
    """An older export may be replaced; anything else in the folder is somebody's work."""
    with _writable(to):
        to.mkdir(parents=True, exist_ok=True)
        other = sorted({path.name for path in to.iterdir()} - _names())
    if other:
        raise StudyError(f"--to {to} holds other files ({other[0]}, ...): name a new or empty folder")


def _empty_folder(to: Path) -> None:
    """Remove an older export, whose engine may have had other files."""
    with _writable(to):
        for name in _names():
            (to / name).unlink(missing_ok=True)


def _names() -> set[str]:
    """Files that an export may hold."""
    portable = [engine for name in engines.available() if isinstance(engine := engines.find(name), Portable)]
    return {CONFIG, WEIGHTS, CARD, *(name for engine in portable for name in engine.FILES)}


@contextmanager
def _writable(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StudyError(f"--to {to}: {error.strerror}; name a folder that can be written") from error


def _save(state: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
