"""StudySpec: the schema of a space, checked when it is read.

A space is a YAML file. `models` names the contenders; whatever `all_models` says holds for each of them unless the
entry says otherwise. In an entry, `search` and `factors` hold dimensions, and every other key that is not a field of
`ModelEntry` is a fixed setting: a field of the task's training `Config` (lr, batch_size, ...) or of the model's
`Config` (image_size, depth, ...). Values are checked by those dataclasses, so their bounds are written once.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from record import figures, tasks
from record.errors import nearest
from record.settings import settable
from record.tasks import Terms
from trainables.task import config_class, data_options_class

Scalar = bool | int | float | str


def default_objectives(task: str) -> list[str]:
    """What a space that names none is searched for: quality, speed, and the cost of training."""
    terms = tasks.terms(task)
    return [terms.validation, terms.speed, "train_seconds"]


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


class Data(BaseModel):
    """The data set; every key besides `name` is a field of the task's DataOptions."""

    model_config = ConfigDict(extra="allow")

    name: str


class Sampler(BaseModel):
    """A search algorithm; every key besides `name` is an option of it."""

    model_config = ConfigDict(extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class EarlyStopping(Strict):
    """Successive halving inside a stratum; see study/early_stopping.py."""

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
    task: str = tasks.DEFAULT
    data: Data
    objectives: list[str] = Field(
        default_factory=lambda given: default_objectives(given.get("task", tasks.DEFAULT)), min_length=1
    )
    phases: list[Literal["profile", "search", "confirm"]] = Field(["profile", "search", "confirm"], min_length=1)
    trials: int = Field(8, ge=1)  # a cell
    seed: int = Field(0, ge=0)
    sampler: Sampler | None = None  # None: study/search/tpe.py
    time_budget: str | None = None
    checkpoint_seconds: float = Field(60.0, ge=0)
    early_stopping: EarlyStopping | None = EarlyStopping()
    confirm: Confirm = Confirm()
    models: dict[str, ModelEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _sound(self) -> StudySpec:
        known = figures.objectives(self.task)
        for objective in self.objectives:
            if objective not in known:
                raise ValueError(f"objectives: unknown '{objective}'; {nearest(objective, known)}")
            if known[objective].alone and "profile" not in self.phases:
                raise ValueError(f"objectives: '{objective}' comes from the phase 'profile', which phases leaves out")
        quality = self.terms.validation
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
        """Give the task's own part of `data` its types and defaults."""
        adapter: TypeAdapter[Any] = TypeAdapter(data_options_class(self.task))
        unknown = set(self.data.model_extra or {}) - set(settable(data_options_class(self.task)))
        for key in sorted(unknown):
            raise ValueError(f"data.{key}: unknown key for the task {self.task}; leave it out")
        options = adapter.validate_python(self.data.model_extra or {})
        self.data = Data(name=self.data.name, **adapter.dump_python(options))

    @property
    def terms(self) -> Terms:
        """The terms in which the study's task is reported."""
        return tasks.terms(self.task)

    def data_options(self) -> object:
        """The DataOptions of the task."""
        return TypeAdapter(data_options_class(self.task)).validate_python(self.data.model_extra or {})


def seconds(text: str) -> float:
    """'90s', '30m', '2h', '1h30m' -> seconds; ValueError for anything else."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", str(text).strip())
    if not match or not any(match.groups()):
        raise ValueError(f"time_budget: '{text}' is no duration; write 90s, 30m, 2h or 1h30m")
    hours, minutes, secs = (float(g or 0) for g in match.groups())
    return hours * 3600 + minutes * 60 + secs


def split_settings(spec: StudySpec, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings -> (those of the training Config, those of the model's Config)."""
    training_fields = set(settable(config_class(spec.task)))
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
