"""Take a trained model out of a study folder: weights, configuration and model card in a folder of their own."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from pydantic import TypeAdapter, ValidationError

import models
from analysis.read.candidates import choices, quality, speed
from analysis.read.study_folder import Study, StudyError, load
from analysis.use.exported_model import CARD, CONFIG, WEIGHTS, ExportedModel, Preprocessing
from analysis.use.model_card import model_card
from analysis.weigh.tradeoff import knee

if TYPE_CHECKING:
    from torch import Tensor, nn

BEST, KNEE = "best", "knee"
_NOT_SETTINGS = ("model", "weights", "epochs", "resources", "search", "factors")  # of an entry in study.yaml
_FIGURES = (
    "val_accuracy", "test_accuracy", "test_images", "inference_images_per_second", "latency_ms", "train_seconds",
    "parameters", "gflops_per_image",
)  # fmt: skip


class Trained(NamedTuple):
    """A trial of a study with what it learnt; `exported` builds its network, which takes `state`."""

    study: Study
    row: pd.Series
    exported: ExportedModel
    state: dict[str, Tensor]


def export(study_folder: Path, trial: str, to: Path) -> ExportedModel:
    """Write the model of `trial` (a name, "best" or "knee") to the folder `to`. Raises `StudyError`.

    "best" is the candidate of the highest validation accuracy, "knee" the one at the knee of the front of validation
    accuracy and speed; of its runs, the one of the highest validation accuracy. The test split chooses nothing.
    """
    study, row, exported, state = trained(study_folder, trial)
    _prepare_folder(to)
    _save(state, to / WEIGHTS)
    exported.write(to)
    (to / CARD).write_text(model_card(study, row, exported), encoding="utf-8")
    return exported


def trained(study_folder: Path, trial: str, among: Collection[str] | None = None) -> Trained:
    """The trial (as `export` takes it) with its checkpoint, read into memory. Raises `StudyError`.

    among: the model entries that "best" and "knee" choose from; all by default.
    """
    study = load(study_folder)
    if study.spec.get("task", "image_classification") != "image_classification":
        raise StudyError(f"{study_folder} is a study of {study.spec['task']}; this takes image classifiers")
    if among is not None and trial in (BEST, KNEE):
        study = dataclasses.replace(study, trials=study.trials[study.trials["model"].isin(among)])
    row = find_trial(study, study_folder, trial)
    state = trained_weights(checkpoint(study_folder, row["trial"]))
    exported = _describe(study, row)
    network = exported.build()
    exported.preprocessing.mean, exported.preprocessing.std = models.normalisation(network)
    check_fit(network, state, row["trial"])
    return Trained(study, row, exported, state)


def find_trial(study: Study, folder: Path, asked: str) -> pd.Series:
    """The row of trials.csv of a trial (a name, "best" or "knee") that has its checkpoint. Raises `StudyError`."""
    trials = study.trials
    name = _chosen(study, asked) if asked in (BEST, KNEE) else asked
    found = trials[trials["trial"] == name]
    finished = trials[trials["state"] == "complete"]
    kept = [each for each in finished["trial"] if checkpoint(folder, each).is_file()]
    if name in kept:
        return found.iloc[0]
    if found.empty:
        problem = f"{folder} has no trial {name!r}"
    elif (state := found["state"].iloc[0]) != "complete":
        problem = f"trial {name} is {state}"
    else:
        problem = f"the checkpoint of trial {name} was not kept"
    instead = f"those that can be exported: {', '.join(kept)}" if kept else "no trial of this study can be exported"
    raise StudyError(f"{problem}; {instead}")


def _chosen(study: Study, need: str) -> str:
    """The name of the run that answers "best" or "knee", by validation accuracy alone."""
    accuracy = f"val_{quality(study)}"
    rows, _ = choices(study)
    candidates = rows[rows[accuracy].notna()]
    if candidates.empty:
        raise StudyError(f"{', '.join(study.names)}: no trial has finished yet: there is nothing to export")
    if need == KNEE:
        found = knee(candidates, accuracy, speed(study))
        if found.empty:
            raise StudyError(
                f"{study.names[0]}: the front has no knee (fewer than three points, or none bulges); use best"
            )
    else:
        found = candidates.loc[[candidates[accuracy].idxmax()]]
    name = found["trial"].iloc[0]
    trials = study.trials
    runs = trials[(trials["candidate"] == name) & (trials["state"] == "complete") & trials[accuracy].notna()]
    return str(runs.loc[runs[accuracy].idxmax(), "trial"]) if len(runs) else str(name)


def checkpoint(folder: Path, trial: str) -> Path:
    """Where a study keeps the checkpoint of a trial."""
    return folder / "checkpoints" / f"{trial}.pt"


def trained_weights(path: Path) -> dict[str, Tensor]:
    """The state of the network in a checkpoint, on the CPU. Raises `StudyError`."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content["loop"]["model"]
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path} is no readable checkpoint ({reason}); export another trial") from error


