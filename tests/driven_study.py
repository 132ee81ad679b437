"""Studies for those who look on: a real ledger without Ray, as its driver writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from record import contents
from record.ledger import Stage
from study import environment, recorded
from study.cells import cells
from study.ledger import Ledger, Trial
from study.proposals import build_sampler
from study.space.reading import resolve

SPACE = {
    "description": "one model",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy"],
    "phases": ["search", "confirm"],
    "trials": 6,
    "confirm": {"seeds": 1, "candidates": 1},
    "models": {"resnet18": {"epochs": 4, "search": {"lr": {"low": 1e-3, "high": 1e-1}}}},
}
TRACEBACK = 'Traceback (most recent call last):\n  File "loop.py", line 3\nValueError: <b>bad</b>\n'


class Driven:
    """A study that this process drives: two trials done, one failed, one running in its second epoch."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        ledger.hold()
        recorded.write(ledger)
        recorded.begin(ledger, Stage("search", 6, 0.0, time.time() - 60, {"search": 120.0, "confirm": 30.0}))
        contents.write_spec(ledger.folder, ledger.spec.model_dump(mode="json"))
        self.write_environment()
        for accuracy in (0.5, 0.75):
            self.train(self.ask(), 4, accuracy)
        self.failed, self.running = self.ask(), self.ask()
        ledger.finish(self.failed, "failed", error="ValueError: <b>bad</b>", traceback=TRACEBACK)
        self.train(self.running, 2, 0.25)

    def write_environment(self, **changes: object) -> None:
        known = {"identity": self.ledger.identity, "storage": self.ledger.address}
        content = environment.describe() | known | changes
        contents.write_environment(self.ledger.folder, content)

    def ask(self) -> Trial:
        [cell] = cells(self.ledger.spec)
        return self.ledger.ask(cell, build_sampler(self.ledger, cell))

    def train(self, trial: Trial, epochs: int, accuracy: float) -> None:
        for epoch in range(len(trial.rows) + 1, epochs + 1):
            took = {"train_seconds": 2.0, "eval_seconds": 0.5}
            self.ledger.record(trial, {"epoch": epoch, "val_accuracy": accuracy, "train_loss": 1 / epoch, **took})
        if epochs == trial.epochs:
            self.ledger.finish(trial, "complete", [accuracy])


@contextmanager
def driven(folder: Path, storage: str | None = None) -> Iterator[Driven]:
    folder.mkdir(parents=True)
    with Ledger(folder, resolve(SPACE, "test"), storage) as ledger:
        yield Driven(ledger)
