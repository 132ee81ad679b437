"""Hands out trials and takes their rows back: the one place that writes trials to the ledger during a run. No Ray."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from record.folder import COMPLETE, CONFIRM, FAILED, PRUNED, RUNNING
from study.early_stopping import should_stop
from study.ledger import Ledger, Trial
from study.proposals import Proposals
from study.space.schema import split_settings
from trainables.task import Figures
from trainables.trial_config import TrialConfig


class NoTrial(Enum):
    """Why no trial is handed out."""

    NOW = "none can start before another one has ended"
    LEFT = "every trial of the phase was handed out"


class Dispatcher:
    """One phase's trials: which one starts, what its rows mean for it, and when it ends."""

    def __init__(
        self,
        ledger: Ledger,
        proposals: Proposals,
        values: Callable[[Trial], list[float]],
        on_change: Callable[[Trial], None],
        slots: int,
    ) -> None:
        """values: the objective values of a complete trial. on_change: told of each trial that starts, gets a row or ends.

        slots: the trials that the cluster can run at once.
        """
        self.ledger, self.proposals, self.slots = ledger, proposals, slots
        self.values, self.on_change = values, on_change
        self.handed_out: set[str] = set()

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles all that it is given into a snapshot, and a study is not restored from one."""
        return {}

    @property
    def finished(self) -> bool:
        """Whether every trial of the phase was handed out and has ended."""
        return self.proposals.done and not self.handed_out

    def next_trial(self) -> TrialConfig | NoTrial:
        """The trial to start now, recorded as running."""
        while not self.proposals.done:
            trial = self.proposals.next() if len(self.handed_out) < self.slots else None
            if trial is None:
                return NoTrial.NOW
            # An interrupted trial's last row may call for its end, which the earlier run did not live to write.
            if not trial.rows or not self._conclude(trial):
                self.handed_out.add(trial.name)
                self.on_change(trial)
                return self._config(trial)
        return NoTrial.LEFT

    def report(self, name: str, row: Figures) -> bool:
        """Record one row of a trial; whether the trial has ended with it."""
        trial = self.ledger.trials[name]
        if "error" in row:
            self.fail(name, str(row["error"]))
            return True
        self.ledger.record(trial, row)
        ended = self._conclude(trial)
        if not ended:
            self.on_change(trial)
        return ended

    def fail(self, name: str, error: str) -> None:
        """Record that a trial failed, unless it has ended already."""
        trial = self.ledger.trials[name]
        if trial.state == RUNNING:
            self.ledger.finish(trial, FAILED, error=error)
            self._ended(trial)

    def _conclude(self, trial: Trial) -> bool:
        """Finish the trial if its recorded rows say so; whether it is finished."""
        spec = self.ledger.spec
        rule, metric = spec.early_stopping, spec.terms.validation
        if len(trial.rows) >= trial.epochs:
            self.ledger.finish(trial, COMPLETE, self.values(trial))
        elif rule is not None and should_stop(trial, self.ledger.trials.values(), rule, metric):
            self.ledger.finish(trial, PRUNED)
        else:
            return False
        self._ended(trial)
        return True

    def _ended(self, trial: Trial) -> None:
        self.handed_out.discard(trial.name)
        self.on_change(trial)

    def _config(self, trial: Trial) -> TrialConfig:
        spec = self.ledger.spec
        entry = spec.models[trial.cell.entry]
        training, options = split_settings(spec, self.ledger.settings(trial))
        return TrialConfig(
            trial=trial.name,
            task=spec.task,
            model=entry.model,
            options=options,
            weights=entry.weights,
            training=training | {"epochs": trial.epochs, "seed": trial.seed},
            cpus=entry.resources.cpus,
            gpus=entry.resources.gpus,
            folder=str(self.ledger.folder.path.absolute()),
            checkpoint_seconds=spec.checkpoint_seconds,
            rows_recorded=len(trial.rows),
            test=trial.cell.phase == CONFIRM,
        )
