"""Epochs that the study's search spends to reach the best accuracy of a full grid without stopping, on digits.

python -m benchmarks.search_cost

Both are studies: the grid as factors, one trial each, nothing stopped; the search over the same ranges, with TPE and
early stopping. Repeated with several seeds, each with its own split of the images.

The best of many noisy trainings is partly luck, and the search often ends one image behind it. So the grid's best counts
as reached within its standard error on the validation images, which cannot tell smaller differences apart; the epochs
until it is matched exactly are reported too.

The length of the warm-up is not searched, although a grid could have it: trials are compared at equal epochs, so those
still warming up at the first rung are stopped even if they would end best.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator

from benchmarks.figure import Figure, at_most, show
from benchmarks.small_study import FinishedStudy, run_small_study
from record.folder import COMPLETE
from study.ledger import number

SEEDS = (0, 1, 2, 3, 4)
EPOCHS = 9
MAX_SHARE = 1 / 3
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
DECAYS = (0.005, 0.05, 0.5)
BATCHES = (32, 64, 128)
TRIALS = 80
SPACE: dict[str, object] = {
    "data": {"name": "digits", "validation": 0.3},
    "objectives": ["val_accuracy"],
    "phases": ["search"],
}
# Well trained after nine epochs, with a second epoch that is informative: early stopping makes sense for it.
MODEL: dict[str, object] = {
    "model": "resnet18", "image_size": 8, "width": 8, "epochs": EPOCHS, "flip": False, "shift": 0.0,
}  # fmt: skip


def run() -> Iterator[Figure]:
    grid_epochs = len(RATES) * len(DECAYS) * len(BATCHES) * EPOCHS
    within_error: list[float] = []
    exactly: list[float] = []
    bests = []
    for seed in SEEDS:
        grid = search_grid(seed)
        best = max(number(trial.last, "val_accuracy") for trial in grid.trials if trial.state == COMPLETE)
        error = math.sqrt(best * (1 - best) / grid.validation_images)
        search = search_ranges(seed)
        within_error.append(epochs_until(search, best - error))
        exactly.append(epochs_until(search, best))
        bests.append(f"{best:.4f} +- {error:.4f}")
    yield at_most(
        f"epochs to the best accuracy of a grid of {grid_epochs} epochs within its standard error, median of {len(SEEDS)} "
        "seeds",
        statistics.median(within_error) / grid_epochs, round(MAX_SHARE, 3), " of the grid's",
        f" (grids' best {', '.join(bests)}; epochs {listed(within_error)})",
    )  # fmt: skip
    yield at_most(
        "the same to the last validation image", statistics.median(exactly) / grid_epochs, round(MAX_SHARE, 3),
        " of the grid's", f" (epochs {listed(exactly)})",
    )  # fmt: skip


def search_grid(seed: int) -> FinishedStudy:
    """Every point of the grid, trained to the end."""
    factors = {"lr": list(RATES), "weight_decay": list(DECAYS), "batch_size": list(BATCHES)}
    return run_small_study(SPACE | {"seed": seed, "trials": 1, "models": {"grid": MODEL | {"factors": factors}}})


def search_ranges(seed: int) -> FinishedStudy:
    """A search over the ranges of the grid, with the default rule of early stopping."""
    search = {
        "lr": {"low": min(RATES), "high": max(RATES), "log": True},
        "weight_decay": {"low": min(DECAYS), "high": max(DECAYS), "log": True},
        "batch_size": list(BATCHES),
    }
    models = {"search": MODEL | {"search": search}}
    return run_small_study(SPACE | {"early_stopping": {}, "seed": seed, "trials": TRIALS, "models": models})


def epochs_until(search: FinishedStudy, accuracy: float) -> float:
    """Epochs of all trials until the first one that reached `accuracy` had ended; infinity if none did."""
    epochs = itertools.accumulate(len(trial.rows) for trial in search.trials)
    for total, trial in zip(epochs, search.trials, strict=True):
        if trial.state == COMPLETE and number(trial.last, "val_accuracy") >= accuracy:
            return total
    return math.inf


def listed(epochs: list[float]) -> str:
    return ", ".join(str(count) if count < math.inf else f"not in {TRIALS} trials" for count in epochs)


if __name__ == "__main__":
    show(run())
