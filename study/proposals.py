"""Which trial comes next: one Optuna study per cell, all cells in step; then the repeats of the confirm phase."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from optuna.samplers import BaseSampler

from record.folder import COMPLETE, CONFIRM, RUNNING, SEARCH
from study import gain, limits, search
from study.cells import Cell
from study.ledger import Ledger, Trial, number
from study.lessons import Lessons
from study.search import Problem, space_filling
from study.search.grid import Point
from study.space.schema import StudySpec
from study.undecided import undecided


class Proposals(Protocol):
    """A source of trials. `next` gives a trial to run, or None where there is none (now, or ever: see `done`)."""

    def next(self) -> Trial | None: ...

    @property
    def done(self) -> bool: ...

    @property
    def total(self) -> int:
        """How many trials the phase has in all, as far as is known."""
        ...


def build_sampler(ledger: Ledger, cell: Cell) -> BaseSampler:
    """The sampler of the cell's next proposal, which follows from the record alone."""
    return _proposal(ledger, cell)[0]


def _proposal(ledger: Ledger, cell: Cell) -> tuple[BaseSampler, str | None]:
    """The sampler, and the trial of an earlier study that the cell's next one learns from, if it does."""
    metric, trials = ledger.spec.terms.validation, ledger.of(cell)
    taught = [_quality(trial, metric) for trial in trials if trial.learnt_from is not None]
    cold = [_quality(trial, metric) for trial in trials if trial.learnt_from is None]
    sampler, lesson = proposal(ledger.spec, ledger.lessons, cell, taught, cold)
    return limits.within(ledger, cell, sampler), lesson


def _quality(trial: Trial, metric: str) -> float | None:
    """As `Lessons.due` takes it."""
    if trial.state == COMPLETE:
        return number(trial.last, metric)
    return math.nan if trial.state == RUNNING else None


def proposal(
    spec: StudySpec, lessons: Lessons, cell: Cell, taught: Sequence[float | None], cold: Sequence[float | None]
) -> tuple[BaseSampler, str | None]:
    """The same from the qualities of the cell's trials so far, as `Lessons.due` takes them.

    Dimensions that a lesson says nothing of take the values that fill the space.
    """
    problem = Problem.of(spec, cell, len(cold), len(taught))
    if lesson := lessons.due(cell.entry, taught, cold, spec.cold_share):
        values = space_filling.build(problem).values | lesson.settings
        return Point(problem.distributions, values), lesson.trial
    if spec.sampler is None:
        return search.build(search.DEFAULT, {}, problem), None
    return search.build(spec.sampler.name, spec.sampler.options, problem), None


class SearchProposals:
    """First the trials that an earlier run left unfinished, then new ones, always for the cell that has the fewest."""

    def __init__(self, ledger: Ledger, deadline: float | None = None, slots: int = 1) -> None:
        """deadline: the time.monotonic() by which the search should end. slots: the trials that run at once."""
        self.ledger, self.deadline, self.slots = ledger, deadline, slots
        self.interrupted = deque(ledger.in_phase(SEARCH, RUNNING))
        self.out_of_time = False
        self.gains_little = gain.has_ended(ledger)
        self.cells = limits.open_cells(ledger)

    @property
    def done(self) -> bool:
        return not self.interrupted and (self.out_of_time or self.gains_little or self._cell() is None)

    @property
    def total(self) -> int:
        return self.ledger.spec.trials * len(self.cells)

    def next(self) -> Trial | None:
        if self.deadline is not None and time.monotonic() + mean_seconds(self.ledger, SEARCH) >= self.deadline:
            self.interrupted.clear()
            self.out_of_time = True
        if self.interrupted:
            return self.interrupted.popleft()
        cell = None if self.out_of_time or self.gains_little else self._cell()
        if cell is None:
            return None
        if gain.ends_search(self.ledger, self.slots):
            self.gains_little = True
            return None
        return self.ledger.ask(cell, *_proposal(self.ledger, cell))

    def _cell(self) -> Cell | None:
        counts = {cell: len(self.ledger.of(cell)) for cell in self.cells}
        cell = min(counts, key=lambda c: counts[c], default=None)
        return cell if cell is not None and counts[cell] < self.ledger.spec.trials else None


class ConfirmProposals:
    """Each candidate with each seed, unless the ledger has it already; then more seeds for those that are undecided."""

    def __init__(self, ledger: Ledger, candidates: list[Trial], deadline: float | None = None, slots: int = 1) -> None:
        """deadline: the time.monotonic() by which added seeds should end. slots: trials that run at once."""
        self.ledger, self.candidates, self.deadline, self.slots = ledger, candidates, deadline, slots
        self.interrupted = deque(ledger.in_phase(CONFIRM, RUNNING))
        self.wanted: deque[tuple[Trial, int]] = deque()
        self.out_of_time = self.settled = False
        self._fill()

    @property
    def done(self) -> bool:
        self._fill()
        return not self.interrupted and not self.wanted and (self.settled or self.out_of_time)

    @property
    def total(self) -> int:
        return len(self.ledger.in_phase(CONFIRM)) + len(self.wanted)

    def next(self) -> Trial | None:
        if self.interrupted:
            return self.interrupted.popleft()
        self._fill()
        return self.ledger.repeat(*self.wanted.popleft()) if self.wanted else None

    def _fill(self) -> None:
        """Fill `wanted` with what the next look lacks, once every trial of the one before it has ended."""
        if self.wanted or self.settled or self.out_of_time:
            return
        recorded = {(trial.candidate, trial.seed) for trial in self.ledger.in_phase(CONFIRM)}
        first = self.ledger.spec.seed + 1  # the search's own seed is not used again
        rivals, looks = self.candidates, self.ledger.spec.confirm.looks
        for look, seeds in enumerate(looks):
            missing = [(c, s) for s in range(first, first + seeds) for c in rivals if (c.name, s) not in recorded]
            self.out_of_time = bool(look and missing) and self._too_late(len(missing))
            self.wanted = deque([] if self.out_of_time else missing)
            self.settled = not rivals or seeds == looks[-1]
            if missing or self.settled or self.ledger.in_phase(CONFIRM, RUNNING):
                return
            rivals = undecided(self.ledger, self.candidates, seeds)

    def _too_late(self, trials: int) -> bool:
        """Whether so many more trials would end after the deadline."""
        rounds = math.ceil(trials / self.slots)
        return (
            self.deadline is not None and time.monotonic() + rounds * mean_seconds(self.ledger, CONFIRM) > self.deadline
        )


def trials_done(ledger: Ledger, phase: str) -> float:
    """Trials done so far, running ones by their share of epochs; epochs saved by early stopping count as done."""
    return sum(len(t.rows) / t.epochs if t.state == RUNNING else 1.0 for t in ledger.in_phase(phase))


def mean_seconds(ledger: Ledger, phase: str) -> float:
    """How long the complete trials of a phase took on average; 0 before the first."""
    durations = [
        (trial.finished - trial.started).total_seconds()
        for trial in ledger.in_phase(phase, COMPLETE)
        if trial.started and trial.finished
    ]
    return sum(durations) / len(durations) if durations else 0.0
