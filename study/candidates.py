"""Which trials the confirm phase trains again."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from record import figures
from record.folder import COMPLETE, SEARCH
from record.limits import NOT
from record.pareto import pareto_mask
from study import limits
from study.cells import cells
from study.ledger import Ledger, Trial, number
from study.space.schema import StudySpec

FRONT_ROOM = 4  # candidates of the front beside the best of each cell, where a space does not say


def room(spec: StudySpec) -> int:
    """How many candidates a study may have."""
    cell_count, model_count = len(cells(spec)), len(spec.models)
    return cell_count + FRONT_ROOM if spec.confirm.candidates is None else max(spec.confirm.candidates, model_count)


def candidates(ledger: Ledger) -> list[Trial]:
    """Each model's best trial, each cell's best, then the front of accuracy and speed, evenly, as far as there is room.

    Each cell's best, because its factor is what the study asks about. Training cost makes no candidate: the smaller train
    sizes are on a front of three objectives nearly always, and would take the room of what answers "at which speed?".
    Where the space has limits, only trials that hold them, or may.
    """
    complete = ledger.in_phase(SEARCH, COMPLETE)
    if ledger.spec.limits:
        complete = [trial for trial in complete if limits.of_trial(ledger, trial) != NOT]
    if not complete:
        return []
    metric = ledger.spec.terms.validation
    chosen = best_of_each(complete, metric, lambda trial: trial.cell.entry)
    best_of_cells = sorted(
        best_of_each(complete, metric, lambda trial: trial.cell), key=lambda t: -number(t.last, metric)
    )
    chosen += [trial for trial in best_of_cells if trial not in chosen]
    chosen = chosen[: room(ledger.spec)]
    names = _of_the_front(ledger.spec)
    # One that equals a chosen one would be the same point of the front again.
    taken = {_values(ledger, trial, names) for trial in chosen}
    points = {_values(ledger, trial, names): trial for trial in reversed(front(ledger, complete, names))}
    others = sorted((points[p] for p in points.keys() - taken), key=lambda t: (number(t.last, metric), t.name))
    left = min(len(others), room(ledger.spec) - len(chosen))
    spread: list[int] = np.linspace(len(others) - 1, 0, left).round().astype(int).tolist() if left else []
    return chosen + [others[i] for i in spread]


def best_of_each(trials: list[Trial], metric: str, group: Callable[[Trial], Hashable]) -> list[Trial]:
    """The trial of each group with the highest `metric`."""
    best: dict[Hashable, Trial] = {}
    for trial in trials:
        other = best.get(group(trial))
        if other is None or number(trial.last, metric) > number(other.last, metric):
            best[group(trial)] = trial
    return list(best.values())


def front(ledger: Ledger, trials: list[Trial], objectives: list[str] | None = None) -> list[Trial]:
    """The complete trials that no other one dominates in the objectives, all of the study's or these of them."""
    names = objectives or ledger.spec.objectives
    mask = pareto_mask([_values(ledger, trial, names) for trial in trials], figures.maximise(names))
    return [trial for trial, on_front in zip(trials, mask, strict=True) if on_front]


def _values(ledger: Ledger, trial: Trial, names: list[str]) -> tuple[float, ...]:
    """A complete trial's values of these objectives."""
    assert trial.values is not None
    return tuple(trial.values[ledger.spec.objectives.index(name)] for name in names)


def _of_the_front(spec: StudySpec) -> list[str]:
    """Quality and speed where both are objectives, else all objectives."""
    both = [spec.terms.validation, spec.terms.speed]
    return both if set(both) <= set(spec.objectives) else spec.objectives
