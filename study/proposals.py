"""Which trial comes next: one Optuna study per cell, all cells in step; then the repeats of the confirm phase."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from optuna.samplers import BaseSampler

from record.folder import COMPLETE, CONFIRM, RUNNING, SEARCH
from study import search
from study.cells import Cell, cells
from study.ledger import Ledger, Trial
from study.search import Problem


class Proposals(Protocol):
    """A source of trials. `next` gives a trial to run, or None where there is none (now, or ever: see `done`)."""

    def next(self) -> Trial | None: ...

    @property
    def done(self) -> bool: ...


def build_sampler(ledger: Ledger, cell: Cell) -> BaseSampler:
    """The sampler of the cell's next proposal, which follows from the record alone."""
    spec = ledger.spec
    problem = Problem.of(spec, cell, len(ledger.of(cell)))
    if spec.sampler is None:
        return search.build(search.DEFAULT, {}, problem)
    return search.build(spec.sampler.name, spec.sampler.options, problem)


class SearchProposals:
    """First the trials that an earlier run left unfinished, then new ones, always for the cell that has the fewest."""

    def __init__(self, ledger: Ledger, deadline: float | None = None) -> None:
        """deadline: the time.monotonic() by which the search should end."""
        self.ledger, self.deadline = ledger, deadline
        self.interrupted = deque(ledger.in_phase(SEARCH, RUNNING))
        self.out_of_time = False

    @property
    def done(self) -> bool:
        return not self.interrupted and (self.out_of_time or self._cell() is None)

    def next(self) -> Trial | None:
        if self.deadline is not None and time.monotonic() + self._mean_trial_seconds() >= self.deadline:
            self.interrupted.clear()
            self.out_of_time = True
        if self.interrupted:
            return self.interrupted.popleft()
        cell = None if self.out_of_time else self._cell()
        return self.ledger.ask(cell, build_sampler(self.ledger, cell)) if cell else None

    def _cell(self) -> Cell | None:
        counts = {cell: len(self.ledger.of(cell)) for cell in cells(self.ledger.spec)}
        cell = min(counts, key=lambda c: counts[c])
        return cell if counts[cell] < self.ledger.spec.trials else None

    def _mean_trial_seconds(self) -> float:
        """How long the complete trials took on average; 0 before the first."""
        durations = [
            (trial.finished - trial.started).total_seconds()
            for trial in self.ledger.in_phase(SEARCH, COMPLETE)
            if trial.started and trial.finished
        ]
        return sum(durations) / len(durations) if durations else 0.0


class ConfirmProposals:
    """Each candidate with each seed, unless the ledger has it already."""

    def __init__(self, ledger: Ledger, candidates: list[Trial]) -> None:
        self.ledger = ledger
        self.interrupted = deque(ledger.in_phase(CONFIRM, RUNNING))
        recorded = {(trial.candidate, trial.seed) for trial in ledger.in_phase(CONFIRM)}
        first = ledger.spec.seed + 1  # the search's own seed is not used again
        seeds = range(first, first + ledger.spec.confirm.seeds)
        self.wanted = deque((c, seed) for seed in seeds for c in candidates if (c.name, seed) not in recorded)

    @property
    def done(self) -> bool:
        return not self.interrupted and not self.wanted

    def next(self) -> Trial | None:
        if self.interrupted:
            return self.interrupted.popleft()
        return self.ledger.repeat(*self.wanted.popleft()) if self.wanted else None
