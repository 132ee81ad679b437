"""StudySpec: the schema of a space. Its values have their types once it is read, and nothing changes them afterwards.

A space is a YAML file. `models` lists the contenders; what `all_models` sets holds for each of them unless the entry
sets it itself. In an entry, `search` and `factors` hold dimensions, and every other key that is not a field of
`ModelEntry` is a fixed setting: a field of the task's training `Config` (lr, batch_size, ...) or of the model's
`Config` (image_size, depth, ...). Those dataclasses check the values, so their bounds are written once.

docs/spaces.md and docs/space.schema.json are generated from the descriptions of the fields.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from models import engines
from record import figures, tasks
from record.errors import nearest
from record.limits import known, unknown
from record.looks import MOST, Looks, planned
from record.settings import settable
from record.tasks import Terms
from study.space.configs import read_config
from study.space.dimensions import Choices, Dimension, Open, Range, Scalar, Strict
from study.space.engine_names import engine_problems
from study.space.messages import Problem, refuse
from study.space.numbers import MAX_CELLS, MAX_COUNT, Positive, Real, Repeats, Whole, seconds
from study.space.plain import name_problems
from trainables.task import config_class, data_options_class


def default_objectives(task: str) -> list[str]:
    """The objectives of a space that lists none: quality, speed, and the cost of training."""
    terms = tasks.terms(task)
    return [terms.validation, terms.speed, "train_seconds"]


class Resources(Strict):
    """What each trial of a model takes of its node."""

    cpus: Real = Field(1.0, gt=0, le=MAX_COUNT, description="CPU cores per trial")
    gpus: Real = Field(0.0, ge=0, le=MAX_COUNT, description="GPUs per trial; with a fraction, trials share one")

    @field_validator("cpus", "gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if 0 < value < 1e-4:
            raise ValueError(f"must be 0.0001 or more, got {value}")  # Ray's unit
        if value > 1 and value != int(value):
            raise ValueError(f"must be a whole number if it is above 1, got {value}")
        return value


class Entry(Open):
    """What `all_models` may set: settings, dimensions, resources, budget."""

    weights: str = Field("none", description="initial weights: none (random), timm (published ones) or a file")
    epochs: Whole = Field(10, ge=1, le=MAX_COUNT, description="epochs per trial")
    resources: Resources = Field(Resources(), description="CPU cores and GPUs per trial")
    engines: list[str] | None = Field(
        None, description="what the model may be deployed with; null: the study's engines"
    )
    search: dict[str, Dimension] = Field({}, description="settings that Optuna searches: a range or a list of choices")
    factors: dict[str, Choices] = Field(
        {}, description="settings to cross: each combination of values gets its own cell"
    )

    @property
    def settings(self) -> dict[str, Scalar]:
        """The fixed settings: every key that is not a field of the schema."""
        return self.options


Phase = Literal["profile", "search", "confirm"]
PHASES: list[Phase] = ["profile", "search", "confirm"]  # in the order in which they run
FIXED = "takes one value, outside search and factors"


class ModelEntry(Entry):
    """One contender: a file of models/ with its own settings, dimensions, resources and epochs."""

    model: str = Field(description="file of models/")

    @model_validator(mode="after")
    def _dimensions_are_settings(self) -> ModelEntry:
        fields, both = ModelEntry.model_fields.keys(), self.search.keys() & self.factors.keys()
        problems = [Problem(("search", name), FIXED) for name in self.search.keys() & fields]
        problems += [Problem(("factors", name), FIXED) for name in self.factors.keys() & fields]
        problems += [Problem(("factors", name), "is searched as well; choose one of the two") for name in both]
        if (count := math.prod(map(len, self.factors.values()))) > MAX_CELLS:
            problems.append(Problem(("factors",), f"at most {MAX_CELLS} combinations are possible, not {count}"))
        refuse(problems)
        return self

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
        """One dict per cell of this entry."""
        return [dict(zip(self.factors, row, strict=True)) for row in itertools.product(*self.factors.values())]


class Data(Open):
    """The data set; every key besides `name` is a field of the task's DataOptions."""

    name: str = Field(
        description="a data set (docs/data.md), or a folder beside the space, in the current one, or in --data-dir"
    )


class Sampler(Open):
    """A search algorithm; every key besides `name` is an option of it."""

    name: str = Field(description="a class of optuna.samplers, or a file of study/search/")


