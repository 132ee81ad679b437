"""What a setting and a trial cost with the hardware to themselves, from the timings of the profile phase.

Speed does not depend on the learning rate, so a trial's speed is read from a grid of timings by interpolation, and
trials that share the hardware cannot contaminate it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

import models
from models.engines import EAGER
from record import figures
from record.errors import UserError
from record.figures import REFUSED
from record.folder import CONFIRM, PROFILE, SEARCH
from record.limits import NOT, Limit, ends, worst
from record.settings import costs_time
from study.ledger import IsolatedTiming, Ledger, Trial, number
from study.space.dimensions import Choices, Range, Scalar
from study.space.schema import ModelEntry, StudySpec, split_settings
from trainables import task as tasks
from trainables.task import config_class

GRID_POINTS = 5  # of a ranged dimension


@dataclass(frozen=True)
class DataFacts:
    """What was really read, and the number of examples in each split."""

    source: str
    train: int
    validation: int
    test: int


def speed_dimensions(entry: ModelEntry) -> list[str]:
    """The dimensions of an entry that change its speed, as the Configs of its model and its task say."""
    timed = costs_time(models.config_class(entry.model)) | costs_time(config_class(models.task(entry.model)))
    return [name for name in (*entry.search, *entry.factors) if name in timed]


def ranged_speed_dimensions(entry: ModelEntry) -> list[str]:
    """Those of which only some values are timed before the search."""
    return [name for name in speed_dimensions(entry) if isinstance(entry.search.get(name), Range)]


def grid(entry: ModelEntry) -> list[dict[str, Scalar]]:
    """The settings at which an entry is timed: each choice, and five points of a range."""
    names = speed_dimensions(entry)
    axes = [_axis(entry.search.get(name) or entry.factors[name]) for name in names]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*axes)]


def _axis(dimension: Range | Choices) -> list[Scalar]:
    if not isinstance(dimension, Range):
        return list(dimension)
    points = np.linspace(dimension.low, dimension.high, GRID_POINTS)
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return [int(value) for value in np.unique(points.round())]
    return [float(value) for value in points]


def check_grid(spec: StudySpec, where: str) -> None:
    """Speed is interpolated along one range at most: two would need a grid that takes too long to time."""
    for model, entry in spec.models.items():
        if len(ranged := ranged_speed_dimensions(entry)) > 1:
            raise UserError(
                f"{where}: models.{model}.search: {' and '.join(ranged)} are ranges that change the speed; "
                "give all but one as a list of choices"
            )


def timings(ledger: Ledger, entry: str, phase: str) -> list[IsolatedTiming]:
    """The timings that a trial of this phase may use: a confirm trial also has those of its own phase, last."""
    usable = [timing for timing in ledger.timings if timing.model == entry and timing.phase in (PROFILE, phase)]
    return sorted(usable, key=lambda timing: timing.phase == phase)


def setting_costs(
    ledger: Ledger,
    entry_name: str,
    settings: dict[str, Scalar],
    phase: str,
    engine: str = EAGER,
    names: Sequence[str] = (),
) -> dict[str, float]:
    """The isolated figures of an entry at these settings in an engine, all that trials inherit or those of these names; those
    of training are eager's.

    {} where the entry was not timed, or the engine is refused here or, between two points, anywhere along the range.

    An exact timing counts; else the values are interpolated along the one ranged dimension. Interpolation is linear
    between points that are first made monotone (isotonic regression): noise must not make a model that does less work
    look slower. Figures that a timing lacks, as those of an older version do, are left out.
    """
    entry, measured = ledger.spec.models[entry_name], list(names) or figures.measured(ledger.spec.task)
    point = {name: settings[name] for name in speed_dimensions(entry)}
    usable = timings(ledger, entry_name, phase)
    if exact := [timing for timing in usable if timing.point == point]:
        return _figures(exact[-1], engine, measured)
    ranged = ranged_speed_dimensions(entry)
    others = {name: value for name, value in point.items() if name not in ranged}
    along = {
        float(timing.point[ranged[0]]): _figures(timing, engine, measured)
        for timing in usable
        if ranged and others.items() <= timing.point.items()
    }
    if not along or not all(along.values()):
        return {}
    at, xs = float(point[ranged[0]]), sorted(along)
    known = [name for name in along[xs[0]] if all(name in timed for timed in along.values())]
    curves = {name: monotone([along[x][name] for x in xs]) for name in known}
    return {name: float(np.interp(at, xs, curve)) for name, curve in curves.items()}


def _figures(timing: IsolatedTiming, engine: str, names: Sequence[str]) -> dict[str, float]:
    """What a trial of this setting inherits if it is deployed with this engine; {} where that is refused or was not timed."""
    own = timing.by_engine().get(engine, {REFUSED: ""})
    if REFUSED in own:
        return {}
    whole = timing.figures | own
    return {name: number(whole, name) for name in names if whole.get(name) is not None}


def within_limits(ledger: Ledger, entry: str, settings: dict[str, Scalar], phase: str, engine: str) -> str:
    """Whether an engine in which the entry was timed holds the space's limits at these settings."""
    row = limited(ledger, entry, settings, phase, engine)
    return worst([Limit(name, value).verdict(row) for name, value in ledger.spec.limits.items()])


