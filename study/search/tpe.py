"""The default: Optuna's tree-structured Parzen estimator, with a random start that fits small budgets."""

from __future__ import annotations

from optuna.samplers import TPESampler

from study.search import Problem

MAX_STARTUP_TRIALS = 10


def build(problem: Problem) -> TPESampler:
    """The first half of a cell's trials (10 at most) is random: TPE needs something to learn from."""
    startup = min(MAX_STARTUP_TRIALS, max(1, problem.trials // 2))
    return TPESampler(multivariate=True, n_startup_trials=startup, seed=problem.trial_seed)
