"""Whether the forecast of a study holds what it says, measured on studies that ran (recorded_studies.csv).

python -m benchmarks.forecast

Each study is cut as if it were still running, forecast from what was known then, and compared with what came. An 80 %
interval that holds much more often is too wide to be useful. Trials come in the order in which they started. Those of a
study are alike, and a study's best is one of its cells': there is less evidence than the counts suggest.

What record/forecast.py expects was chosen on the studies 0 to 5. On 6 to 9 alone, 81 % of the intervals of ends hold, and
of the best 100, 88 and 81 % after a quarter, a half and three quarters of the trials, 81 % from a pilot. Of the best they
are too wide early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.figure import Figure, show
from benchmarks.recorded_studies import TRIALS, Recorded, read
from record.folder import COMPLETE
from record.forecast import LEVEL, Curve, cell_draws, end_draws, interval

TARGET = (0.7, 0.9)
PILOT_TRIALS, PILOT_EPOCHS = 2, 3  # as study/phases.py has them, which brings in Ray
SHARES = (0.25, 0.5, 0.75)  # of a study's trials, or of a trial's epochs, that are known


def run() -> Iterator[Figure]:
    studies: defaultdict[str, list[Recorded]] = defaultdict(list)
    for trial in read():
        studies[trial.study].append(trial)
    ends = [held for study in studies.values() for held in held_ends(study)]
    yield coverage("ends of running trials from their first epochs", ends)
    for share in (0.5, 0.25, 0.75):
        bests = [held for study in studies.values() for held in held_bests(study, share)]
        yield coverage(f"best of a cell or study after all trials, from the first {share:.0%} of them", bests)
    pilots = [held for study in studies.values() for held in held_bests(study, PILOT_TRIALS / TRIALS, PILOT_EPOCHS)]
    yield coverage("the same from a pilot", pilots)


def coverage(name: str, held: Sequence[bool]) -> Figure:
    """The share of intervals that hold, against the target."""
    low, high = TARGET
    share = float(np.mean(held))
    measured = f"{share:.0%} of {len(held)}"
    name = f"{LEVEL:.0%} intervals that hold: {name}"
    return Figure(name, measured, f"{low:.0%} to {high:.0%}", low <= share <= high)


def held_ends(study: Sequence[Recorded]) -> Iterator[bool]:
    """For each complete trial after 1/4, 1/2 and 3/4 of its epochs: does the interval, from it and those before, hold?"""
    random = np.random.default_rng(0)
    for i, trial in enumerate(study):
        if trial.state != COMPLETE:
            continue
        for known in sorted({max(1, int(share * trial.epochs)) for share in SHARES}):
            curve = _curve(trial, known)
            low, high = interval(end_draws(curve, [_curve(other) for other in study[:i]], random))
            yield low <= trial.values[-1] <= high


def held_bests(study: Sequence[Recorded], share: float, pilot_epochs: int | None = None) -> Iterator[bool]:
    """For each cell and for all: does the interval of the best, from this share of the trials, hold?

    The last known trial of each cell is still running, after half of its epochs; of a pilot, all are.
    """
    random = np.random.default_rng(0)
    cells = {trial.cell: [other for other in study if other.cell == trial.cell] for trial in study}
    first = {cell: trials[: round(share * len(trials))] for cell, trials in cells.items()}
    if pilot_epochs is None:
        curves = [_curve(trial) for trials in first.values() for trial in trials[:-1]]
        curves += [_curve(trials[-1], max(1, trials[-1].epochs // 2)) for trials in first.values()]
    else:
        curves = [_curve(trial, pilot_epochs) for trials in first.values() for trial in trials]
    draws = {
        cell: cell_draws(cell, curves, [len(trials) - len(first[cell])], random)[0] for cell, trials in cells.items()
    }
    truth = {cell: max(t.values[-1] for t in trials if t.state == COMPLETE) for cell, trials in cells.items()}
    draws["all"], truth["all"] = np.max(list(draws.values()), axis=0), max(truth.values())
    for cell in draws:
        low, high = interval(draws[cell])
        yield low - 1e-9 <= truth[cell] <= high + 1e-9


def _curve(trial: Recorded, known: int | None = None) -> Curve:
    """The trial as it ended, or as it was after its first `known` epochs."""
    return Curve(trial.cell, trial.cell, trial.epochs, trial.values[:known], known is None)


if __name__ == "__main__":
    show(run())