def limited(
    ledger: Ledger, entry: str, settings: dict[str, Scalar], phase: str, engine: str
) -> dict[str, float | int | str | None]:
    """The figures that have limits, with the ends of their intervals, and what makes the timing doubtful."""
    names = [name for limit in ledger.spec.limits for name in (limit, *ends(limit))] + ["uncertainty"]
    usable = timings(ledger, entry, phase)
    point = {name: settings[name] for name in speed_dimensions(ledger.spec.models[entry])}
    exact = [timing for timing in usable if timing.point == point]
    busy = [timing.by_engine().get(engine, {}).get("busy") for timing in exact or usable]
    known = setting_costs(ledger, entry, settings, phase, engine, names)
    return {**known, "busy": next((str(each) for each in busy if each), None)}


def interpolated_speed(ledger: Ledger, timing: IsolatedTiming, engine: str = EAGER) -> float | None:
    """For a timing of the confirm phase: the speed that the search interpolated there; None where it was timed."""
    timed = any(other.point == timing.point for other in timings(ledger, timing.model, SEARCH))
    if timing.phase == PROFILE or timed:
        return None
    return setting_costs(ledger, timing.model, timing.point, SEARCH, engine).get(ledger.spec.terms.speed)


def monotone(values: list[float]) -> npt.NDArray[np.float64]:
    """The nearest (least squares) sequence that only rises or only falls, in the direction of the ends."""
    from scipy.optimize import isotonic_regression

    return isotonic_regression(values, increasing=values[-1] >= values[0]).x


def deployed(
    ledger: Ledger, entry: str, settings: dict[str, Scalar], phase: str
) -> tuple[str | None, dict[str, float]]:
    """The engine whose speed a trial of these settings has, and its `setting_costs`; (None, {}) where none was timed.

    In the search the fastest one that is not refused, if it can be one that holds the limits; of equals, the first that
    the space lists. A confirmed trial has a row for each engine in engines.csv; its own costs are eager's, as its accuracy is.
    """
    names = [EAGER] if phase == CONFIRM else ledger.spec.engines_of(entry)
    costs = {name: setting_costs(ledger, entry, settings, phase, name) for name in names}
    timed = [name for name in names if costs[name]]
    if not timed:
        return None, {}
    if ledger.spec.limits:
        held = [name for name in timed if within_limits(ledger, entry, settings, phase, name) != NOT]
        timed = held or timed
    fastest = max(timed, key=lambda name: costs[name][ledger.spec.terms.speed])
    return fastest, costs[fastest]


def trial_costs(ledger: Ledger, trial: Trial, data: DataFacts) -> dict[str, float]:
    """The trial's isolated figures, with what its epochs so far (or its budget, before the first) cost alone.

    Adds train_seconds and eval_seconds to the costs of `deployed`; both are of eager PyTorch, which trains and evaluates.
    {} where the entry was not timed.
    """
    settings, entry, phase = ledger.settings(trial), trial.cell.entry, trial.cell.phase
    engine, costs = deployed(ledger, entry, settings, phase)
    if not costs:
        return {}
    task = tasks.named(ledger.spec.task)
    config = task.Config(**split_settings(ledger.spec, settings)[0])
    epochs = len(trial.rows) or trial.epochs
    eager = costs if engine == EAGER else setting_costs(ledger, entry, settings, phase)
    training, evaluation = task.epoch_seconds(config, eager, data.train, data.validation)
    return costs | {"train_seconds": training * epochs, "eval_seconds": evaluation * epochs}


def gains(ledger: Ledger, trial: Trial, data: DataFacts) -> tuple[float, ...] | None:
    """What the trial's whole budget gains in the objectives that are timed alone, each such that more is better.

    () where the study has no such objective, None where its entry was not timed.
    """
    names = [name for name in ledger.spec.objectives if figures.BY_NAME[name].alone]
    costs = trial_costs(ledger, replace(trial, rows=[]), data) if names else {}
    if names and not costs:
        return None
    return tuple(
        costs[name] if more else -costs[name] for name, more in zip(names, figures.maximise(names), strict=True)
    )
