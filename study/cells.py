"""The cells of a study, each with its own Optuna study and budget, and the distributions that are searched in them."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection

from record import figures
from record.folder import SEARCH
from study.space.schema import Choices, ModelEntry, Range, Scalar, StudySpec

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
logging.getLogger("alembic").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Cell:
    """One model entry with one combination of factor values; in the confirm phase, its retraining."""

    entry: str
    factors: tuple[tuple[str, Scalar], ...] = ()
    phase: str = SEARCH

    @property
    def name(self) -> str:
        """The name of its Optuna study and the prefix of its trials' names."""
        return "-".join([self.entry, *(f"{key}={value}" for key, value in self.factors)])

    @property
    def study_name(self) -> str:
        return self.name if self.phase == SEARCH else f"{self.phase} {self.name}"


def cells(spec: StudySpec, phase: str = SEARCH) -> list[Cell]:
    return [
        Cell(name, tuple(combination.items()), phase)
        for name, entry in spec.models.items()
        for combination in entry.factor_combinations()
    ]


def directions(spec: StudySpec) -> list[StudyDirection]:
    """Which way each objective is better."""
    better = {True: StudyDirection.MAXIMIZE, False: StudyDirection.MINIMIZE}
    return [better[more] for more in figures.maximise(spec.objectives)]


def distributions(entry: ModelEntry) -> dict[str, BaseDistribution]:
    """The searched dimensions as Optuna knows them."""
    return {name: _distribution(dimension) for name, dimension in entry.search.items()}


def _distribution(dimension: Range | Choices) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension)
    low, high, log, step = dimension.low, dimension.high, dimension.log, dimension.step
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)
