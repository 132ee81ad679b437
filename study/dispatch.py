"""Hands out trials and takes their rows back: the one place that writes trials to the ledger during a run. No Ray."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from enum import Enum

from models.engines import EAGER
from record.errors import UserError
from record.folder import COMPLETE, CONFIRM, FAILED, PRUNED, RUNNING, UNWRITABLE
from study import early_stopping
from study.ledger import Ledger, Trial, number
from study.proposals import Proposals
from study.space.schema import split_settings
from trainables.task import Figures
from trainables.trial_config import TrialConfig

MAX_INTERRUPTIONS = 3  # worker deaths that a trial survives: more are likely to be its own fault


class NoTrial(Enum):
    """Why no trial is handed out."""

    NOW = "none can start before another one has ended"
    LEFT = "every trial of the phase has ended"


def unfit(problem: str) -> UserError:
    """The end of a study one of whose nodes cannot do its work, so that each trial that came there would be lost."""
    return UserError(f"{problem}; what was computed so far is safe, and --resume continues")


class Dispatcher:
    """One phase's trials: which one starts, what its rows mean for it, and when it ends."""

    def __init__(
        self,
        ledger: Ledger,
        proposals: Proposals,
        values: Callable[[Trial], list[float]],
        gains: early_stopping.Gains,
        on_change: Callable[[Trial], None],
        timeout: Callable[[Trial], float],
        slots: Callable[[], int],
        deadline: float | None = None,
        last_epoch: int | None = None,
    ) -> None:
        """values: the objective values of a complete trial. gains: as early stopping needs them. on_change: told of each
        trial that starts, gets a row or ends.

        timeout: the seconds without a new epoch after which a trial counts as hung. slots: the trials that the cluster
        can run at once, now. deadline: the time.monotonic() at which running trials are interrupted. last_epoch: the one
        after which they are, too.
        """
        self.ledger, self.proposals, self.slots = ledger, proposals, slots
        self.values, self.gains, self.on_change = values, gains, on_change
        self.timeout, self.deadline, self.last_epoch = timeout, deadline, last_epoch
        self.handed_out: dict[str, float] = {}  # name -> time.monotonic() of its last sign of life
        self.again: deque[Trial] = deque()  # their workers died

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles all that it is given into a snapshot, and a study is not restored from one."""
        return {}

    @property
    def finished(self) -> bool:
        """Whether every trial of the phase was handed out and has ended."""
        return self.proposals.done and not self.handed_out and not self.again

    def next_trial(self) -> TrialConfig | NoTrial:
        """The trial to start now, recorded as running."""
        while len(self.handed_out) < self.slots() and (trial := self._next()):
            # An interrupted trial's last row may call for its end, which the earlier run did not live to write.
            if not trial.rows or not self._conclude(trial):
                self.handed_out[trial.name] = time.monotonic()
                self.on_change(trial)
                return self._config(trial)
        return NoTrial.LEFT if self.finished else NoTrial.NOW

    def _next(self) -> Trial | None:
        if self._out_of_time(0):
            self.again.clear()
        if self.again:
            return self.again.popleft()
        return None if self.proposals.done else self.proposals.next()

    def started(self, name: str) -> None:
        """Note that a worker begins with the trial: its time limit counts from now."""
        if name in self.handed_out:
            self.handed_out[name] = time.monotonic()

    def report(self, name: str, row: Figures) -> bool:
        """Record one row of a trial; whether its worker is to stop.

        Raises OSError where the system did not let the worker write what it had computed, UserError where its node is not
        fit for the study.
        """
        trial = self.ledger.trials[name]
        if "unfit" in row:
            raise unfit(str(row["unfit"]))
        if "error" in row:
            if "errno" in row and (code := int(number(row, "errno"))) in UNWRITABLE:
                raise OSError(code, os.strerror(code))
            self.fail(name, str(row["error"]), str(row["traceback"]) if "traceback" in row else None)
            return True
        seconds = time.monotonic() - self.handed_out[name]
        self.handed_out[name] = time.monotonic()
        self.ledger.record(trial, row | self._decision(trial, row))
        if self._conclude(trial):
            return True
        self.on_change(trial)
        if self._out_of_time(seconds) or len(trial.rows) == self.last_epoch:
            del self.handed_out[name]
            return True
        return False

    def _decision(self, trial: Trial, row: Figures) -> Figures:
        rule, metric = self.ledger.spec.early_stopping, self.ledger.spec.terms.validation
        if rule is None or number(row, "epoch") <= len(trial.rows):
            return {}
        decision = early_stopping.decide(trial, row, self.ledger.of_entry(trial.cell.entry), rule, metric, self.gains)
        return {} if decision is None else {"decision": decision}

    def _out_of_time(self, seconds: float) -> bool:
        """Whether what takes so long would end after the deadline."""
        return self.deadline is not None and time.monotonic() + seconds >= self.deadline

    def worker_died(self, name: str, reason: str) -> None:
        """Hand the trial out again, unless it was silent for too long, or its workers die again and again."""
        trial = self.ledger.trials[name]
        if name not in self.handed_out:
            return
        limit, silent = self.timeout(trial), time.monotonic() - self.handed_out[name]
        if silent >= limit:
            where = self.ledger.folder.traceback(name)
            hung = where.read_text(errors="replace") if where.exists() else None
            self.fail(name, f"no epoch within {limit:g} s" + (f"; where it hung: {where}" if hung else ""), hung)
            return
        self.ledger.count_interruption(trial)
        if trial.interruptions > MAX_INTERRUPTIONS:
            self.fail(name, f"its worker died {trial.interruptions} times, the last time: {reason}")
            return
        del self.handed_out[name]
        self.again.append(trial)

    def fail(self, name: str, error: str, traceback: str | None = None) -> None:
        """Record that a trial failed, unless it has ended already."""
        trial = self.ledger.trials[name]
        if trial.state == RUNNING:
            self.ledger.finish(trial, FAILED, error=error, traceback=traceback)
            self._ended(trial)

    def _conclude(self, trial: Trial) -> bool:
        """Finish the trial if its recorded rows say so; whether it is finished."""
        if len(trial.rows) >= trial.epochs:
            self.ledger.finish(trial, COMPLETE, self.values(trial))
        elif trial.last.get("decision") == early_stopping.STOP:
            self.ledger.finish(trial, PRUNED)
        else:
            return False
        self._ended(trial)
        return True

    def _ended(self, trial: Trial) -> None:
        self.handed_out.pop(trial.name, None)
        self.on_change(trial)

    def _engines(self, trial: Trial) -> list[str]:
        names = self.ledger.spec.engines_of(trial.cell.entry) if trial.cell.phase == CONFIRM else []
        return [name for name in names if name != EAGER]

    def _config(self, trial: Trial) -> TrialConfig:
        spec = self.ledger.spec
        entry = spec.models[trial.cell.entry]
        training, options = split_settings(spec, self.ledger.settings(trial))
        return TrialConfig(
            trial=trial.name,
            study=self.ledger.identity,
            task=spec.task,
            model=entry.model,
            options=options,
            weights=entry.weights,
            training=training | {"epochs": trial.epochs, "seed": trial.seed},
            cpus=entry.resources.cpus,
            gpus=entry.resources.gpus,
            folder=str(self.ledger.folder.path.absolute()),
            checkpoint_seconds=spec.checkpoint_seconds,
            timeout_seconds=self.timeout(trial),
            rows_recorded=len(trial.rows),
            test=trial.cell.phase == CONFIRM,
            engines=self._engines(trial),
        )
