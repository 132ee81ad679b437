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
from study.space.dimensions import Choices, Range, Scalar
from study.space.messages import Problem, user_error
from study.space.plain import TEXT, TEXT_RULE
from study.space.schema import ModelEntry, StudySpec

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
logging.getLogger("alembic").setLevel(logging.WARNING)

MAX_CELL_NAME = 200  # files have names of 255 bytes at most, and those of trials add a number, a seed and an ending


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


def check_names(spec: StudySpec, where: str) -> None:
    """Raise UserError where the values of factors cannot stand in names of files, or give two cells the same name."""
    problems = [
        Problem(("models", entry, "factors", key), f"'{value}' stands in the names of files: {TEXT_RULE}")
        for entry, model in spec.models.items()
        for key, values in model.factors.items()
        for value in values
        if isinstance(value, str) and not TEXT.fullmatch(value)
    ]
    names: dict[str, Cell] = {}
    for cell in cells(spec):
        place = ("models", cell.entry, "factors")
        if (other := names.setdefault(cell.name.casefold(), cell)) is not cell:
            problems.append(Problem(place, f"the cells {other.name} and {cell.name} have the same name but for case"))
        if len(cell.name) > MAX_CELL_NAME:
            too_long = (
                f"{cell.name[:40]}... has {len(cell.name)} characters; the name of a cell has {MAX_CELL_NAME} at most"
            )
            problems.append(Problem(place, too_long))
    if problems:
        raise user_error(where, problems)


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
