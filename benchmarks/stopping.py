"""What early stopping keeps and saves, where the truth is known: whole searches on surfaces.py, four trials at a time.

python -m benchmarks.stopping [--studies 50]

A front member is a trial that no other trial of its study dominates in true accuracy and speed. "On accuracy alone" is
successive halving that knows nothing of speed: the best third of a model's trials with the same train size goes on.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import optuna
from optuna.samplers import RandomSampler

from benchmarks.figure import Figure, at_least, at_most, show
from benchmarks.surfaces import COMPARE, TRADEOFF, TRADEOFF_SEARCHED, Floats, Outcome, Surface, Trained, spec
from record.folder import COMPLETE, PRUNED
from record.pareto import pareto_mask
from study import early_stopping, search
from study.cells import Cell, cells, directions
from study.early_stopping import Gains
from study.ledger import OPTUNA_STATES, Trial, number
from study.search import Problem
from study.space.schema import EarlyStopping, StudySpec
from trainables.task import Figures

WORKERS = 4
RULE = EarlyStopping(grace_epochs=2, reduction_factor=3)  # of cifar_compare and tome_tradeoff
MIN_SURVIVAL, MAX_EPOCHS = 0.95, 0.75
Decide = Callable[[Trial, Figures, Iterable[Trial], EarlyStopping, str, Gains], str | None]


class Kind(NamedTuple):
    """One kind of study: its surface, trials per cell, and whether train_seconds is an objective."""

    surface: Surface
    trials: int
    priced: bool


KINDS = (
    Kind(COMPARE, 12, True),
    Kind(TRADEOFF, 5, False),
    Kind(TRADEOFF_SEARCHED, 30, False),
    Kind(Trained(), 12, True),
)


def on_accuracy_alone(
    trial: Trial, row: Figures, trials: Iterable[Trial], rule: EarlyStopping, metric: str, _: Gains
) -> str | None:
    """What `early_stopping.decide` is compared with."""
    epoch = int(number(row, "epoch"))
    if epoch >= trial.epochs or not early_stopping.is_rung(epoch, rule):
        return None
    peers = [
        number(peer.rows[epoch - 1], metric)
        for peer in trials
        if peer is not trial and len(peer.rows) >= epoch and peer.cell.entry == trial.cell.entry
        if peer.params.get("train_size") == trial.params.get("train_size")
    ]
    share = (len(peers) + 1) // rule.reduction_factor
    ahead = sum(peer > number(row, metric) for peer in peers)
    return early_stopping.STOP if share and ahead >= share else early_stopping.CONTINUE


@dataclass
class Training:
    """A trial with the curve that it follows."""

    trial: Trial
    proposal: optuna.Trial
    curve: Floats
    truth: Outcome

    @property
    def epoch_seconds(self) -> float:
        return self.truth.train_seconds / len(self.curve)


@dataclass
class Study:
    """One search with early stopping, epoch by epoch."""

    whole: StudySpec
    surface: Surface
    seed: int
    decide: Decide = early_stopping.decide
    trainings: dict[str, Training] = field(default_factory=dict)

    def run(self) -> None:
        studies = {cell: optuna.create_study(directions=directions(self.whole)) for cell in cells(self.whole)}
        waiting = iter([(cell, n) for n in range(self.whole.trials) for cell in studies])
        events: list[tuple[float, str]] = []

        def start(now: float) -> None:
            if (next_one := next(waiting, None)) is not None:
                training = self._start(studies[next_one[0]], *next_one)
                heapq.heappush(events, (now + training.epoch_seconds, training.trial.name))

        for _ in range(WORKERS):
            start(0.0)
        while events:
            now, name = heapq.heappop(events)
            training = self.trainings[name]
            if self._epoch(training):
                heapq.heappush(events, (now + training.epoch_seconds, name))
            else:
                values = self._values(training) if training.trial.state == COMPLETE else None
                studies[training.trial.cell].tell(training.proposal, values, OPTUNA_STATES[training.trial.state])
                start(now)

    def _start(self, study: optuna.Study, cell: Cell, number: int) -> Training:
        problem = Problem.of(self.whole, cell, number)
        study.sampler = search.build(search.DEFAULT, {}, problem)
        proposal = study.ask(dict(problem.distributions))
        study.sampler = RandomSampler()
        params = proposal.params | dict(cell.factors)
        settings = self.whole.models[cell.entry].settings | params
        trial = Trial(f"{cell.name}-{number:03d}", cell, params, self.seed, self.surface.epochs)
        curve = self.surface.curve(cell.entry, settings, np.random.default_rng(problem.trial_seed))
        training = Training(trial, proposal, curve, self.surface.truth(cell.entry, settings))
        self.trainings[trial.name] = training
        return training

    def _epoch(self, training: Training) -> bool:
        """The next epoch of a trial; whether it goes on."""
        trial, epoch = training.trial, len(training.trial.rows) + 1
        row: Figures = {"epoch": epoch, self.whole.terms.validation: float(training.curve[epoch - 1])}
        trials = [other.trial for other in self.trainings.values()]
        decision = self.decide(trial, row, trials, RULE, self.whole.terms.validation, self._gains)
        trial.rows.append(row)
        if epoch == trial.epochs:
            trial.state = COMPLETE
        elif decision == early_stopping.STOP:
            trial.state = PRUNED
        return trial.state not in (COMPLETE, PRUNED)

    def _gains(self, trial: Trial) -> tuple[float, ...]:
        truth = self.trainings[trial.name].truth
        return (truth.speed, -truth.train_seconds)[: len(self.whole.objectives) - 1]

    def _values(self, training: Training) -> list[float]:
        return [float(training.curve[-1]), training.truth.speed, training.truth.train_seconds][
            : len(self.whole.objectives)
        ]


class Outturn(NamedTuple):
    members: int  # of the true front
    survivors: int  # of them
    epochs: float  # share of the budget that was trained


def outturn(kind: Kind, seed: int, decide: Decide = early_stopping.decide) -> Outturn:
    study = Study(spec(kind.surface, kind.trials, seed, kind.priced), kind.surface, seed, decide)
    study.run()
    every = list(study.trainings.values())
    front = pareto_mask([(t.truth.accuracy, t.truth.speed) for t in every], [True, True])
    members = [training for training, on_front in zip(every, front, strict=True) if on_front]
    survivors = sum(training.trial.state == COMPLETE for training in members)
    epochs = sum(len(training.trial.rows) for training in every) / sum(training.trial.epochs for training in every)
    return Outturn(len(members), survivors, epochs)


def run(studies: int = 10) -> Iterator[Figure]:
    for kind in KINDS:
        now, before = (
            np.array([outturn(kind, seed, decide) for seed in range(studies)]).sum(axis=0)
            for decide in (early_stopping.decide, on_accuracy_alone)
        )
        name, note = kind.surface.name, f" (on accuracy alone {before[1] / before[0]:.2f})"
        yield at_least(
            f"{name}: members of the true front that early stopping keeps", now[1] / now[0], MIN_SURVIVAL, "", note
        )
        note = f" (on accuracy alone {before[2] / studies:.2f})"
        yield at_most(f"{name}: epochs that it trains", now[2] / studies, MAX_EPOCHS, " of the budget", note)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=50)
    show(run(parser.parse_args().studies))