class EarlyStopping(Strict):
    """Successive halving among trials that may replace each other; see study/early_stopping.py."""

    grace_epochs: Whole = Field(2, ge=1, le=MAX_COUNT, description="epochs before a trial may be stopped")
    reduction_factor: Whole = Field(
        3, ge=2, le=MAX_COUNT, description="at each rung, one in this many trials continues, and the best two"
    )


class Confirm(Strict):
    """The confirm phase: the best trials are trained again and evaluated on the test split."""

    seeds: Repeats = Field(3, description="trainings per candidate, each with another seed")
    until: Literal["decided"] | None = Field(
        None,
        description="decided: add seeds to the candidates that the answer hangs on until they are told apart, or more "
        "seeds would not help; null: no more seeds",
    )
    most: Repeats | None = Field(
        None,
        description=f"maximum number of seeds per candidate with until: decided; null: {MOST}, or seeds if that is more",
    )
    candidates: Repeats | None = Field(
        None,
        description="maximum number of candidates: each model's best trial (always), each cell's, then the front; "
        "null: one a cell and 4 more",
    )

    @model_validator(mode="after")
    def _seeds_can_be_added(self) -> Confirm:
        problems = []
        if self.until and self.seeds < 2:
            problems.append(Problem(("until",), "needs 2 seeds or more to begin with"))
        if self.most is not None and not self.until:
            problems.append(Problem(("most",), "needs until: decided; without it, `seeds` says how many"))
        elif self.most is not None and self.most < self.seeds:
            problems.append(Problem(("most",), f"must not be below seeds, {self.seeds}, got {self.most}"))
        refuse(problems)
        return self

    @property
    def looks(self) -> Looks:
        """The numbers of seeds per candidate after which the study may be decided."""
        return planned(self.seeds, self.most) if self.until else (self.seeds,)


