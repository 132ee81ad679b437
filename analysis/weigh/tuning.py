"""What a comparison of models must say of how well each cell was tuned: from the ranges in study.yaml and its trials."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.read.candidates import confirm_runs, searched, terms, tried
from analysis.read.data_facts import validation_images
from analysis.read.study_folder import Study
from analysis.weigh.expected_best import MIN_TRIALS, expected_best
from analysis.weigh.statistics import Floats
from analysis.weigh.tradeoff import best_per_model
from record.folder import COMPLETE, FAILED, PRUNED, SEARCH

NEAR = 0.05  # of a range's width: so close to its end, the best may lie beyond
# More of these buys accuracy with time: where to stop is what a study asks, not a matter of tuning.
TRADED = ("train_size", "image_size", "tome_ratio")
BEST_TRIALS = 4  # of a cell, whose spread says how much other settings may still gain


class AtEnd(NamedTuple):
    """The most accurate trial of a cell has this setting at the "low" or "high" end of the range that was searched."""

    cell: str
    setting: str
    end: str


class Gaining(NamedTuple):
    """The last third of a cell's trials raised the expected best by `gain`, more than `luck`."""

    cell: str
    gain: float
    luck: float


class Budget(NamedTuple):
    """How many trials of a cell ended how."""

    cell: str
    complete: int
    pruned: int
    failed: int


class Behind(NamedTuple):
    """A cell whose best candidate is behind by `gap`, no more than its best trials lie apart; `spread` is NaN where fewer
    than `BEST_TRIALS` are complete."""

    cell: str
    gap: float
    spread: float


class Tuning(NamedTuple):
    """What limits a comparison; `unequal` holds all cells where the numbers of complete trials differ, else none."""

    at_ends: list[AtEnd]
    gaining: list[Gaining]
    unequal: list[Budget]


def tuning(study: Study) -> Tuning:
    return Tuning(list(_at_ends(study)), list(_gaining(study)), _unequal(study))


def _at_ends(study: Study) -> Iterator[AtEnd]:
    """A range that starts at 0 has no values below, so its low end is none that could be moved."""
    by = [*study.keys, "cell"]
    for best in best_per_model(searched(study), terms(study).validation, by).to_dict("records"):
        for setting, (low, high, log) in _ranges(study.specs[best.get("study", study.names[0])], best["model"]):
            value = best.get(setting)
            if setting in TRADED or not isinstance(value, int | float) or math.isnan(value):
                continue
            place = (math.log(value / low) / math.log(high / low)) if log else (value - low) / (high - low)
            if (place <= NEAR and low != 0) or place >= 1 - NEAR:
                yield AtEnd(_label([best[name] for name in by]), setting, "low" if place <= NEAR else "high")


def _ranges(spec: dict[str, Any], model: str) -> Iterator[tuple[str, tuple[float, float, bool]]]:
    """The searched ranges of a model entry in study.yaml; lists of choices have no ends."""
    models = spec.get("models")
    entry = models.get(model) if isinstance(models, dict) else None
    search = entry.get("search") if isinstance(entry, dict) else None
    for setting, dimension in search.items() if isinstance(search, dict) else ():
        if isinstance(dimension, dict) and {"low", "high"} <= dimension.keys():
            yield str(setting), (float(dimension["low"]), float(dimension["high"]), bool(dimension.get("log")))


def last_gain(accuracies: Floats) -> float:
    """By how much the last third of a cell's trials, in their order, raised the expected best; 0 where the best came before."""
    trials = len(accuracies)
    before = trials - trials // 3
    if trials < MIN_TRIALS or accuracies.argmax() < before:
        return 0.0
    return expected_best(accuracies, trials) - expected_best(accuracies, before)


