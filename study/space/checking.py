"""Whether a spec's settings exist, have the right type, and make models that can be built."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

import models
from record.errors import UserError, nearest
from record.settings import types
from study.space.schema import ModelEntry, Range, Scalar, StudySpec
from trainables.task import config_class


def check_models(spec: StudySpec, where: str) -> None:
    """Check every setting and dimension against the training Config, and that the models can be built of them.

    Imports torch, which `--list-spaces` need not wait for.
    """
    for name, entry in spec.models.items():
        at = f"{where}: models.{name}"
        _check_names(spec, entry, at)
        _check_values(spec, entry, at)


def _types(spec: StudySpec, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Name -> type of what may be set in (the training Config, the model's Config)."""
    training = types(config_class(spec.task))
    return {n: t for n, t in training.items() if n not in ("epochs", "seed")}, types(models.config_class(model))


def _check_names(spec: StudySpec, entry: ModelEntry, at: str) -> None:
    """The model is made for the task, and each setting is one of its or of the training's; values get their type."""
    if entry.model not in models.available():
        raise UserError(f"{at}.model: unknown model '{entry.model}'; {nearest(entry.model, models.available())}")
    if models.task(entry.model) != spec.task:
        fitting = [name for name in models.available() if models.task(name) == spec.task]
        raise UserError(
            f"{at}.model: '{entry.model}' is made for {models.task(entry.model)}, this study's task is {spec.task}; "
            f"models for it: {', '.join(fitting)}"
        )
    training, own = _types(spec, entry.model)
    known = own | training
    for name in entry.names():
        if name not in known:
            valid = {*known, *(ModelEntry.model_fields if name in entry.settings else ())}
            raise UserError(f"{at}.{name}: unknown key for model '{entry.model}'; {nearest(name, valid)}")
        _coerce(entry, name, known[name], f"{at}.{name}")


def _check_values(spec: StudySpec, entry: ModelEntry, at: str) -> None:
    """Try each value of each name, the other names at their first value, in the training's Config and in the model."""
    import torch

    training, own = _types(spec, entry.model)
    first = {name: entry.values(name)[0] for name in entry.names()}
    tried = [(name, first | {name: value}) for name in entry.names() for value in entry.values(name)]
    built: list[dict[str, Any]] = []
    for name, settings in tried or [("model", first)]:
        options: dict[str, Any] = {key: value for key, value in settings.items() if key in own}
        try:
            config_class(spec.task)(**{key: value for key, value in settings.items() if key in training})
            if options not in built:
                built.append(options)
                with torch.device("meta"):  # shapes are checked, nothing is computed
                    models.build(entry.model, **options)
        except ValueError as error:
            # A wrong first value is met while another name is tried; the message begins with the field that it is about.
            about = str(error).partition(" ")[0]
            raise UserError(f"{at}.{about if about in settings else name}: {error}") from error


def _coerce(entry: ModelEntry, name: str, kind: Any, where: str) -> None:
    """Give the values of `name` the type of its Config field (YAML reads 1e-3 as text), or say that it has none."""
    adapter = TypeAdapter(kind)

    def coerced(value: Scalar) -> Scalar:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise UserError(f"{where}: {error.errors()[0]['msg']}, got {value!r}") from error

    if name in entry.settings:
        setattr(entry, name, coerced(entry.settings[name]))
    elif isinstance(dimension := entry.search.get(name), Range):
        dimension.low, dimension.high = coerced(dimension.low), coerced(dimension.high)  # type: ignore[assignment]
    else:
        owner = entry.factors if name in entry.factors else entry.search
        choices = [coerced(value) for value in entry.values(name)]
        if not choices or len(set(choices)) < len(choices):
            raise UserError(f"{where}: a list of different choices is needed, got {entry.values(name)!r}")
        owner[name] = choices