class StudySpec(Strict):
    """A resolved space: all that decides what a study runs."""

    description: str = Field(description="what the study compares, in a sentence")
    cost: str = Field("", description="how long it takes, in words, for --list-spaces")
    hardware: str = Field("", description="hardware that it is meant for, in words")
    cpu_space: str | None = Field(None, description="space to suggest to users without a GPU")
    task: str = Field(tasks.DEFAULT, description=f"what the models learn: {' or '.join(tasks.TASKS)}")
    data: Data = Field(description="data set and how it is read")
    objectives: list[str] = Field(
        default_factory=lambda given: default_objectives(given.get("task", tasks.DEFAULT)),
        min_length=1,
        description="figures to optimise; default: quality, inference speed and train_seconds",
    )
    limits: dict[str, Positive] = Field(
        {},
        description="figures that are measured alone, such as {latency_ms_p99: 5, parameters: 10e6}: less is allowed, of "
        "speeds more; cells that cannot hold them are left out",
    )
    phases: list[Phase] = Field(PHASES, min_length=1, description="phases to run")
    trials: Whole = Field(8, ge=1, le=MAX_COUNT, description="search trials per cell")
    seed: Whole = Field(0, ge=0, description="seed of the split, the search and the trainings")
    sampler: Sampler | None = Field(
        None, description="search algorithm; null: ten trials a cell that fill the space, then TPE"
    )
    learn_from: list[str] = Field(
        [],
        description="folders of earlier studies whose best settings some of the first trials try, such as [results/first]",
    )
    cold_share: Real = Field(
        0.5,
        ge=0,
        lt=1,
        description="share of the trials that the sampler proposes while those settings are tried, below 1",
    )
    time_budget: str | None = Field(
        None, description="do not start trials that would not finish within this time, such as 1h30m"
    )
    min_gain_per_hour: Positive | None = Field(
        None,
        description="end the search when an hour is expected to raise no cell's best by this many points of validation "
        "quality (0.5: half a percent of the images); null: never",
    )
    trial_timeout: str | None = Field(
        None,
        description="how long a trial may take for an epoch, such as 2h, before it fails; null: many times the expected",
    )
    checkpoint_seconds: Real = Field(60.0, ge=0, description="seconds between the checkpoints of a running trial")
    engines: list[str] = Field(
        [engines.EAGER],
        description=f"what models may be deployed with (docs/engines.md): each is timed and tested in all of them; any of "
        f"{', '.join(engines.available())}",
    )
    early_stopping: EarlyStopping | None = Field(EarlyStopping(), description="when trials are stopped; null: never")
    confirm: Confirm = Field(Confirm(), description="how much the confirm phase trains")
    models: dict[str, ModelEntry] = Field(min_length=1, description="the contenders, by a name of your choice")

    @field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        if task not in tasks.TASKS:
            raise ValueError(f"unknown '{task}'; {nearest(task, tasks.TASKS)}")
        return task

    @field_validator("data")
    @classmethod
    def _typed_data(cls, data: Data, info: ValidationInfo) -> Data:
        """Give the task's own part of `data` its types and defaults."""
        if "task" not in info.data:
            return data
        options, problems = read_config(data_options_class(info.data["task"]), data.options)
        refuse(problems)
        return Data(name=data.name, **dataclasses.asdict(options))  # type: ignore[call-overload]

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, objectives: list[str], info: ValidationInfo) -> list[str]:
        if "task" not in info.data:
            return objectives
        known, quality = figures.objectives(info.data["task"]), tasks.terms(info.data["task"]).validation
        problems = [f"unknown '{name}'; {nearest(name, known)}" for name in objectives if name not in known]
        problems += [f"'{name}' is listed twice" for name in known if objectives.count(name) > 1]
        if not problems and not {quality, "val_loss"} & {*objectives}:
            problems.append(f"{quality} or val_loss is needed: without them a fast model that learns nothing wins")
        refuse(Problem((), problem) for problem in problems)
        return objectives

    @field_validator("limits")
    @classmethod
    def _known_limits(cls, limits: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if task := info.data.get("task"):
            refuse(Problem((name,), unknown(name, task)) for name in limits if name not in known(task))
        return limits

    @field_validator("phases")
    @classmethod
    def _in_order_and_complete(cls, phases: list[Phase], info: ValidationInfo) -> list[Phase]:
        valid = figures.objectives(info.data.get("task", tasks.DEFAULT))
        timed = [name for name in info.data.get("objectives", ()) if name in valid and valid[name].alone]
        timed += info.data.get("limits", {})
        if repeated := [phase for phase in phases if phases.count(phase) > 1]:
            raise ValueError(f"'{repeated[0]}' is listed twice")
        if phases != sorted(phases, key=PHASES.index):
            raise ValueError(f"they run in the order {', '.join(PHASES)}; list them so")
        if timed and "profile" not in phases:
            raise ValueError(
                f"profile is missing, which measures {' and '.join(timed)}: add it, or change objectives and limits"
            )
        return phases

    @field_validator("time_budget", "trial_timeout", mode="before")
    @classmethod
    def _duration(cls, duration: object) -> object:
        if duration is not None:
            seconds(str(duration))
        return duration

    @field_validator("models")
    @classmethod
    def _names_are_distinct(cls, models: dict[str, ModelEntry]) -> dict[str, ModelEntry]:
        refuse(name_problems(models))
        return models

    @field_validator("engines")
    @classmethod
    def _known_engines(cls, names: list[str], info: ValidationInfo) -> list[str]:
        refuse(engine_problems(info.data.get("task"), names))
        return names

    @field_validator("models")
    @classmethod
    def _known_engines_of_models(cls, models: dict[str, ModelEntry], info: ValidationInfo) -> dict[str, ModelEntry]:
        for name, entry in models.items():
            if entry.engines is not None:
                refuse(p.below(name, "engines") for p in engine_problems(info.data.get("task"), entry.engines))
        return models

    @field_validator("models")
    @classmethod
    def _train_size_has_a_price(cls, models: dict[str, ModelEntry], info: ValidationInfo) -> dict[str, ModelEntry]:
        if "train_seconds" not in info.data.get("objectives", ["train_seconds"]):
            refuse(
                Problem(
                    (name, "search", "train_size"),
                    "more training data only ever helps unless 'train_seconds' is an objective: add it to objectives, "
                    "or make train_size a factor or a fixed setting",
                )
                for name, entry in models.items()
                if "train_size" in entry.search
            )
        return models

    @property
    def terms(self) -> Terms:
        """The terms in which the study's task is reported."""
        return tasks.terms(self.task)

    def engines_of(self, entry: str) -> list[str]:
        """The engines that a model entry is timed and tested in; eager PyTorch is always among them."""
        own = self.models[entry].engines
        return self.engines if own is None else own

    def data_options(self) -> object:
        """The DataOptions of the task."""
        return read_config(data_options_class(self.task), self.data.options)[0]


def split_settings(spec: StudySpec, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings -> (those of the training Config, those of the model's Config)."""
    training_fields = set(settable(config_class(spec.task)))
    training = {k: v for k, v in values.items() if k in training_fields}
    return training, {k: v for k, v in values.items() if k not in training_fields}