def _describe(study: Study, row: pd.Series) -> ExportedModel:
    """What is known of the trial; `mean` and `std` are still to be asked of the built model."""
    classes = study.environment.get("data", {}).get("classes")
    if not classes:
        raise StudyError(f"{study.names[0]}: environment.json (data.classes) is needed for an export; restore it")
    model, options, settings = split_settings(study, row)
    options = resolved(model, options | {"num_classes": len(classes)})
    timed = study.profile[study.profile["model"] == row["model"]]["dtype"].dropna()
    return ExportedModel(
        model=model,
        options=options,
        classes=classes,
        preprocessing=Preprocessing(
            decoded_size=study.environment["data"].get("decoded_size"),
            image_size=options["image_size"],
            mean=(0, 0, 0),
            std=(1, 1, 1),
        ),
        bfloat16=bool(settings.get("bfloat16", True)) and (timed.empty or "bfloat16" in timed.to_list()),
        study=study.names[0],
        trial=row["trial"],
        settings=settings | {"epochs": int(row["epochs"]), "seed": int(row["seed"])},
        data=_plain(row["data"]),
        weights=_plain(row["weights"]),
        figures={name: _plain(row[name]) for name in _FIGURES if name in row and pd.notna(row[name])},
        versions=study.environment.get("versions", {}),
    )


def split_settings(study: Study, row: pd.Series) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(model, the trial's settings that are options of the model, those of the training), as study.yaml has them."""
    entry = (study.spec.get("models") or {}).get(row["model"])
    if not isinstance(entry, dict):
        raise StudyError(f"{study.names[0]}: study.yaml has no model {row['model']!r}; restore it")
    model = entry.get("model", row["model"])
    settings = {name: value for name, value in entry.items() if name not in _NOT_SETTINGS}
    searched = [*(entry.get("search") or {}), *(entry.get("factors") or {})]
    settings |= {name: _plain(row[name]) for name in searched}
    fields = {field.name for field in dataclasses.fields(models.config_class(model))}
    options = {name: settings.pop(name) for name in list(settings) if name in fields}
    return model, options, settings


def resolved(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of the model, with the types of its Config: a table has 4.0 where an option is 4."""
    try:
        return dataclasses.asdict(TypeAdapter(models.config_class(model)).validate_python(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StudyError(f"model {model!r} does not take {where} of this study: {first['msg']}") from error


def _plain(value: Any) -> Any:
    """A cell of a frame as JSON knows it."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def check_fit(network: nn.Module, state: dict[str, Tensor], trial: str) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"the checkpoint of {trial} does not fit its model in study.yaml: {reason}") from error


def _prepare_folder(to: Path) -> None:
    """An older export may be replaced; anything else in the folder is somebody's work."""
    try:
        to.mkdir(parents=True, exist_ok=True)
        strangers = sorted({path.name for path in to.iterdir()} - {CONFIG, WEIGHTS, CARD})
    except OSError as error:
        raise StudyError(f"--to {to}: {error.strerror}; name a folder that can be written") from error
    if strangers:
        raise StudyError(f"--to {to} holds other files ({strangers[0]}, ...): name a new or empty folder")


def _save(state: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
