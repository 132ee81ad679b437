"""GridSampler: every point of a grid once, in an order that is shuffled by the study's seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from record.errors import UserError, nearest
from study.search import Problem


class Point(BaseSampler):
    """Proposes one given point. Optuna's own class loses a point where a process dies while it asks for a trial."""

    def __init__(self, distributions: Mapping[str, BaseDistribution], values: dict[str, Any]) -> None:
        self.distributions = dict(distributions)
        self.values = values

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise ValueError(f"search_space.{param_name}: {self.values[param_name]!r} is outside of the searched range")


def build(problem: Problem, search_space: dict[str, list[Any]] | None = None) -> Point:
    """search_space: the values of a dimension, by its name; without it all choices and steps count."""
    given = search_space or {}
    for name in given:
        if name not in problem.dimensions:
            raise UserError(f"search_space.{name}: no model searches it; {nearest(name, problem.dimensions)}")
    axes = {
        name: _axis(given[name], distribution) if name in given else _steps(name, distribution)
        for name, distribution in problem.distributions.items()
    }
    sizes = [len(axis) for axis in axes.values()]
    points = math.prod(sizes)
    if problem.trials > points:
        raise ValueError(f"its grid has {points} points, fewer than trials: {problem.trials}")
    order = np.random.default_rng(problem.cell_seed).permutation(points)
    indices = np.unravel_index(order[problem.number], sizes)
    values = {name: axis[int(i)] for (name, axis), i in zip(axes.items(), indices, strict=True)}
    return Point(problem.distributions, values)


def _axis(values: list[Any], distribution: BaseDistribution) -> list[Any]:
    """The values with the type that the distribution gives them."""
    return [distribution.to_external_repr(distribution.to_internal_repr(value)) for value in values]


def _steps(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        raise ValueError(f"{name} has no steps: list its values under sampler.search_space.{name}")
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + i * distribution.step for i in range(count)]
