"""What a person sees while a study runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
import time
from collections import Counter

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from record.folder import COMPLETE, FAILED, PRUNED, RUNNING
from study.candidates import best_of_each, front
from study.costs import deployed
from study.ledger import Ledger, Trial
from study.proposals import Proposals
from study.space.dimensions import Scalar


class View:
    """A context in which `changed` may be called for each trial that starts, gets a row or ends."""

    def __init__(self, console: Console, ledger: Ledger, phase: str, proposals: Proposals) -> None:
        self.console, self.ledger, self.phase, self.proposals = console, ledger, phase, proposals
        self.metric = ledger.spec.terms.validation
        self.started = time.monotonic()
        self.done_at_start = self._trials_done()
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=2, transient=True)

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def changed(self, trial: Trial) -> None:
        """Print a line for a trial that starts or ends; the epochs in between get none."""
        if trial.state == RUNNING and trial.rows:
            return
        ended = sum(t.state != RUNNING for t in self.ledger.in_phase(self.phase))
        line = f"{datetime.datetime.now():%H:%M:%S} [{ended}/{self.proposals.total}] {trial.name} {trial.state}"
        if trial.state == RUNNING:
            line += f" {_settings(trial)}"
        elif trial.error:
            line += f": {trial.error}"
        else:
            line += f" {self.metric}={trial.last[self.metric]:.4f} after {len(trial.rows)} epochs"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def render(self) -> Group:
        trials = self.ledger.in_phase(self.phase)
        states = Counter(trial.state for trial in trials)
        counts = ", ".join(f"{states[s]} {s}" for s in (COMPLETE, RUNNING, PRUNED, FAILED) if states[s])
        head = f"{self.phase}: {len(trials)}/{self.proposals.total} trials started ({counts}); {self._expected_end()}"
        return Group(Text(head), self._table(self.ledger.in_phase(self.phase, COMPLETE)))

    def _table(self, complete: list[Trial]) -> Table:
        speed = self.ledger.spec.terms.speed
        unit = speed.removeprefix("inference_").replace("_per_second", "/s")
        table = Table("model", self.metric, "best trial", "settings", f"{unit} alone", "on the front")
        on_front = Counter(trial.cell.entry for trial in front(self.ledger, complete)) if complete else Counter()
        for trial in best_of_each(complete, self.metric, lambda trial: trial.cell.entry):
            entry = trial.cell.entry
            _, costs = deployed(self.ledger, entry, self.ledger.settings(trial), self.phase)
            table.add_row(
                entry,
                f"{trial.last[self.metric]:.4f}",
                trial.name,
                _settings(trial),
                f"{costs[speed]:,.0f}" if costs else "not timed",
                str(on_front[entry]),
            )
        return table

    def _trials_done(self) -> float:
        """Trials done so far, running ones by their share of epochs; epochs saved by early stopping count as done."""
        trials = self.ledger.in_phase(self.phase)
        return sum(len(t.rows) / t.epochs if t.state == RUNNING else 1.0 for t in trials)

    def _expected_end(self) -> str:
        done = self._trials_done()
        if done <= self.done_at_start:
            return "expected end: not known before the first epoch"
        seconds = (time.monotonic() - self.started) * (self.proposals.total - done) / (done - self.done_at_start)
        return f"expected end {datetime.datetime.now() + datetime.timedelta(seconds=seconds):%H:%M:%S}"


def _settings(trial: Trial) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in trial.params.items())


def _short(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
