"""How long a study will take, from its isolated timings, and how long it took."""

from __future__ import annotations

import datetime
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from record.figures import COMPILE_SECONDS, TIMING_SECONDS
from record.folder import CONFIRM, SEARCH
from study.candidates import room
from study.cells import Cell
from study.costs import DataFacts, grid, ranged_speed_dimensions, trial_costs
from study.ledger import Ledger, Trial, number
from study.limits import open_cells
from study.space.numbers import seconds

MIN_TIMEOUT, TIMEOUT_EPOCHS = 600.0, 30.0
UNTIMED_TIMEOUT = 3 * 3600.0  # of a trial whose model was not timed


class Parallelism(NamedTuple):
    """How much of each is done at the same time, when as many trials run as fit, in units of an isolated timing's."""

    training: float
    evaluation: float


def expected_seconds(ledger: Ledger, data: DataFacts, parallelism: Parallelism) -> dict[str, float]:
    """Wall seconds of each phase of the study; early stopping only shortens it."""
    spec = ledger.spec
    entries = [cell.entry for cell in open_cells(ledger)]
    means = [_mean_trial_seconds(ledger, entry, data, parallelism) for entry in entries]
    tested = [
        mean + _compile_seconds(ledger, entry) / parallelism.training
        for mean, entry in zip(means, entries, strict=True)
    ]
    repeats = spec.confirm.seeds * room(spec)
    busy = {SEARCH: sum(means) * spec.trials, CONFIRM: max(tested) * repeats + _timing_seconds(ledger)}
    return {phase: round(total, 1) for phase, total in busy.items() if phase in spec.phases}


def _compile_seconds(ledger: Ledger, entry: str) -> float:
    """Of a trained network, for all its engines: what those of random weights took, on average over the grid."""
    timings = [timing for timing in ledger.timings if timing.model == entry]
    each = [number(own, COMPILE_SECONDS) for t in timings for own in t.engines.values() if COMPILE_SECONDS in own]
    return sum(each) / len(timings)


def _timing_seconds(ledger: Ledger) -> float:
    """Of the candidates that confirm times at their settings: those between the points that were timed before."""
    if not any(ranged_speed_dimensions(entry) for entry in ledger.spec.models.values()):
        return 0.0
    each = [number(timing.figures, TIMING_SECONDS) for timing in ledger.timings if TIMING_SECONDS in timing.figures]
    return room(ledger.spec) * statistics.fmean(each) if each else 0.0


def _mean_trial_seconds(ledger: Ledger, name: str, data: DataFacts, parallelism: Parallelism) -> float:
    """What a trial adds to the wall time, on average over the grid of speeds and the train sizes that an entry may get."""
    entry = ledger.spec.models[name]
    typical = {dimension: entry.values(dimension)[0] for dimension in entry.names()}
    sizes = [{"train_size": size} for size in entry.values("train_size")] if "train_size" in typical else [{}]
    durations = []
    for point, size in itertools.product(grid(entry), sizes):
        trial = Trial("", Cell(name), typical | point | size, 0, entry.epochs)
        costs = trial_costs(ledger, trial, data)
        durations.append(costs["train_seconds"] / parallelism.training + costs["eval_seconds"] / parallelism.evaluation)
    return sum(durations) / len(durations)


def trial_timeout(ledger: Ledger, trial: Trial, data: DataFacts) -> float:
    """The seconds without a new epoch after which a trial counts as hung.

    The space's `trial_timeout`; else far more than an epoch can take beside other trials, with the building of the model
    before the first and the test after the last one.
    """
    if ledger.spec.trial_timeout is not None:
        return seconds(ledger.spec.trial_timeout)
    costs = trial_costs(ledger, trial, data)
    if not costs:
        return UNTIMED_TIMEOUT
    epoch = (costs["train_seconds"] + costs["eval_seconds"]) / (len(trial.rows) or trial.epochs)
    return MIN_TIMEOUT + TIMEOUT_EPOCHS * epoch


def expectation(expected: Mapping[str, float]) -> str:
    """One line: how long the study will take on this hardware. expected: seconds by phase."""
    parts = ", ".join(f"{phase} {readable(seconds)}" for phase, seconds in expected.items())
    return f"expected duration on this hardware: about {readable(sum(expected.values()))} ({parts})"


def summary(took: Mapping[str, float], expected: Mapping[str, float], phases: Sequence[str]) -> str:
    """One line: what the phases took in all runs of the study, beside what was expected. Both: seconds by phase."""
    parts = [
        f"{phase} {readable(took[phase])}" + (f" (expected {readable(expected[phase])})" if phase in expected else "")
        for phase in took
        if phase in phases
    ]
    total = sum(seconds for phase, seconds in took.items() if phase in phases)
    return f"took {readable(total)}: {', '.join(parts)}"


def readable(seconds: float) -> str:
    """Seconds -> '1:02:03'."""
    return str(datetime.timedelta(seconds=round(seconds)))
