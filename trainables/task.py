"""What a task is: the interface between a study, which searches and records, and the plain torch code that trains.

A task is a folder `trainables/<name>/` with two modules: `config.py` (settings and data sets; imports no torch, so that a
space can be read quickly) and `task.py`, a module that has the names of `Task` below. `record/tasks.py` holds the terms in
which it is reported, `record/figures.py` its columns. The type parameters are the task's own classes: C its Config, O its
DataOptions, D the data that a search may see, T the test split.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from record import tasks
from record.errors import UserError
from record.folder import StudyFolder

if TYPE_CHECKING:
    import torch

    from trainables.pace import Yardstick

Scalar = bool | int | float | str
Settings = Mapping[str, Scalar | None]
Figures = dict[str, float | int | str | None]  # one row: names of record/figures.py


class TrainingConfig(Protocol):
    """The settings that the Config of every task has, besides its own."""

    @property
    def train_size(self) -> int | None: ...
    @property
    def epochs(self) -> int: ...
    @property
    def seed(self) -> int: ...


class SearchData(Protocol):
    """What a search may see. The test split is kept apart from it."""

    @property
    def train(self) -> Sized: ...
    @property
    def validation(self) -> Sized: ...


class DataSets(Protocol):
    """What a task's data may be called."""

    def names(self) -> list[str]:
        """The data sets that have a name."""

    def unknown(self, data: str, places: Sequence[str]) -> UserError:
        """The error for what is neither a data set nor a folder in one of the places."""


