"""Whether the settings of a spec exist, have the right type, and make models that can be built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import psutil

import models
from models import engines
from record.errors import nearest, one_line
from record.settings import types
from study.space.configs import about, build_config, convert
from study.space.dimensions import Range, Scalar
from study.space.messages import Path, Problem, shown, user_error, words
from study.space.schema import ModelEntry, StudySpec
from study.space.typed import setting_types, typed
from trainables.task import config_class

MAX_SIZE = 65_536  # of a model's image, patches, layers, widths


def check_models(spec: StudySpec, where: str) -> None:
    """Check every setting and dimension against the Configs, and that the models can be built with them.

    Imports torch, which `--list-spaces` should not wait for. Raises UserError that names all problems.
    """
    spec = typed(spec)
    check_engines(spec, where)
    problems = [p.below("models", name) for name, entry in spec.models.items() for p in _problems(spec.task, entry)]
    if problems:
        raise user_error(where, problems)


def check_engines(spec: StudySpec, where: str) -> None:
    """Raise UserError where a package of an engine is not installed."""
    for name in dict.fromkeys(engine for entry in spec.models for engine in spec.engines_of(entry)):
        try:
            engines.check_installed(name)
        except engines.EngineError as error:
            raise user_error(where, [Problem(("engines",), str(error))]) from None


def _problems(task: str, entry: ModelEntry) -> Iterator[Problem]:
    if entry.model not in models.available():
        yield Problem(("model",), f"unknown model '{entry.model}'; {nearest(entry.model, models.available())}")
        return
    if models.task(entry.model) != task:
        suitable = ", ".join(name for name in models.available() if models.task(name) == task)
        made_for = f"'{entry.model}' is made for {models.task(entry.model)}, this study's task is {task}"
        yield Problem(("model",), f"{made_for}; models for it: {suitable}")
        return
    usable = []
    for name in entry.names():
        problems = [Problem(_path(entry, name), message) for message in _messages(task, entry, name)]
        yield from problems
        usable += [] if problems else [name]
    yield from dict.fromkeys(_refused(task, entry, usable))


def _path(entry: ModelEntry, name: str) -> Path:
    """Where an entry has this name."""
    if name in entry.search:
        return ("search", name)
    return ("factors", name) if name in entry.factors else (name,)


def _messages(task: str, entry: ModelEntry, name: str) -> Iterator[str]:
    """What is wrong with a setting or dimension by itself."""
    kinds = setting_types(task, entry.model)
    if name not in kinds:
        valid = {*kinds, *(ModelEntry.model_fields if name in entry.settings else ())}
        yield f"unknown key for model '{entry.model}'; {nearest(name, valid)}"
        return
    dimension = entry.search.get(name)
    if isinstance(dimension, Range):
        if not {int, float} & {kinds[name], *get_args(kinds[name])}:
            yield f"{words(kinds[name])} is needed: list the choices instead of a range"
            return
        values = [*dimension.ends(), *([] if dimension.step is None else [dimension.step])]
    else:
        values = entry.values(name)
        if not values:
            yield "at least one of its choices is needed"
        elif repeated := [value for value in values if values.count(value) > 1]:
            yield f"choices must differ, but {shown(repeated[0])} occurs twice"
    for value in values:
        try:
            convert(value, kinds[name])
        except ValueError as error:
            yield f"{error}{'; a dimension belongs in search or factors' if isinstance(value, list | dict) else ''}"


def _refused(task: str, entry: ModelEntry, names: list[str]) -> Iterator[Problem]:
    """What the Configs and the model refuse: each value of each name, the other names at their first value."""
    training, own = config_class(task), models.config_class(entry.model)
    first = {name: entry.values(name)[0] for name in names}
    tried = [("", first)]
    tried += [(name, first | {name: value}) for name in names for value in entry.values(name)[1:]]
    built: list[dict[str, Scalar]] = []
    for varied, settings in tried:
        options = {name: value for name, value in settings.items() if name in types(own)}
        _, problems = build_config(training, {n: v for n, v in settings.items() if n in types(training)})
        if options not in built:
            built.append(options)
            problems += build_config(own, options)[1] or _unbuildable(entry.model, options)
        for problem in problems:
            name = str(problem.path[0]) if problem.path else varied
            yield Problem(_path(entry, name) if name else (), problem.message)
    single = [name for name in ("batch_size", "train_size") if name in names and 1 in entry.values(name)]
    if single and _has_batch_norm(entry.model, built[0]):
        for name in single:
            yield Problem(_path(entry, name), f"must be 2 or more: '{entry.model}' normalises over the batch, got 1")


def _has_batch_norm(model: str, options: dict[str, Any]) -> bool:
    import torch

    try:
        with torch.device("meta"):
            parts = models.build(model, **options).modules()
        return any(isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) for part in parts)
    except Exception:  # it cannot be built, which is said already
        return False


def _unbuildable(model: str, options: dict[str, Any]) -> list[Problem]:
    import torch

    largest = [name for name, value in options.items() if isinstance(value, int) and value > MAX_SIZE]
    if largest:
        return [Problem((name,), f"must be {MAX_SIZE} or less, got {options[name]}") for name in largest]
    try:
        with torch.device("meta"):  # shapes are checked, nothing is computed
            built = models.build(model, **options)
    except ValueError as error:
        return [about(str(error), options)]
    except Exception as error:  # whatever torch or timm raises for sizes that no model can have
        return [
            Problem((), f"'{model}' cannot be built with these settings: {type(error).__name__}: {one_line(error)}")
        ]
    needed, memory = sum(4 * parameter.numel() for parameter in built.parameters()), psutil.virtual_memory().total
    if needed > memory:
        return [Problem((), f"its parameters need {needed / 1e9:.0f} GB, and this machine has {memory / 1e9:.0f} GB")]
    return []
