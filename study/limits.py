"""Which settings and cells can hold the limits of a space, by what was timed alone; trials are spent on those alone.

Known before any training, so settings that break a limit are not proposed: a sampler that learns from constraints would
first have to train some that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from record.errors import UserError
from record.folder import SEARCH
from record.limits import CERTAINLY, NOT, PERHAPS, Limit, best, measured
from study import costs
from study.cells import Cell, cells, distributions
from study.ledger import Ledger, Trial
from study.space.dimensions import Scalar
from study.space.schema import StudySpec


def limits(spec: StudySpec) -> list[Limit]:
    return [Limit(name, value) for name, value in spec.limits.items()]


def verdict(ledger: Ledger, entry: str, settings: Mapping[str, Scalar]) -> str:
    """Whether an entry holds all limits at these settings, in the best of its engines; PERHAPS where it was not timed."""
    engines = _engines(ledger, entry, settings)
    return best([costs.within_limits(ledger, entry, dict(settings), SEARCH, engine) for engine in engines])


def _engines(ledger: Ledger, entry: str, settings: Mapping[str, Scalar]) -> list[str]:
    """Those that were timed at these settings."""
    every = ledger.spec.engines_of(entry)
    return [name for name in every if costs.setting_costs(ledger, entry, dict(settings), SEARCH, name)]


def of_trial(ledger: Ledger, trial: Trial) -> str:
    return verdict(ledger, trial.cell.entry, ledger.settings(trial))


def of_cell(ledger: Ledger, cell: Cell) -> str:
    """The verdict on the best of the settings that a cell is timed at."""
    return best([verdict(ledger, cell.entry, point) for point in _points(ledger.spec, cell)])


def open_cells(ledger: Ledger) -> list[Cell]:
    """The cells that can hold the limits: all of them before anything was timed."""
    every = cells(ledger.spec)
    return [cell for cell in every if of_cell(ledger, cell) != NOT] if ledger.spec.limits else every


def report(ledger: Ledger) -> list[str]:
    """A line for each cell that may break or cannot hold the limits."""
    words = {PERHAPS: "is perhaps", NOT: "is left out, not"}
    verdicts = {cell: of_cell(ledger, cell) for cell in cells(ledger.spec)} if ledger.spec.limits else {}
    return [
        f"limits: {cell.name} {words[found]} {_nearest(ledger, cell)[1]}"
        for cell, found in verdicts.items()
        if found != CERTAINLY
    ]


def check(ledger: Ledger) -> None:
    """Raise UserError where no cell can hold the limits."""
    if open_cells(ledger):
        return
    (_, how), cell = min((_nearest(ledger, cell), cell.name) for cell in cells(ledger.spec))
    raise UserError(
        f"{ledger.folder.path}: no model can hold the limits; the nearest is {cell}, not {how}; "
        "to go on with another limit: --resume --set limits.NAME=VALUE"
    )


def _nearest(ledger: Ledger, cell: Cell) -> tuple[float, str]:
    """Of the setting that comes nearest to holding all limits: by which factor it is beyond one, and that in words."""
    found = []
    engines = [(point, name) for point in _points(ledger.spec, cell) for name in _engines(ledger, cell.entry, point)]
    for point, engine in engines:
        row = costs.limited(ledger, cell.entry, point, SEARCH, engine)
        excess, limit = max(((limit.excess(row), limit) for limit in limits(ledger.spec)), key=lambda each: each[0])
        searched = ledger.spec.models[cell.entry].search
        at = "".join(f", {name} {value}" for name, value in point.items() if name in searched)
        at += f", in {engine}" if len(ledger.spec.engines_of(cell.entry)) > 1 else ""
        found.append((excess, f"{limit}: {measured(limit.name, row)}{at}"))
    return min(found)


def _points(spec: StudySpec, cell: Cell) -> list[dict[str, Scalar]]:
    """The settings that the cell is timed at."""
    factors = dict(cell.factors)
    grid = costs.grid(spec.models[cell.entry])
    return [point for point in grid if all(factors.get(name, value) == value for name, value in point.items())]


def within(ledger: Ledger, cell: Cell, sampler: BaseSampler) -> BaseSampler:
    """The sampler, with settings that can hold the limits in place of those that cannot."""
    if not ledger.spec.limits:
        return sampler
    searched, points = distributions(ledger.spec.models[cell.entry]), _points(ledger.spec, cell)
    holding = [point for point in points if verdict(ledger, cell.entry, point) != NOT]
    if not holding or len(holding) == len(points):
        return sampler
    turn = holding[len(ledger.of(cell)) % len(holding)]
    return WithinLimits(sampler, ledger, cell, searched, {k: v for k, v in turn.items() if k in searched})


class WithinLimits(BaseSampler):
    """Proposes what another sampler does; where that breaks a limit, with the dimensions that change the speed at
    `instead`, one of the timed settings that can hold it. All other dimensions stay as they were proposed."""

    def __init__(
        self,
        inner: BaseSampler,
        ledger: Ledger,
        cell: Cell,
        searched: dict[str, BaseDistribution],
        instead: dict[str, Scalar],
    ) -> None:
        self.inner, self.ledger, self.cell, self.searched, self.instead = inner, ledger, cell, searched, instead

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.searched

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        space = self.inner.infer_relative_search_space(study, trial)
        values = self.inner.sample_relative(study, trial, space)
        for name, distribution in search_space.items():
            if name not in values:
                values = values | {name: self.inner.sample_independent(study, trial, name, distribution)}
        fixed = self.ledger.spec.models[self.cell.entry].settings | dict(self.cell.factors)
        breaks = verdict(self.ledger, self.cell.entry, fixed | values) == NOT
        return values | self.instead if breaks else values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(study, trial, param_name, param_distribution)
