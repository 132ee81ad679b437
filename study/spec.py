"""StudySpec: the schema of a space, checked when it is read.

A space is a YAML file. `models` names the contenders; whatever `all_models` says holds for each of them unless the
entry says otherwise. In an entry, `search` and `factors` hold dimensions, and every other key that is not a field of
`ModelEntry` is a fixed setting: a field of the task's training `Config` (lr, batch_size, ...) or of the model's
`Config` (image_size, depth, ...). Values are checked by those dataclasses, so their bounds are written once.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import re
import typing
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from study.errors import UserError, nearest
from trainables.data.text import TextOptions

SPACES = Path(__file__).parent / "spaces"
Scalar = bool | int | float | str

# Objective -> (direction, does it need the profile phase?)
_SHARED = {
    "val_loss": ("minimize", False),
    "train_seconds": ("minimize", True),
    "peak_memory_mb": ("minimize", True),
}
TASK_OBJECTIVES = {
    "image_classification": {
        "val_accuracy": ("maximize", False),
        "inference_images_per_second": ("maximize", True),
        "train_images_per_second": ("maximize", True),
        "gflops_per_image": ("minimize", True),
        **_SHARED,
    },
    "translation": {
        "val_bleu": ("maximize", False),
        "inference_sentences_per_second": ("maximize", True),
        "train_tokens_per_second": ("maximize", True),
        "gflops_per_sentence": ("minimize", True),
        **_SHARED,
    },
}
OBJECTIVES = {name: value for objectives in TASK_OBJECTIVES.values() for name, value in objectives.items()}


def default_objectives(task: str) -> list[str]:
    """What a space that names none is searched for: quality, speed, and the cost of training."""
    quality, speed, *_ = TASK_OBJECTIVES[task]
    return [quality, speed, "train_seconds"]


# What --resume may change: none of it changes what the finished trials mean.
EXTENDABLE = ("description", "cost", "hardware", "trials", "time_budget", "phases", "confirm", "checkpoint_seconds")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Range(Strict):
    """A searched interval, ends included. Integer ends make an integer dimension."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"empty range: low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above 0, not at {self.low}")
        if self.step is not None and (self.log or self.step <= 0):
            raise ValueError("step is above 0 and goes with a linear range only")
        return self

    def ends(self) -> list[Scalar]:
        return [self.low, self.high]


Choices = list[Scalar]


class Resources(Strict):
    """What one trial of a model takes of its node; fractions of a GPU let trials share one."""

    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _whole_above_one(self) -> Resources:
        for name in ("cpus", "gpus"):
            value = getattr(self, name)
            if value > 1 and value != int(value):
                raise ValueError(f"{name} above 1 is a whole number, not {value}")
        return self


class Entry(BaseModel):
    """What `all_models` may say: settings, dimensions, resources, budget."""

    model_config = ConfigDict(extra="allow")

    weights: str = "none"
    epochs: int = Field(10, ge=1)
    resources: Resources = Resources()
    search: dict[str, Range | Choices] = {}
    factors: dict[str, Choices] = {}

    @property
    def settings(self) -> dict[str, Scalar]:
        """The fixed settings: every key that is not a field of the schema."""
        return dict(self.__pydantic_extra__ or {})


class ModelEntry(Entry):
    """One contender: a file of models/ with its own settings, dimensions, resources and epochs."""

    model: str

    def values(self, name: str) -> list[Scalar]:
        """The values that `name` takes: all choices, the ends of a range, or the one fixed value."""
        if name in self.factors:
            return self.factors[name]
        if name in self.search:
            dimension = self.search[name]
            return dimension.ends() if isinstance(dimension, Range) else dimension
        return [self.settings[name]]

    def names(self) -> list[str]:
        return [*self.settings, *self.search, *self.factors]

    def factor_combinations(self) -> list[dict[str, Scalar]]:
        """One dict for each cell of this entry."""
        return [dict(zip(self.factors, row, strict=True)) for row in itertools.product(*self.factors.values())]


class Data(Strict):
    name: str
    # Share of the training images, or their number from 1 up; translation data bring their own split.
    validation: float | None = Field(None, gt=0)
    text: TextOptions | None = None  # of the task translation


class EarlyStopping(Strict):
    """Successive halving inside a stratum; see study/schedule.py."""

    grace_epochs: int = Field(2, ge=1)
    reduction_factor: int = Field(3, ge=2)


class Confirm(Strict):
    seeds: int = Field(3, ge=1)
    candidates: int = Field(8, ge=1)


