"""Take a trained model out of a study folder: weights, configuration and model card in a folder of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

import models
from analysis.read.candidates import outcomes, terms
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study, load
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


def export(study_folder: Path, trial: str, to: Path) -> ExportedModel:
    """Write the model of `trial` (a name, "best" or "knee", see `find_trial`) to the folder `to`. Raises `UserError`."""
    study, row, exported, state = trained(study_folder, trial)
    _prepare_folder(to)
    _save(state, to / WEIGHTS)
    exported.write(to)
    (to / CARD).write_text(model_card(study, row, exported), encoding="utf-8")
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


def _prepare_folder(to: Path) -> None:
    """An older export may be replaced; anything else in the folder is somebody's work."""
    try:
        to.mkdir(parents=True, exist_ok=True)
        other = sorted({path.name for path in to.iterdir()} - {CONFIG, WEIGHTS, CARD})
    except OSError as error:
        raise StudyError(f"--to {to}: {error.strerror}; name a folder that can be written") from error
    if other:
        raise StudyError(f"--to {to} holds other files ({other[0]}, ...): name a new or empty folder")


def _save(state: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
