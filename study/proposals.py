"""Which trial comes next: one Optuna study for each cell, all cells in step; then the confirm phase's repeats."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

import numpy as np
import optuna

from record import figures
from record.pareto import pareto_mask
from study.ledger import Cell, Ledger, Trial, cells


class Proposals(Protocol):
    """A source of trials. `next` gives a trial to run, or None where there is none (now, or ever: see `done`)."""

    def next(self) -> Trial | None: ...

    @property
    def done(self) -> bool: ...


def sampler(ledger: Ledger, cell: Cell) -> optuna.samplers.BaseSampler:
    """TPE seeded by the study's seed, the cell and the trial's number: what it proposes follows from the record alone.

    The first half of a cell's trials (10 at most) is random: TPE needs something to learn from.
    """
    number = len(ledger.of(cell))
    seed = np.random.SeedSequence([ledger.spec.seed, cells(ledger.spec).index(cell), number]).generate_state(1)[0]
    start = min(10, max(1, ledger.spec.trials // 2))
    return optuna.samplers.TPESampler(multivariate=True, n_startup_trials=start, seed=int(seed))


class SearchProposals:
    """First the trials that an earlier run left unfinished, then new ones, always for the cell that has the fewest."""

    def __init__(self, ledger: Ledger, deadline: float | None = None) -> None:
        """deadline: the time.monotonic() by which the search should end."""
        self.ledger, self.deadline = ledger, deadline
        self.interrupted = deque(ledger.running("search"))
        self.out_of_time = False

    @property
    def done(self) -> bool:
        return not self.interrupted and (self.out_of_time or self._cell() is None)

    def next(self) -> Trial | None:
        if self.deadline is not None and not self._in_time():
            self.interrupted.clear()
            self.out_of_time = True
        if self.interrupted:
            return self.interrupted.popleft()
        cell = None if self.out_of_time else self._cell()
        return self.ledger.ask(cell, sampler(self.ledger, cell)) if cell else None

    def _cell(self) -> Cell | None:
        counts = {cell: len(self.ledger.of(cell)) for cell in cells(self.ledger.spec)}
        cell = min(counts, key=lambda c: counts[c])
        return cell if counts[cell] < self.ledger.spec.trials else None

    def _in_time(self) -> bool:
        """Whether a trial as long as the average one that has run would end before the deadline."""
        assert self.deadline is not None
        spans = [
            (t.finished - t.started).total_seconds()
            for t in self.ledger.in_phase("search")
            if t.state == "complete" and t.started and t.finished
        ]
        return time.monotonic() + (sum(spans) / len(spans) if spans else 0.0) < self.deadline


class ConfirmProposals:
    """Each candidate with each seed, unless the ledger has it already."""

    def __init__(self, ledger: Ledger, candidates: list[Trial]) -> None:
        self.ledger = ledger
        self.interrupted = deque(ledger.running("confirm"))
        have = {(trial.candidate, trial.seed) for trial in ledger.in_phase("confirm")}
        first = ledger.spec.seed + 1  # the search's own seed is not used again
        seeds = range(first, first + ledger.spec.confirm.seeds)
        self.wanted = deque((c, seed) for seed in seeds for c in candidates if (c.name, seed) not in have)

    @property
    def done(self) -> bool:
        return not self.interrupted and not self.wanted

    def next(self) -> Trial | None:
        if self.interrupted:
            return self.interrupted.popleft()
        return self.ledger.repeat(*self.wanted.popleft()) if self.wanted else None


def front(ledger: Ledger, trials: list[Trial]) -> list[Trial]:
    """The trials that no other one beats in every objective."""
    maximise = figures.maximise(ledger.spec.objectives)
    mask = pareto_mask(np.array([trial.values for trial in trials], dtype=float), maximise)
    return [trial for trial, on in zip(trials, mask, strict=True) if on]


def best_of_each_model(trials: list[Trial], metric: str) -> list[Trial]:
    """The trial of each model entry with the highest `metric`."""
    best: dict[str, Trial] = {}
    for trial in trials:
        other = best.get(trial.cell.entry)
        if other is None or trial.last[metric] > other.last[metric]:
            best[trial.cell.entry] = trial
    return list(best.values())


def candidates(ledger: Ledger, metric: str) -> list[Trial]:
    """What the confirm phase trains again: each model's best, then the front, evenly over its accuracies."""
    complete = [trial for trial in ledger.in_phase("search") if trial.state == "complete"]
    if not complete:
        return []
    chosen = best_of_each_model(complete, metric)
    others = sorted((t for t in front(ledger, complete) if t not in chosen), key=lambda t: t.last[metric])
    room = min(len(others), max(0, ledger.spec.confirm.candidates - len(chosen)))
    spread: list[int] = np.linspace(len(others) - 1, 0, room).round().astype(int).tolist() if room else []
    return chosen + [others[i] for i in spread]
