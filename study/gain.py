"""When the search ends because more trials are not worth their time: the space's `min_gain_per_hour`.

The forecast is asked where a new round of trials, one per cell, would begin, and follows from the record alone. An end is
recorded when it is decided and never decided again: trials that were still running then would change the forecast.
"""

from __future__ import annotations

import numpy as np

from record.folder import PROFILE, RUNNING, SEARCH
from record.forecast import Curve, cell_draws
from study.ledger import Ledger, Trial, number
from study.limits import open_cells

MIN_ENDED = 3  # trials per cell before its gain can be told
DECISION = "search_ended"  # user attribute of the Optuna study of the isolated timings


def has_ended(ledger: Ledger) -> bool:
    """Whether an earlier decision to end the search holds: for no smaller gain than now, and for as many trials."""
    wanted = ledger.spec.min_gain_per_hour
    if wanted is None or (decision := ledger.study(PROFILE).user_attrs.get(DECISION)) is None:
        return False
    return bool(decision["min_gain_per_hour"] <= wanted and ledger.spec.trials <= decision["trials"])


def ends_search(ledger: Ledger, slots: int) -> bool:
    """Whether the next round of trials is not worth its time; if so, the decision is recorded.

    slots: the trials that run at once.
    """
    wanted = ledger.spec.min_gain_per_hour
    if wanted is None or (expected := expected_gain_per_hour(ledger, slots)) is None or expected >= wanted:
        return False
    decision = {"min_gain_per_hour": wanted, "expected": expected, "trials": ledger.spec.trials}
    ledger.study(PROFILE).set_user_attr(DECISION, decision)
    return True


def expected_gain_per_hour(ledger: Ledger, slots: int) -> float | None:
    """By how many points per hour the next trial is expected to raise the best of the cell that gains the most.

    Not the best of the study: the front needs each cell's. None where a round would not begin now, or it cannot be told.
    """
    trials = {cell: ledger.of(cell) for cell in open_cells(ledger)}
    ended = [sum(trial.state != RUNNING for trial in own) for own in trials.values()]
    if len({len(own) for own in trials.values()}) > 1 or min(ended) < MIN_ENDED:
        return None
    task, known = ledger.spec.terms, [curve(ledger, trial) for trial in ledger.in_phase(SEARCH)]
    random = np.random.default_rng([ledger.spec.seed, len(known)])
    gains = [np.diff(cell_draws(cell.name, known, [0, 1], random), axis=0).mean() for cell in trials]
    hours = sum(_mean_seconds(own) for own in trials.values()) / slots / 3600
    if hours == 0:  # every trial failed before its first epoch had ended
        return None
    return float(max(gains) * task.perfect / task.point / hours)


def curve(ledger: Ledger, trial: Trial) -> Curve:
    """A search trial as the forecast knows it."""
    task = ledger.spec.terms
    values = tuple(number(row, task.validation) / task.perfect for row in trial.rows)
    return Curve(trial.cell.name, trial.cell.entry, trial.epochs, values, trial.state != RUNNING)


def _mean_seconds(trials: list[Trial]) -> float:
    """What the ended trials spent in their epochs, on average."""
    ended = [trial for trial in trials if trial.state != RUNNING]
    rows = [row for trial in ended for row in trial.rows]
    return sum(number(row, "train_seconds") + number(row, "eval_seconds") for row in rows) / len(ended)
