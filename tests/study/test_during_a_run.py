"""What surrounds the trials of a run: image sizes, full disks, checkpoints, and what a person sees."""

from __future__ import annotations

import errno
import io
import time
from pathlib import Path

import pytest
from conftest import PATIENCE
from rich.console import Console
from sqlalchemy.exc import OperationalError

from record.ledger import Stage
from study import checkpoints
from study.cells import cells
from study.ledger import Ledger, Trial
from study.proposals import SearchProposals, build_sampler
from study.session import image_sizes, unwritable
from study.space.reading import resolve
from study.space.schema import StudySpec
from study.view import View

SPACE = {
    "description": "one model",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy"],
    "phases": ["search", "confirm"],
    "confirm": {"seeds": 1, "candidates": 1},
    "models": {"resnet18": {"epochs": 2, "search": {"lr": {"low": 1e-3, "high": 1e-1}}}},
}


@pytest.fixture
def spec() -> StudySpec:
    return resolve(SPACE, "test")


def ask(ledger: Ledger) -> Trial:
    [cell] = cells(ledger.spec)
    return ledger.ask(cell, build_sampler(ledger, cell))


def train(ledger: Ledger, trial: Trial, accuracy: float, state: str = "complete") -> None:
    ledger.record(trial, {"epoch": 1, "val_accuracy": accuracy})
    ledger.finish(trial, state, [accuracy] if state == "complete" else None)


def test_the_image_sizes_are_those_of_the_space_or_the_model_s_own(spec: StudySpec) -> None:
    models = {"resnet18": {"image_size": 16}, "scratch_vit": {"factors": {"image_size": [8, 32]}}}
    assert image_sizes(resolve(SPACE | {"models": models}, "x")) == [16, 8, 32]
    assert image_sizes(spec) == [224]


def test_a_full_disk_is_recognised_through_what_was_raised_because_of_it() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = RuntimeError("Tune failed")
    wrapped.__cause__ = full
    assert unwritable(full) == unwritable(wrapped) == "No space left on device"
    assert (
        unwritable(OperationalError("INSERT", {}, Exception("database or disk is full"))) == "database or disk is full"
    )
    assert unwritable(OSError(errno.ENOENT, "No such file")) is None and unwritable(ValueError("x")) is None


def test_only_the_checkpoints_that_resume_and_export_need_are_kept(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        best, beaten, pruned, failed, running = (ask(ledger) for _ in range(5))
        for trial in (best, beaten, pruned, failed, running):
            path = ledger.folder.checkpoint(trial.name)
            path.parent.mkdir(exist_ok=True)
            path.touch()
        train(ledger, best, 0.9)
        train(ledger, beaten, 0.8)
        train(ledger, pruned, 0.1, "pruned")
        ledger.finish(failed, "failed", error="diverged")
        checkpoints.remove_unneeded(ledger)
        assert {path.stem for path in ledger.folder.checkpoints.iterdir()} == {best.name, running.name}


def test_a_person_sees_a_line_for_each_start_and_end_and_a_table_of_the_best(tmp_path: Path, spec: StudySpec) -> None:
    output = io.StringIO()
    with Ledger(tmp_path, spec) as ledger:
        done = ask(ledger)
        train(ledger, done, 0.9)
        console = Console(file=output, width=200)
        with View(console, ledger, Stage("search", 8, 1.0), SearchProposals(ledger)) as view:
            running, failed = ask(ledger), ask(ledger)
            view.changed(running)
            assert "not known before the first epoch" in str(view.render().renderables[0])
            ledger.record(running, {"epoch": 1, "val_accuracy": 0.5})
            view.changed(running)
            ledger.finish(failed, "failed", error="diverged: the loss is nan")
            view.changed(failed)
            ledger.finish(running, "complete", [0.5])
            view.changed(running)
            console.print(view.render())
    starts, fails, completes, head, *table = output.getvalue().splitlines()
    assert starts[9:].startswith("[1/8] resnet18-001 running lr=")
    assert fails[9:] == "[2/8] resnet18-002 failed: diverged: the loss is nan"
    assert completes[9:] == "[3/8] resnet18-001 complete val_accuracy=0.5000 after 1 epochs"
    assert head.startswith("search: 3/8 trials started (2 complete, 1 failed); expected end ")
    assert "images/s alone" in "".join(table) and "resnet18-000" in "".join(table) and "not timed" in "".join(table)


def test_a_log_says_how_far_the_running_trials_are_where_nothing_else_was_printed(
    tmp_path: Path, spec: StudySpec
) -> None:
    output = io.StringIO()
    stage = Stage("search", 8, 0.0, time.time(), {"search": 80.0})
    with Ledger(tmp_path, spec) as ledger:
        running = ask(ledger)
        ledger.record(running, {"epoch": 1, "val_accuracy": 0.5})
        with View(Console(file=output, width=40), ledger, stage, SearchProposals(ledger), quiet_seconds=0.01):
            deadline = time.monotonic() + PATIENCE
            while not output.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
    line = output.getvalue().splitlines()[0][9:]  # not wrapped
    assert line.startswith("search: 1/8 trials started (1 running); expected end ")
    assert line.endswith("; resnet18-000 epoch 1 of 2 val_accuracy=0.5000")


def test_a_terminal_shows_running_trials_with_their_whole_names(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        running = ask(ledger)
        running.name = f"resnet18-{'long' * 8}-000"
        ledger.record(running, {"epoch": 1, "val_accuracy": 0.5})
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
        view = View(console, ledger, Stage("search", 8), SearchProposals(ledger))
        with console.capture() as captured:
            console.print(view.render())
    assert running.name in captured.get() and "epoch 1 of 2" in captured.get() and "0.5000" in captured.get()