C = TypeVar("C", bound=TrainingConfig)
O = TypeVar("O")  # noqa: E741
D = TypeVar("D", bound=SearchData)
T = TypeVar("T", bound=Sized)
C_contra = TypeVar("C_contra", bound=TrainingConfig, contravariant=True)
D_contra = TypeVar("D_contra", bound=SearchData, contravariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class Loop(Protocol[T_contra]):
    """One training: model, optimiser and schedule. What follows an epoch depends on `state_dict` and the data alone."""

    epoch: int  # epochs done

    def run_epoch(self) -> Figures:
        """Train one epoch, evaluate on the validation split, return the epoch's row. Raises Diverged."""

    def test(self, test: T_contra, folder: StudyFolder, trial: str) -> Figures:
        """Evaluate the trained model on the test split: its figures. Writes the trial's predictions into the folder."""

    def state_dict(self) -> dict[str, object]:
        """Everything that the rest of the training depends on."""

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue where `state_dict` was taken, bit for bit."""


class LoopClass(Protocol[C_contra, D_contra, T_contra]):
    def __call__(
        self, config: C_contra, model: str, options: Settings, weights: str, data: D_contra, device: torch.device
    ) -> Loop[T_contra]:
        """model: a file of models/; options: fields of its Config; weights: "none", "timm" or a file."""


class Task(Protocol[C, O, D, T]):
    """The names of a task's module."""

    @property
    def Config(self) -> type[C]:
        """Settings of one training: a frozen dataclass whose fields are `record.settings.setting`s."""

    @property
    def DataOptions(self) -> type[O]:
        """What a space may set under `data` besides `name`: a frozen dataclass."""

    @property
    def Loop(self) -> LoopClass[C, D, T]:
        """The epoch loop."""

    def load_data(
        self, name: str, data_dir: Path, options: O, image_sizes: Sequence[int], seed: int
    ) -> tuple[D, T, str]:
        """(training and validation data, test split, what was really read).

        image_sizes: those that the study's models take; empty where they take none. Raises DataError.
        """

    def check_train_size(self, data: D, train_size: int | None) -> None:
        """Raises DataError if there are fewer than `train_size` training examples."""

    def model_options(self, data: D) -> dict[str, int]:
        """The fields of a model's Config that the data decide."""

    def shape(self, data: D) -> dict[str, int]:
        """What `profile` needs to know about the data."""

    def describe(self, data: D, test: T) -> dict[str, object]:
        """What environment.json says about the data besides their sizes.

        `baseline` is what a model reaches that learnt nothing, as the task's `Terms` describe it: by split, `validation`
        and `test`, in the units of the task's quality.
        """

    def keep(self, folder: StudyFolder, data: D, test: T) -> None:
        """Write the part of the data that the analysis needs into the study folder."""

    def steps(self, config: C, data: D) -> tuple[int, int]:
        """Steps of the optimiser in one epoch, and in the warm-up of the learning rate, which may be longer."""

    def epoch_seconds(
        self, config: C, figures: Mapping[str, float], train: int, validation: int
    ) -> tuple[float, float]:
        """(training, evaluation) seconds of one epoch, from the isolated figures and the numbers of examples."""

    def profile(
        self,
        config: C,
        model: str,
        options: Settings,
        device: torch.device,
        shape: Mapping[str, int],
        train_threads: int,
        yardstick: Yardstick,
        latency_seconds: float,
    ) -> Figures:
        """Time one model on random data: the figures that `record.figures` marks as measured, and how they came about. Times
        and speeds are those at the yardstick's usual pace.

        train_threads: of the training step, which a trial makes with its own share of the node; inference keeps torch's
        threads, all those that a deployed model would have. latency_seconds: how long calls at batch 1 are timed.
        """


class Deployable(Protocol[C_contra]):
    """What the module of a task has besides whose models run in the engines of models/engines (`Terms.engines`)."""

    def profile_training(
        self,
        config: C_contra,
        model: str,
        options: Settings,
        device: torch.device,
        shape: Mapping[str, int],
        train_threads: int,
        yardstick: Yardstick,
    ) -> Figures:
        """`Task.profile` without the times of inference, for what `time_engines` times in turns."""

    def time_engines(
        self,
        config: C_contra,
        model: str,
        options: Settings,
        device: torch.device,
        shape: Mapping[str, int],
        engines: Sequence[str],
        yardstick: Yardstick,
        latency_seconds: float,
    ) -> Callable[[], dict[str, Figures]]:
        """Compile one model of random weights with each engine; the call that times inference in all of them, in turns.

        It gives each engine's figures, or why it is refused: it cannot run the network, or answers differently.
        """

    def evaluate_engines(
        self, loop: object, test: object, folder: StudyFolder, trial: str, engines: Sequence[str]
    ) -> dict[str, Figures]:
        """After `Loop.test`: evaluate the trained network in each engine on the test split, writing its predictions.

        Calibrates on training examples only. Each engine's figures, or why it is refused.
        """


SEPARATOR = "."  # of engine and figure, in the row of a confirmed trial's last epoch


def in_row(by_engine: Mapping[str, Figures]) -> Figures:
    """The figures of several engines as part of one row: {"openvino.test_accuracy": 0.9}."""
    return {f"{engine}{SEPARATOR}{name}": v for engine, row in by_engine.items() for name, v in row.items()}


def from_row(row: Figures) -> dict[str, Figures]:
    """The figures that `in_row` put into a row, by engine."""
    by_engine: dict[str, Figures] = {}
    for key, value in row.items():
        engine, found, name = key.partition(SEPARATOR)
        if found:
            by_engine.setdefault(engine, {})[name] = value
    return by_engine


def without_engines(row: Figures) -> Figures:
    return {name: value for name, value in row.items() if SEPARATOR not in name}


def config_class(name: str) -> type[TrainingConfig]:
    """The training Config of a task, without importing torch. Raises UserError for an unknown task."""
    return cast("type[TrainingConfig]", _module(name, "config").Config)


def data_options_class(name: str) -> type[object]:
    """The DataOptions of a task, without importing torch. Raises UserError for an unknown task."""
    return cast("type[object]", _module(name, "config").DataOptions)


def data_sets(name: str) -> DataSets:
    """The data sets of a task, without importing torch. Raises UserError for an unknown task."""
    return cast("DataSets", _module(name, "config").data_sets)


def named(name: str) -> Task[TrainingConfig, object, SearchData, Sized]:
    """The task's code. To whoever gets it by name, its own classes are opaque. Raises UserError for an unknown task."""
    return cast("Task[TrainingConfig, object, SearchData, Sized]", _module(name, "task"))


def deployable(name: str) -> Deployable[TrainingConfig]:
    """The code of a task that has engines."""
    return cast("Deployable[TrainingConfig]", _module(name, "task"))


def _module(task: str, part: str) -> ModuleType:
    return importlib.import_module(f"trainables.{tasks.terms(task).name}.{part}")
