"""What a person sees while a study runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
import threading
import time
from collections import Counter

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from record.folder import COMPLETE, FAILED, PRUNED, RUNNING
from record.ledger import Stage
from study.candidates import best_of_each, front
from study.costs import deployed
from study.ledger import Ledger, Trial
from study.proposals import Proposals, trials_done
from study.space.dimensions import Scalar

QUIET_SECONDS = 60.0  # in a log, after which a line says how far the running trials are
MAX_RUNNING = 12  # running trials that a terminal shows


class View:
    """A context in which `changed` may be called for each trial that starts, gets a row or ends."""

    def __init__(
        self, console: Console, ledger: Ledger, stage: Stage, proposals: Proposals, quiet_seconds: float = QUIET_SECONDS
    ) -> None:
        self.console, self.ledger, self.stage, self.proposals = console, ledger, stage, proposals
        self.phase, self.metric = stage.phase, ledger.spec.terms.validation
        self.ended_trials = {trial.name for trial in ledger.in_phase(self.phase) if trial.state != RUNNING}
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=2, transient=True)
        self.quiet_seconds, self.last_line, self.ended = quiet_seconds, time.monotonic(), threading.Event()
        self.log = threading.Thread(target=self._log, name="log", daemon=True)

    def __enter__(self) -> View:
        (self.live if self.console.is_terminal else self.log).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        if self.console.is_terminal:
            self.live.stop()
        else:
            self.log.join()

    def changed(self, trial: Trial) -> None:
        """Print a line for a trial that starts or ends; the epochs in between get none."""
        if trial.state == RUNNING and trial.rows:
            return
        if trial.state != RUNNING:
            self.ended_trials.add(trial.name)
        line = f"[{len(self.ended_trials)}/{self.proposals.total}] {trial.name} {trial.state}"
        if trial.state == RUNNING:
            line += f" {_settings(trial)}"
        elif trial.error:
            line += f": {trial.error}"
        else:
            line += f" {self._quality(trial)} after {len(trial.rows)} epochs"
        self._print(line)

    def _print(self, line: str) -> None:
        self.last_line = time.monotonic()
        line = f"{datetime.datetime.now():%H:%M:%S} {line}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _log(self) -> None:
        """In a log nobody sees a table that changes: a line where nothing else was printed for a while."""
        while not self.ended.wait(max(self.last_line + self.quiet_seconds - time.monotonic(), 0.01)):
            if time.monotonic() - self.last_line >= self.quiet_seconds:
                running = [f"{t.name} {_epoch(t)} {self._quality(t)}".rstrip() for t in self._running()]
                self._print("; ".join([self._head(), *running]))

    def render(self) -> Group:
        return Group(Text(self._head()), self._running_table(), self._table(self.ledger.in_phase(self.phase, COMPLETE)))

    def _head(self) -> str:
        trials = self.ledger.in_phase(self.phase)
        states = Counter(trial.state for trial in trials)
        counts = ", ".join(f"{states[s]} {s}" for s in (COMPLETE, RUNNING, PRUNED, FAILED) if states[s])
        return f"{self.phase}: {len(trials)}/{self.proposals.total} trials started ({counts}); {self._expected_end()}"

    def _running(self) -> list[Trial]:
        """The trials that were handed out, not those that an earlier run left."""
        return self.ledger.in_phase(self.phase, RUNNING)

    def _quality(self, trial: Trial) -> str:
        value = trial.last.get(self.metric)
        return f"{self.metric}={value:.4f}" if isinstance(value, float) else ""

    def _running_table(self) -> Table:
        bars = Column(min_width=4, max_width=20)
        table = Table(_name(), _name(), bars, _name(), box=None, padding=(0, 2, 0, 0), show_header=False)
        running = self._running()
        for trial in running[:MAX_RUNNING]:
            bar = ProgressBar(trial.epochs, len(trial.rows))
            table.add_row(trial.name, _epoch(trial), bar, self._quality(trial).removeprefix(f"{self.metric}="))
        if len(running) > MAX_RUNNING:
            table.add_row(f"... and {len(running) - MAX_RUNNING} more")
        return table

    def _table(self, complete: list[Trial]) -> Table:
        speed = self.ledger.spec.terms.speed
        unit = speed.removeprefix("inference_").replace("_per_second", "/s")
        settings = Column("settings", overflow="fold")
        table = Table(_name("model"), self.metric, _name("best trial"), settings, f"{unit} alone", "on the front")
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

    def _expected_end(self) -> str:
        seconds = self.stage.remaining_seconds(trials_done(self.ledger, self.phase), time.time(), self.proposals.total)
        if seconds is None:
            return "expected end: not known before the first epoch"
        return f"expected end {datetime.datetime.now() + datetime.timedelta(seconds=seconds):%H:%M:%S}"


def _name(header: str = "") -> Column:
    """A column of names, which are not cut."""
    return Column(header, no_wrap=True, overflow="fold")


def _epoch(trial: Trial) -> str:
    return f"epoch {len(trial.rows)} of {trial.epochs}"


def _settings(trial: Trial) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in trial.params.items())


def _short(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
