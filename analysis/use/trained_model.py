"""A trial of a study with what it learnt: which one is meant, its checkpoint, the options that its network was built with."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

import models
from analysis.read.candidates import choices, eager, speed, terms
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study
from analysis.weigh.tradeoff import knee
from record.contents import read_checkpoint, read_environment
from record.errors import one_line
from record.folder import COMPLETE, StudyFolder

if TYPE_CHECKING:
    from torch import Tensor, nn

BEST, KNEE = "best", "knee"
_NOT_SETTINGS = ("model", "weights", "epochs", "resources", "engines", "search", "factors")  # of an entry in study.yaml


def find_trial(study: Study, folder: StudyFolder, trial: str) -> pd.Series:
    """The row of trials.csv of a trial (a name, "best" or "knee") that has its checkpoint. Raises `StudyError`.

    "best" is the candidate with the highest validation accuracy, "knee" the one at the knee of the front of validation
    accuracy and speed; of its runs, the one with the highest validation accuracy. The test split chooses nothing.
    """
    trials = study.trials
    name = _chosen(study, trial) if trial in (BEST, KNEE) else trial
    rows = trials[trials["trial"] == name]
    finished = trials[trials["state"] == COMPLETE]
    usable = [each for each in finished["trial"] if folder.checkpoint(each).is_file()]
    if name in usable:
        return rows.iloc[0]
    if rows.empty:
        problem = f"{folder.path} has no trial {name!r}"
    elif (state := rows["state"].iloc[0]) != COMPLETE:
        problem = f"trial {name} is {state}"
    else:
        problem = f"the checkpoint of trial {name} was not kept"
    instead = f"those that can be exported: {', '.join(usable)}" if usable else "no trial of this study can be exported"
    raise StudyError(f"{problem}; {instead}")


def _chosen(study: Study, need: str) -> str:
    """The name of the run that answers "best" or "knee", by validation accuracy alone."""
    accuracy = terms(study).validation
    rows, decides = choices(study)
    if decides == terms(study).tested:  # a candidate has a row for each engine
        rows = eager(rows)
    candidates = rows[rows[accuracy].notna()]
    if candidates.empty:
        raise StudyError(f"{', '.join(study.names)}: no trial has finished yet: there is nothing to export")
    best = candidates.loc[[candidates[accuracy].idxmax()]]
    pick = knee(candidates, accuracy, speed(study)) if need == KNEE else best
    if pick.empty:
        raise StudyError(f"{study.names[0]}: the front has no knee (fewer than three points, or none bulges); use best")
    name = pick["trial"].iloc[0]
    trials = study.trials
    runs = trials[(trials["candidate"] == name) & (trials["state"] == COMPLETE) & trials[accuracy].notna()]
    return str(runs.loc[runs[accuracy].idxmax(), "trial"]) if len(runs) else str(name)


def read_state(folder: StudyFolder, trial: str) -> dict[str, Tensor]:
    """The state of the trial's network from its checkpoint, on the CPU. Raises `UserError`."""
    import torch

    path = folder.checkpoint(trial)
    loop, _, origin = read_checkpoint(path, partial(torch.load, map_location="cpu", weights_only=True))
    study = read_environment(folder).get("identity", origin.get("study"))
    if origin and (origin["study"], origin["trial"]) != (study, trial):  # an older version wrote no origin
        raise StudyError(f"{path} is a checkpoint of another study or trial; restore the one that belongs here")
    if not isinstance(loop.get("model"), dict):
        raise StudyError(f"{path} is not a checkpoint of a training: it has no model; name another trial")
    return loop["model"]


def load_state(network: nn.Module, state: dict[str, Tensor], trial: str) -> None:
    """Load `state` into the network. Raises `StudyError` where it does not fit."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = one_line(error)
        raise StudyError(f"the checkpoint of {trial} does not fit its model in study.yaml: {reason}") from error


def split_settings(study: Study, row: pd.Series) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(model, the trial's settings that are options of the model, those of the training), as study.yaml has them."""
    entry = (study.spec.get("models") or {}).get(row["model"])
    if not isinstance(entry, dict):
        raise StudyError(f"{study.names[0]}: study.yaml has no model {row['model']!r}; restore it")
    model = entry.get("model", row["model"])
    settings = {name: value for name, value in entry.items() if name not in _NOT_SETTINGS}
    dimensions = [*(entry.get("search") or {}), *(entry.get("factors") or {})]
    settings |= {name: plain(row[name]) for name in dimensions}
    fields = {field.name for field in dataclasses.fields(models.config_class(model))}
    options = {name: settings.pop(name) for name in list(settings) if name in fields}
    return model, options, settings


def complete_options(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of the model, with the types of its Config: a table has 4.0 where an option is 4."""
    try:
        return dataclasses.asdict(TypeAdapter(models.config_class(model)).validate_python(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StudyError(f"model {model!r} does not take {where} of this study: {first['msg']}") from error


def plain(value: Any) -> Any:
    """A cell of a frame as JSON knows it."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