class StudySpec(Strict):
    """A resolved space: all that decides what a study runs."""

    description: str
    cost: str = ""
    hardware: str = ""
    cpu_space: str | None = None  # the space to take on a machine without a GPU
    task: Literal["image_classification", "translation"] = "image_classification"
    data: Data
    objectives: list[str] = Field(
        default_factory=lambda given: default_objectives(given.get("task", "image_classification")), min_length=1
    )
    phases: list[Literal["profile", "search", "confirm"]] = Field(["profile", "search", "confirm"], min_length=1)
    trials: int = Field(8, ge=1)  # a cell
    seed: int = Field(0, ge=0)
    time_budget: str | None = None
    checkpoint_seconds: float = Field(60.0, ge=0)
    early_stopping: EarlyStopping | None = EarlyStopping()
    confirm: Confirm = Confirm()
    models: dict[str, ModelEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _sound(self) -> StudySpec:
        known = TASK_OBJECTIVES[self.task]
        for objective in self.objectives:
            if objective not in known:
                raise ValueError(f"objectives: unknown '{objective}'; {nearest(objective, known)}")
            if known[objective][1] and "profile" not in self.phases:
                raise ValueError(f"objectives: '{objective}' comes from the phase 'profile', which phases leaves out")
        quality = next(iter(known))
        if not any(o in (quality, "val_loss") for o in self.objectives):
            raise ValueError(f"objectives: name {quality} or val_loss: without one nothing is learnt")
        self._check_data()
        for name, entry in self.models.items():
            if "train_size" in entry.search and "train_seconds" not in self.objectives:
                raise ValueError(
                    f"models.{name}.search.train_size: more images only ever help unless 'train_seconds' is an "
                    "objective: add it to objectives, or make train_size a factor or a fixed setting"
                )
        if self.time_budget is not None:
            seconds(self.time_budget)
        return self

    def _check_data(self) -> None:
        """Give the task's own part of `data` its defaults; ValueError for the other task's."""
        if self.task == "translation":
            if self.data.validation is not None:
                raise ValueError("data.validation: translation data bring their own validation split; leave it out")
            self.data.text = self.data.text or TextOptions()
        else:
            if self.data.text is not None:
                raise ValueError("data.text: belongs to the task translation; leave it out")
            self.data.validation = self.data.validation or 0.2


def seconds(text: str) -> float:
    """'90s', '30m', '2h', '1h30m' -> seconds; ValueError for anything else."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", str(text).strip())
    if not match or not any(match.groups()):
        raise ValueError(f"time_budget: '{text}' is no duration; write 90s, 30m, 2h or 1h30m")
    hours, minutes, secs = (float(g or 0) for g in match.groups())
    return hours * 3600 + minutes * 60 + secs


def task_module(spec: StudySpec) -> Any:
    """The plain-torch module of the spec's task: its training Config, data loading and Loop."""
    return task_named(spec.task)


def task_named(task: str) -> Any:
    return importlib.import_module(f"trainables.{task}")


def space_names() -> list[str]:
    return sorted(path.stem for path in SPACES.glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file, or a UserError that says what the file is instead."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
        raise UserError(f"{path}: not a text file; a space is YAML in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}") from error
    if not isinstance(raw, dict):
        kind = "empty" if raw is None else f"a {type(raw).__name__}"
        raise UserError(f"{path}: a space is a mapping with 'description', 'data' and 'models', but this is {kind}")
    return raw


def read_space(name: str) -> tuple[dict[str, Any], str]:
    """The raw mapping of a built-in space or of a YAML file, and what to call it in messages."""
    if name in space_names():
        return read_yaml(SPACES / f"{name}.yaml"), name
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"--space {name}: no such file")
        return read_yaml(path), str(path)
    raise UserError(f"--space {name}: no built-in space of this name; {nearest(name, space_names())}")


def set_key(raw: dict[str, Any], dotted: str, value: Any) -> None:
    """Set raw['a']['b'] = value for 'a.b'; later validation judges whether the key is known."""
    *parents, last = dotted.split(".")
    node = raw
    for depth, key in enumerate(parents):
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise UserError(f"--set {dotted}: '{'.'.join(parents[: depth + 1])}' is a value, not a mapping")
        node = child
    node[last] = value


def resolve(raw: dict[str, Any], where: str) -> StudySpec:
    """Merge `all_models` into each entry and check everything that can be checked without importing torch."""
    raw = dict(raw)
    shared = raw.pop("all_models", None) or {}
    models = raw.get("models")
    if not isinstance(shared, dict):
        raise UserError(f"{where}: all_models: a mapping is needed, got {shared!r}")
    if isinstance(models, dict):
        raw["models"] = {name: _merge(shared, entry or {}, name, where) for name, entry in models.items()}
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(error)}") from error


