"""QMCSampler: the points of one low-discrepancy sequence per cell, which fill a space more evenly than random ones."""

from __future__ import annotations

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler, RandomSampler
from optuna.trial import FrozenTrial

from study.search import Problem


class Sequence(QMCSampler):
    """Optuna's class, whose place in the sequence is kept in the Optuna study, without its random first point."""

    def __init__(self, problem: Problem, qmc_type: str, scramble: bool) -> None:
        independent = RandomSampler(seed=problem.trial_seed)
        super().__init__(qmc_type=qmc_type, scramble=scramble, seed=problem.cell_seed, independent_sampler=independent)
        self.dimensions = dict(problem.distributions)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.dimensions


def build(problem: Problem, qmc_type: str = "sobol", scramble: bool = False) -> Sequence:
    return Sequence(problem, qmc_type, scramble)
