"""What one driver takes: trials that train nothing, a thousand of which report in turns as fast as their rows are taken.

python -m benchmarks.capacity [--trials 10000] [--slots 1000] [--storage postgresql://...]

The driver's own code on a real ledger, without Ray: it proposes trials, decides which to stop, records every row, and
writes the tables while it goes, as in a study. docs/capacity.md says what follows from the figures.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

import models
from benchmarks.figure import Figure, at_least
from benchmarks.figure import show as show_all
from benchmarks.scale import Memory
from record.folder import RUNNING, SEARCH
from record.ledger import Stage
from study import checkpoints, recorded, search, tables
from study.cells import cells
from study.chore import Chore
from study.costs import DataFacts
from study.dispatch import Dispatcher, NoTrial
from study.ledger import Ledger, Trial, number
from study.proposals import SearchProposals
from study.session import TABLES_EVERY_SECONDS
from study.space.reading import resolve
from study.view import View
from trainables.task import Figures

ROWS_PER_SECOND = 500.0
EPOCHS = 10
SPACE: dict[str, object] = {
    "description": "trials that train nothing",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy", "val_loss"],
    "phases": ["search"],
    "early_stopping": {"grace_epochs": 2, "reduction_factor": 3},
    "all_models": {"epochs": EPOCHS, "search": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}},
    "models": {"resnet18": {}, "scratch_vit": {}},
}
FACTS = DataFacts("digits", train=1438, validation=288, test=359)


def run(trials: int = 1000, slots: int = 1000, storage: str | None = None) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, Memory() as memory:
        spec = resolve(SPACE | {"trials": trials // 2}, "capacity")
        with Ledger(Path(folder), spec, storage) as ledger:
            ledger.hold()
            tables.write(ledger, FACTS)
            rehearse(ledger)
            began, start = time.time(), time.perf_counter()
            seconds = drive(ledger, slots)
            took, rows = time.perf_counter() - start, sum(map(len, seconds.values()))
            what = f"{trials} trials, {slots} at once"
            between, ends = seconds[False], seconds[True]
            yield at_least(
                f"{what}: rows of running trials that the driver takes", rate(between), ROWS_PER_SECOND, "/s",
                note=f"; the first tenth {rate(between[: len(between) // 10]):.0f}/s, "
                f"the last {rate(between[-(len(between) // 10) :]):.0f}/s, longest pause {max(between + ends):.1f} s",
            )  # fmt: skip
            yield Figure(
                f"{what}: a trial's last row, its end, and the start of the next", f"{1000 / rate(ends):.1f} ms"
            )
            yield Figure(f"{what}: all, {rows} rows", f"{took:.0f} s")
            start = time.perf_counter()
            tables.write(ledger, FACTS)
            yield Figure("writing the tables at the end", f"{time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
        with Ledger(Path(folder), spec, storage):
            yield Figure("reading the ledger again, as resuming does", f"{time.perf_counter() - start:.1f} s")
    first, last = memory.at(began), max(mb for _, mb in memory.samples)
    yield Figure("growth of the driver's memory", f"{last - first:.0f} MB")


def rehearse(ledger: Ledger) -> None:
    """Import what the first trial and its row would."""
    [cell, *_] = cells(ledger.spec)
    search.build(search.DEFAULT, {}, search.Problem.of(ledger.spec, cell, 0))
    for entry in ledger.spec.models.values():
        models.config_class(entry.model)


def rate(seconds: list[float]) -> float:
    return len(seconds) / sum(seconds)


def drive(ledger: Ledger, slots: int) -> dict[bool, list[float]]:
    """Run the search; the seconds that each row took, by whether it was a trial's last one, with what follows from it."""
    write = Chore(partial(tables.write, ledger, FACTS), TABLES_EVERY_SECONDS)
    tidy = Chore(partial(checkpoints.remove_unneeded, ledger))
    proposals = SearchProposals(ledger, slots=slots)
    stage = Stage(SEARCH, proposals.total, 0.0, time.time())
    recorded.begin(ledger, stage)
    with View(Console(file=io.StringIO()), ledger, stage, proposals) as view:

        def changed(trial: Trial) -> None:
            view.changed(trial)
            if trial.state != RUNNING:
                tidy.if_due()
            write.if_due()

        def values(trial: Trial) -> list[float]:
            return [number(trial.last, name) for name in ledger.spec.objectives]

        dispatcher = Dispatcher(ledger, proposals, values, lambda _: (), changed, lambda _: 600.0, lambda: slots)
        running: deque[str] = deque()
        fill(dispatcher, running)  # no row waits for these
        seconds: dict[bool, list[float]] = {False: [], True: []}
        while running:
            name = running.popleft()
            content = row(len(ledger.trials[name].rows) + 1, name)
            start = time.perf_counter()
            if ended := dispatcher.report(name, content):
                fill(dispatcher, running)
            else:
                running.append(name)
            seconds[ended].append(time.perf_counter() - start)
    return seconds


def fill(dispatcher: Dispatcher, running: deque[str]) -> None:
    while not isinstance(config := dispatcher.next_trial(), NoTrial):
        running.append(config.trial)


def row(epoch: int, name: str) -> Figures:
    """What a worker reports of an epoch; the trial's name decides how well it learns."""
    accuracy = float(np.random.default_rng([epoch, *name.encode()]).uniform(0, 0.1)) + 0.9 * epoch / EPOCHS
    return {
        "epoch": epoch, "val_accuracy": accuracy, "val_loss": 1 - accuracy, "train_loss": 1 / epoch, "learning_rate": 0.01,
        "train_seconds": 20.0, "eval_seconds": 1.0, "train_images_per_second": 70.0, "peak_memory_mb": 500.0,
        "accumulation": 1,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--storage")
    chosen = parser.parse_args()
    show_all(run(chosen.trials, chosen.slots, chosen.storage))
