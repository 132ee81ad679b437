"""The points of one scrambled Sobol sequence, the same for all cells: every prefix covers each range evenly, and cells that
share a dimension try the same values of it, so that no model wins by luckier ones (common random numbers).

Owen, "Scrambled net variance for integrals of smooth functions", Annals of Statistics 1997.
"""

from __future__ import annotations

import warnings
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from study.search import Problem
from study.search.grid import Point


def build(problem: Problem) -> Point:
    """The next point; each dimension of the study has its own axis of the sequence, whichever cells search it."""
    from scipy.stats import qmc

    names = sorted(problem.dimensions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a prefix that is no power of two is as even as it can be
        point = qmc.Sobol(max(1, len(names)), rng=problem.study_seed).random(problem.number + 1)[-1]
    shares = dict(zip(names, point.tolist(), strict=False))
    values = {name: value_at(distribution, shares[name]) for name, distribution in problem.distributions.items()}
    return Point(problem.distributions, values)


def value_at(distribution: BaseDistribution, share: float) -> Any:
    """The value below which that share of the dimension lies."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        if isinstance(distribution, IntDistribution):  # each whole number as wide as it is to Optuna
            value = (low - 0.5) * ((high + 0.5) / (low - 0.5)) ** share
            return min(high, max(low, round(value)))
        return min(high, low * (high / low) ** share)
    if step is None:
        return low + share * (high - low)
    steps = int((high - low) / step + 1e-9) + 1
    value = low + step * int(share * steps)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)
