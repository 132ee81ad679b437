"""Epochs that the study's search spends to reach the best accuracy of a full grid without stopping, on digits.

python -m benchmarks.search_cost

Both run as studies: the grid as factors, one trial each, nothing stopped; the search over the same ranges,
with TPE and early stopping. Repeated with several seeds, each of which has its own split of the images.

The best of many noisy trainings owes much to luck, and the search is often one image behind it at the end. So the grid's
best counts as reached within its standard error on the validation images, which is what they can tell apart; the
epochs until it is reached to the last image are reported beside.

The length of the warm-up is not searched, though a grid could have it: trials are compared at equal epochs, so those that
are still warming up at the first rung are stopped, also where they would end best.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.figure import Figure, at_most, show
from benchmarks.small_study import Finished
from record.folder import COMPLETE
from study.ledger import number

SEEDS = (0, 1, 2, 3, 4)
EPOCHS = 9
MOST = 1 / 3
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
DECAYS = (0.005, 0.05, 0.5)
BATCHES = (32, 64, 128)
TRIALS = 80
SPACE: dict[str, Any] = {
    "data": {"name": "digits", "validation": 0.3},
    "objectives": ["val_accuracy"],
    "phases": ["search"],
}
# Well trained after nine epochs, and its second one tells something already: stopping early makes sense for it.
MODEL: dict[str, Any] = {
    "model": "resnet18", "image_size": 8, "width": 8, "epochs": EPOCHS, "flip": False, "shift": 0.0,
}  # fmt: skip


def run() -> Iterator[Figure]:
    grid_epochs = len(RATES) * len(DECAYS) * len(BATCHES) * EPOCHS
    within: list[float] = []
    strictly: list[float] = []
    bests = []
    for seed in SEEDS:
        factors = {"lr": list(RATES), "weight_decay": list(DECAYS), "batch_size": list(BATCHES)}
        grid = Finished(SPACE | {"seed": seed, "trials": 1, "models": {"grid": MODEL | {"factors": factors}}})
        best = max(number(trial.last, "val_accuracy") for trial in grid.trials if trial.state == COMPLETE)
        search = {
            "lr": {"low": min(RATES), "high": max(RATES), "log": True},
            "weight_decay": {"low": min(DECAYS), "high": max(DECAYS), "log": True},
            "batch_size": list(BATCHES),
        }
        stopping: dict[str, Any] = {"early_stopping": {}}  # the default rule
        found = Finished(
            SPACE | stopping | {"seed": seed, "trials": TRIALS, "models": {"search": MODEL | {"search": search}}}
        )
        error = math.sqrt(best * (1 - best) / grid.validation_images)
        within.append(epochs_until(found, best - error))
        strictly.append(epochs_until(found, best))
        bests.append(f"{best:.4f} +- {error:.4f}")
    yield at_most(
        f"epochs to the best accuracy of a grid of {grid_epochs} epochs within its standard error, median of {len(SEEDS)} "
        "seeds",
        statistics.median(within) / grid_epochs, round(MOST, 3), " of the grid's",
        f" (grids' best {', '.join(bests)}; epochs {told(within)})",
    )  # fmt: skip
    yield at_most(
        "the same to the last validation image", statistics.median(strictly) / grid_epochs, round(MOST, 3),
        " of the grid's", f" (epochs {told(strictly)})",
    )  # fmt: skip


def epochs_until(search: Finished, accuracy: float) -> float:
    """Epochs of all trials until the end of the first one that reached `accuracy`; infinity if none did."""
    ended = itertools.accumulate(len(trial.rows) for trial in search.trials)
    for spent, trial in zip(ended, search.trials, strict=True):
        if trial.state == COMPLETE and number(trial.last, "val_accuracy") >= accuracy:
            return spent
    return math.inf


def told(epochs: list[float]) -> str:
    return ", ".join(str(each) if each < math.inf else f"not in {TRIALS} trials" for each in epochs)


if __name__ == "__main__":
    show(run())
