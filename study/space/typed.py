"""The settings of a spec with the types of their Configs. Imports the models' files, and with them torch and timm."""

from __future__ import annotations

from typing import Any

import models
from record.settings import types
from study.space.configs import convert
from study.space.dimensions import Range
from study.space.schema import ModelEntry, StudySpec
from trainables.task import config_class


def setting_types(task: str, model: str) -> dict[str, Any]:
    """Name -> type of what a space may set for a model: fields of the training's Config and of the model's."""
    training = {name: kind for name, kind in types(config_class(task)).items() if name not in ("epochs", "seed")}
    return types(models.config_class(model)) | training


def typed(spec: StudySpec) -> StudySpec:
    """The same study with typed settings. What has no type or does not fit it stays as it is; `check_models` refuses it."""
    return spec.model_copy(update={"models": {name: _typed(spec.task, entry) for name, entry in spec.models.items()}})


def _typed(task: str, entry: ModelEntry) -> ModelEntry:
    if entry.model not in models.available():
        return entry
    kinds = setting_types(task, entry.model)

    def value(name: str, given: Any) -> Any:
        try:
            return convert(given, kinds[name]) if name in kinds else given
        except ValueError:
            return given

    def dimension(name: str, given: Range | list[Any]) -> Range | list[Any]:
        if isinstance(given, list):
            return [value(name, choice) for choice in given]
        ends = {"low": value(name, given.low), "high": value(name, given.high)}
        return given.model_copy(update=ends | {"step": None if given.step is None else value(name, given.step)})

    update: dict[str, Any] = {name: value(name, given) for name, given in entry.settings.items()}
    update["search"] = {name: dimension(name, given) for name, given in entry.search.items()}
    update["factors"] = {name: dimension(name, given) for name, given in entry.factors.items()}
    return entry.model_copy(update=update)
