"""What a person sees while a study runs: a live table in a terminal, plain lines where there is none."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from study.ledger import Ledger, Trial
from study.profile import costs
from study.proposals import best_of_each_model, front


class View:
    """A context in which `changed` may be called for each trial that begins, gets a row or ends."""

    def __init__(self, console: Console, ledger: Ledger, phase: str, metric: str, total_trials: int) -> None:
        self.console, self.ledger, self.phase, self.metric = console, ledger, phase, metric
        self.total = total_trials
        self.begun = time.monotonic()
        self.epochs_before = self._epochs()
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=2, transient=True)

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def changed(self, trial: Trial) -> None:
        """Say so in a line, except for the epochs in between."""
        if trial.state == "running" and trial.rows:
            return
        ended = sum(t.state != "running" for t in self.ledger.in_phase(self.phase))
        line = f"{datetime.datetime.now():%H:%M:%S} [{ended}/{self.total}] {trial.name} {trial.state}"
        if trial.state == "running":
            line += " " + ", ".join(f"{k}={_short(v)}" for k, v in trial.params.items())
        elif trial.error:
            line += f": {trial.error}"
        else:
            line += f" {self.metric}={trial.last[self.metric]:.4f} after {len(trial.rows)} epochs"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def render(self) -> Group:
        trials = self.ledger.in_phase(self.phase)
        states = Counter(trial.state for trial in trials)
        counts = ", ".join(f"{states[s]} {s}" for s in ("complete", "running", "pruned", "failed") if states[s])
        head = Text(f"{self.phase}: {len(trials)}/{self.total} trials begun ({counts}); {self._expected_end()}")
        complete = [trial for trial in trials if trial.state == "complete"]
        on_front = {trial.name for trial in front(self.ledger, complete)} if complete else set()
        speed = self.ledger.spec.terms.speed
        table = Table(
            "model",
            self.metric,
            "best trial",
            "settings",
            f"{speed.removeprefix('inference_').replace('_per_second', '/s')} alone",
            "on the front",
        )
        for trial in best_of_each_model(complete, self.metric):
            figures = costs(self.ledger, trial.cell.entry, self.ledger.settings(trial), trial.cell.phase)
            fronts = sum(t.name in on_front and t.cell.entry == trial.cell.entry for t in complete)
            table.add_row(
                trial.cell.entry,
                f"{trial.last[self.metric]:.4f}",
                trial.name,
                ", ".join(f"{k}={_short(v)}" for k, v in trial.params.items()),
                f"{figures[speed]:,.0f}" if figures else "not timed",
                str(fronts),
            )
        return Group(head, table)

    def _epochs(self) -> float:
        """Epochs that are behind; those that a stopped trial was spared count too."""
        trials = self.ledger.in_phase(self.phase)
        return sum(len(t.rows) / t.epochs if t.state == "running" else 1.0 for t in trials)

    def _expected_end(self) -> str:
        done = self._epochs()
        if done <= self.epochs_before:
            return "expected end: not known before the first epoch"
        left = (time.monotonic() - self.begun) * (self.total - done) / (done - self.epochs_before)
        return f"expected end {datetime.datetime.now() + datetime.timedelta(seconds=left):%H:%M:%S}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
