"""Epochs that the study's search spends to reach the best accuracy of a full grid without stopping, on digits.

python -m benchmarks.search_cost

Both through the study's runner: the grid as factors, one trial each, nothing stopped; the search over the same ranges,
with TPE and early stopping. Repeated with several seeds, each of which has its own split of the images.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.figure import Figure, at_most, show
from benchmarks.small_study import TINY_VIT, Finished

SEEDS = (0, 1, 2)
EPOCHS = 9
MOST = 1 / 3
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
WARMUPS = (0, 1, 3)
BATCHES = (16, 32, 64)
TRIALS = 80
SPACE: dict[str, Any] = {
    "data": {"name": "digits", "validation": 0.3},
    "objectives": ["val_accuracy"],
    "phases": ["search"],
}
MODEL = TINY_VIT | {"epochs": EPOCHS, "train_size": 500}


def run() -> Iterator[Figure]:
    grid_epochs = len(RATES) * len(WARMUPS) * len(BATCHES) * EPOCHS
    shares, details = [], []
    for seed in SEEDS:
        factors = {"lr": list(RATES), "warmup_epochs": list(WARMUPS), "batch_size": list(BATCHES)}
        grid = Finished(SPACE | {"seed": seed, "trials": 1, "models": {"grid": MODEL | {"factors": factors}}})
        best = max(trial.last["val_accuracy"] for trial in grid.trials if trial.state == "complete")
        search = {
            "lr": {"low": min(RATES), "high": max(RATES), "log": True},
            "warmup_epochs": {"low": 0, "high": max(WARMUPS)},
            "batch_size": list(BATCHES),
        }
        stopping = {"early_stopping": {"grace_epochs": 1, "reduction_factor": 3}}
        found = Finished(
            SPACE | stopping | {"seed": seed, "trials": TRIALS, "models": {"search": MODEL | {"search": search}}}
        )
        spent = epochs_until(found, best)
        shares.append(spent / grid_epochs)
        details.append(f"{best:.4f} " + (f"after {spent} epochs" if spent < math.inf else f"not in {TRIALS} trials"))
    yield at_most(
        f"epochs to the best accuracy of a grid of {grid_epochs} epochs, median of {len(SEEDS)} seeds",
        statistics.median(shares), round(MOST, 3), " of the grid's", f" ({', '.join(details)})",
    )  # fmt: skip


def epochs_until(search: Finished, accuracy: float) -> float:
    """Epochs of all trials until the end of the first one that reached `accuracy`; infinity if none did."""
    ended = itertools.accumulate(len(trial.rows) for trial in search.trials)
    for spent, trial in zip(ended, search.trials, strict=True):
        if trial.state == "complete" and trial.last["val_accuracy"] >= accuracy:
            return spent
    return math.inf


if __name__ == "__main__":
    show(run())