def _merge(shared: dict[str, Any], entry: Any, name: str, where: str) -> dict[str, Any]:
    """The entry over the shared part; whichever of setting, search and factor the entry names replaces the others."""
    if not isinstance(entry, dict):
        raise UserError(f"{where}: models.{name}: a mapping is needed, got {entry!r}")
    for key in ("search", "factors", "resources"):
        for owner, part in (("all_models", shared.get(key)), (f"models.{name}", entry.get(key))):
            if not isinstance(part, dict | None):
                raise UserError(f"{where}: {owner}.{key}: a mapping is needed, got {part!r}")
    own = {*entry, *(entry.get("search") or {}), *(entry.get("factors") or {})}
    merged: dict[str, Any] = {"model": name}
    merged |= {key: value for key, value in shared.items() if key not in own}
    merged |= entry
    for key in ("search", "factors"):  # in one place a fixed setting wins, so that `--set` can pin a dimension
        inherited = {k: v for k, v in (shared.get(key) or {}).items() if k not in own and k not in shared}
        merged[key] = inherited | {k: v for k, v in (entry.get(key) or {}).items() if k not in entry}
    merged["resources"] = (shared.get("resources") or {}) | (entry.get("resources") or {})
    return merged


def _one_line(error: ValidationError) -> str:
    first, *more = error.errors()
    location = [str(part) for part in first["loc"]]
    # Pydantic names the branches of a union in the location; a reader knows only the YAML's keys.
    keys = [part for part in location if not part.startswith(("list[", "Range", "bool", "int", "float", "str"))]
    path = ".".join(keys)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        schema: dict[str, Any] = {
            "resources": Resources,
            "data": Data,
            "text": TextOptions,
            "early_stopping": EarlyStopping,
            "confirm": Confirm,
        }
        owner = schema.get(keys[-2], Range) if len(keys) > 1 else StudySpec
        fields = dataclasses.fields(owner) if dataclasses.is_dataclass(owner) else ()
        names = [field.name for field in fields] or list(owner.model_fields)
        message = f"unknown key; {nearest(keys[-1], names)}"
    else:
        message = first["msg"].removeprefix("Value error, ")
        if not isinstance(first["input"], dict):
            message += f", got {first['input']!r}"
    separator = ": " if path else ""
    return f"{path}{separator}{message}".replace("\n", " ") + (f" (and {len(more)} more)" if more else "")


def check_models(spec: StudySpec, where: str) -> None:
    """Check every setting and dimension against the training Config, and that the models can be built of them.

    Imports torch, which `--list-spaces` need not wait for.
    """
    import torch

    import models

    task = task_module(spec)
    training = task.Config
    training_types = _field_types(training, without={"epochs", "seed"})
    for entry_name, entry in spec.models.items():
        at = f"{where}: models.{entry_name}"
        try:
            model_config = models.config_class(entry.model)
        except ValueError as error:
            raise UserError(f"{at}.model: {error}") from error
        if models.task(entry.model) != spec.task:
            fitting = [name for name in models.available() if models.task(name) == spec.task]
            raise UserError(
                f"{at}.model: '{entry.model}' is made for {models.task(entry.model)}, this study's task is {spec.task}; "
                f"models for it: {', '.join(fitting)}"
            )
        model_types = _field_types(model_config, without=set(task.FROM_DATA))
        types = model_types | training_types
        for name in entry.names():
            if name not in types:
                valid = {*types, *(ModelEntry.model_fields if name in entry.settings else ())}
                raise UserError(f"{at}.{name}: unknown key for model '{entry.model}'; {nearest(name, valid)}")
            _coerce(entry, name, types[name], f"{at}.{name}")
        first = {name: entry.values(name)[0] for name in entry.names()}
        for name in entry.names() or ["model"]:
            for value in entry.values(name) if name != "model" else [entry.model]:
                settings: dict[str, Any] = first | ({name: value} if name != "model" else {})
                try:
                    training(**{k: v for k, v in settings.items() if k in training_types})
                    if name not in training_types or name == entry.names()[0]:
                        with torch.device("meta"):  # shapes are checked, nothing is computed
                            models.build(entry.model, **{k: v for k, v in settings.items() if k in model_types})
                except ValueError as error:
                    raise UserError(f"{at}.{name}: {error}") from error


def _field_types(config: type, without: set[str]) -> dict[str, Any]:
    hints = typing.get_type_hints(config)
    return {f.name: hints[f.name] for f in dataclasses.fields(config) if f.name not in without}


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


def split_settings(spec: StudySpec, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings -> (those of the training Config, those of the model's Config)."""
    training_fields = {f.name for f in dataclasses.fields(task_module(spec).Config)}
    training = {k: v for k, v in values.items() if k in training_fields}
    return training, {k: v for k, v in values.items() if k not in training_fields}


def differences(old: StudySpec, new: StudySpec) -> list[str]:
    """Dotted keys in which two specs differ beyond what --resume may change, each 'key: old -> new'."""

    def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, child in value.items() for k, v in flatten(child, f"{prefix}.{key}").items()}
        return {prefix.lstrip("."): value}

    a, b = (flatten(s.model_dump(mode="json", exclude=set(EXTENDABLE))) for s in (old, new))
    keys = [k for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k) and ".resources." not in k]
    return [f"{k}: {a.get(k)!r} -> {b.get(k)!r}" for k in keys]