def _gaining(study: Study) -> Iterator[Gaining]:
    """The best came in the last third, and without that third the expected best is lower by more than a training's luck.

    The expected best flattens with each trial, so what the last third added bounds what as many more would add, had the
    trials been drawn at random; below the luck of one training, validation could not tell it from nothing.
    """
    accuracy = terms(study).validation
    for key, rows in tried(study).groupby([*study.keys, "cell"], sort=False):
        values = rows[accuracy].to_numpy(dtype=float)
        gain = last_gain(values)
        if gain > 0 and gain > (luck := _luck(study, key, float(values.max()))):
            yield Gaining(_label(key), gain, luck)


def _luck(study: Study, key: tuple[Any, ...], accuracy: float) -> float:
    """The standard deviation of one training's validation accuracy: over the seeds of the cell's confirmed candidates, else
    of a share of the validation split; NaN where neither is known."""
    runs = confirm_runs(study)
    own = runs[(runs[[*study.keys, "cell"]] == list(key)).all(axis=1)]
    over_seeds = float(own.groupby("candidate")[terms(study).validation].var().mean())
    if over_seeds > 0:
        return math.sqrt(over_seeds)
    examples = validation_images(study, str(key[0]) if "study" in study.trials else study.names[0])
    return math.sqrt(accuracy * (1 - accuracy) / examples) if terms(study).is_share and examples else math.nan


def _unequal(study: Study) -> list[Budget]:
    """Cells of merged studies are compared within their study. A model that has no trial counts as one cell."""
    trials = study.trials[study.trials["phase"] == SEARCH]
    unequal: list[Budget] = []
    for name, spec in study.specs.items():
        own = trials[trials["study"] == name] if "study" in trials else trials
        budgets = [
            Budget(_label(key), *(int((rows["state"] == state).sum()) for state in (COMPLETE, PRUNED, FAILED)))
            for key, rows in own.groupby([*study.keys, "cell"], sort=False)
        ]
        models = spec.get("models")
        untried = [model for model in models if model not in set(own["model"])] if isinstance(models, dict) else []
        budgets += [Budget(_label([*[name][: len(study.keys) - 1], model, model]), 0, 0, 0) for model in untried]
        if len({budget.complete for budget in budgets}) > 1:
            unequal += budgets
    return unequal


def may_catch_up(study: Study, pairs: pd.DataFrame) -> Iterator[Behind]:
    """The cells that other settings may bring up to the most accurate candidate, though the tests of seeds and images tell
    all their candidates from it; `pairs`: rows of `comparisons`.

    Where the accuracy changes so much from one good trial to the next, so much may lie between the best trial and the
    best setting: extreme value theory says so of any smooth optimum (de Haan, "Estimation of the minimum of a function
    using order statistics", JASA 1981). benchmarks/simulated_searches.py shows how often the best four lie closer.
    """
    by, rows = study.keys[:-1], searched(study)
    cells = rows[[*by, "trial", "cell"]]
    for column, name in (("second", "cell"), ("first", "best")):
        pairs = pairs.merge(cells.rename(columns={"trial": column, "cell": name}), on=[*by, column])
    for key, own in pairs[pairs["cell"] != pairs["best"]].groupby([*by, "cell"], sort=False):
        gap = float(own["difference"].min())
        values = rows.loc[(rows[[*by, "cell"]] == list(key)).all(axis=1), terms(study).validation]
        spread = spread_of_best(values.to_numpy(dtype=float))
        if own["differ"].all() and gap > 0 and not gap > spread:
            yield Behind("/".join(map(str, key)), gap, spread)


def spread_of_best(accuracies: Floats) -> float:
    """How far apart the best `BEST_TRIALS` of them lie; NaN where there are fewer."""
    best = sorted(accuracies.tolist(), reverse=True)[:BEST_TRIALS]
    return best[0] - best[-1] if len(best) == BEST_TRIALS else math.nan


def _label(key: Sequence[Any]) -> str:
    """(study,) model, cell -> "study/cell"."""
    return "/".join(map(str, [*key[:-2], key[-1]]))
