"""The dispatcher on a real ledger, without Ray: what is handed out, what a row decides, what an interruption leaves."""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import sqlalchemy
from conftest import ROOT

from study.dispatch import Dispatcher, NoTrial
from study.ledger import Ledger, Trial, number
from study.proposals import ConfirmProposals, SearchProposals
from study.space.reading import resolve
from study.space.schema import StudySpec
from trainables.task import Figures
from trainables.trial_config import TrialConfig

SPACE = {
    "description": "one model, three trials",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy"],
    "phases": ["search", "confirm"],
    "trials": 3,
    "confirm": {"seeds": 2, "candidates": 1},
    "early_stopping": {"grace_epochs": 1, "reduction_factor": 2},
    "models": {
        "resnet18": {
            "epochs": 3, "train_size": 100, "width": 8, "weights": "none", "resources": {"cpus": 2},
            "search": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}},
        }
    },
}  # fmt: skip


@pytest.fixture
def spec() -> StudySpec:
    return resolve(SPACE, "test")


class Phase:
    """A dispatcher over a ledger, and what it told of its trials."""

    def __init__(self, ledger: Ledger, slots: int = 8, timeout: float = 600.0, deadline: float | None = None) -> None:
        self.changes: list[tuple[str, str, int]] = []
        self.ledger = ledger
        self.proposals = SearchProposals(ledger, deadline)
        self.dispatcher = Dispatcher(
            ledger, self.proposals, self.values, lambda _: (), self.changed, lambda _: timeout, slots, deadline
        )

    def values(self, trial: Trial) -> list[float]:
        return [number(trial.last, "val_accuracy")]

    def changed(self, trial: Trial) -> None:
        self.changes.append((trial.name, trial.state, len(trial.rows)))

    def start(self) -> TrialConfig:
        config = self.dispatcher.next_trial()
        assert isinstance(config, TrialConfig)
        return config

    def state(self, name: str) -> str:
        return self.ledger.trials[name].state


def row(epoch: int, accuracy: float) -> Figures:
    return {"epoch": epoch, "val_accuracy": accuracy, "val_loss": 1.0}


def test_a_worker_is_told_all_that_it_needs(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        config = Phase(ledger).start()
        lr = ledger.trials["resnet18-000"].params["lr"]
    assert asdict(config) == {
        "trial": "resnet18-000",
        "study": ledger.identity,
        "task": "image_classification",
        "model": "resnet18",
        "options": {"width": 8},
        "weights": "none",
        "training": {"train_size": 100, "lr": lr, "epochs": 3, "seed": 0},
        "cpus": 2,
        "gpus": 0,
        "folder": str(tmp_path.absolute()),
        "checkpoint_seconds": 60,
        "timeout_seconds": 600,
        "rows_recorded": 0,
        "test": False,
    }


def test_a_trial_is_recorded_from_its_start_to_its_objective_values(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        assert [phase.dispatcher.report(name, row(epoch, epoch / 10)) for epoch in (1, 2, 3)] == [False, False, True]
        assert phase.changes == [
            (name, "running", 0),
            (name, "running", 1),
            (name, "running", 2),
            (name, "complete", 3),
        ]
        assert not phase.dispatcher.finished
    with Ledger(tmp_path, spec) as ledger:
        trial = ledger.trials[name]
        assert (trial.state, trial.values, trial.last["val_accuracy"]) == ("complete", [0.3], 0.3)


def test_no_more_trials_run_than_there_are_slots(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger, slots=2)
        first, _ = phase.start(), phase.start()
        assert phase.dispatcher.next_trial() is NoTrial.NOW and len(ledger.trials) == 2
        phase.dispatcher.fail(first.trial, "gone")
        third = phase.start()
        assert phase.dispatcher.next_trial() is NoTrial.NOW and not phase.dispatcher.finished
        for name in ("resnet18-001", third.trial):
            phase.dispatcher.fail(name, "gone")
        assert phase.dispatcher.next_trial() is NoTrial.LEFT and phase.dispatcher.finished


def test_a_trial_behind_its_peers_is_stopped_and_frees_its_slot(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec.model_copy(update={"trials": 4})) as ledger:
        phase = Phase(ledger, slots=3)
        good, second, bad = (phase.start().trial for _ in range(3))
        assert not phase.dispatcher.report(good, row(1, 0.9))
        assert not phase.dispatcher.report(second, row(1, 0.8))
        assert phase.dispatcher.report(bad, row(1, 0.1))
        assert [phase.state(name) for name in (good, second, bad)] == ["running", "running", "pruned"]
        assert ledger.trials[bad].values is None and phase.start().trial == "resnet18-003"


def test_an_interrupted_trial_continues_before_new_ones_start(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        phase.dispatcher.report(name, row(1, 0.5))
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        config = phase.start()
        assert (config.trial, config.rows_recorded) == (name, 1)
        assert phase.start().trial == "resnet18-001"


@pytest.mark.parametrize(("last", "state"), [(row(3, 0.5), "complete"), (row(2, 0.5) | {"decision": "stop"}, "pruned")])
def test_an_interrupted_trial_whose_last_row_ends_it_does_not_run_again(
    tmp_path: Path, spec: StudySpec, last: Figures, state: str
) -> None:
    """The row was recorded, but the run died before it could record what follows from it."""
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name, peer = phase.start().trial, phase.start().trial
        for epoch in range(1, int(number(last, "epoch"))):
            ledger.record(ledger.trials[name], row(epoch, 0.5))
        ledger.record(ledger.trials[name], last)
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        assert phase.start().trial == peer
        assert phase.state(name) == state and phase.changes[0][:2] == (name, state)


def test_a_row_that_comes_twice_counts_once(tmp_path: Path, spec: StudySpec) -> None:
    """A worker that died is started again from its checkpoint, which may be older than the record."""
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        for epoch in (1, 2, 2, 1, 2):
            assert not phase.dispatcher.report(name, row(epoch, 0.5))
        assert [r["epoch"] for r in ledger.trials[name].rows] == [1, 2]
        assert phase.dispatcher.report(name, row(3, 0.6)) and ledger.trials[name].values == [0.6]


def test_a_failure_is_recorded_with_its_reason_once(tmp_path: Path, spec: StudySpec) -> None:
    """Whether the trial's own code fails (a row with an error) or its worker dies."""
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        diverged, killed = phase.start().trial, phase.start().trial
        assert phase.dispatcher.report(diverged, {"error": "diverged: the loss is nan"})
        phase.dispatcher.fail(killed, "the worker died: out of memory")
        phase.dispatcher.fail(killed, "the worker died: again")
        phase.dispatcher.fail(diverged, "the worker died: after its end")
    with Ledger(tmp_path, spec) as ledger:
        errors = {name: (trial.state, trial.error) for name, trial in ledger.trials.items()}
    assert errors == {
        diverged: ("failed", "diverged: the loss is nan"),
        killed: ("failed", "the worker died: out of memory"),
    }


def test_a_driver_that_dies_at_any_write_decides_as_if_it_had_not(tmp_path: Path, spec: StudySpec) -> None:
    """A process dies instead of its n-th commit; a new driver goes on. For every n."""
    spec = spec.model_copy(update={"trials": 4})
    with Ledger(tmp_path, spec) as ledger:
        expected = run_alone(ledger)
    for kill_at in itertools.count(1):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        if (process := os.fork()) == 0:
            with contextlib.suppress(Exception):
                die_at_commit(folder, spec, kill_at)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        with Ledger(folder, spec) as ledger:
            assert run_alone(ledger) == expected, f"killed at write {kill_at}"
        if status == 0:
            break
    assert kill_at > 20


def die_at_commit(folder: Path, spec: StudySpec, kill_at: int) -> None:
    with Ledger(folder, spec) as ledger:
        commits = itertools.count(1)

        @sqlalchemy.event.listens_for(ledger.storage.engine, "commit")
        def die(_: object) -> None:
            if next(commits) == kill_at:
                os._exit(9)

        run_alone(ledger)


def run_alone(ledger: Ledger) -> dict[str, object]:
    """Run the search one trial at a time, with accuracies that follow from the learning rate; what came of it."""
    ledger.hold()
    phase = Phase(ledger, slots=1)
    while isinstance(config := phase.dispatcher.next_trial(), TrialConfig):
        for epoch in range(config.rows_recorded + 1, 4):
            accuracy = 1 / (1 + abs(math.log10(float(config.training["lr"])) + 2)) + epoch / 100
            if phase.dispatcher.report(config.trial, row(epoch, accuracy)):
                break
    return {t.name: (t.state, t.params, t.rows, t.values) for t in ledger.trials.values()}


def test_a_decision_is_made_once(tmp_path: Path, spec: StudySpec) -> None:
    """A trial that passed a rung goes on after an interruption, though peers have passed it meanwhile."""
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger, slots=2)
        passed, better = phase.start().trial, phase.start().trial
        assert not phase.dispatcher.report(passed, row(1, 0.5)) and not phase.dispatcher.report(better, row(1, 0.9))
        assert ledger.trials[passed].last["decision"] == "continue"
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        assert phase.start().trial == passed
        assert not phase.dispatcher.report(
            passed, row(1, 0.5)
        )  # as a worker that starts again from an older checkpoint


def test_a_recorded_row_stays_and_takes_only_the_note_of_its_repetition(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        for epoch in (1, 2):
            phase.dispatcher.report(name, row(epoch, 0.5) | {"train_seconds": 1.0})
        before = list(ledger.trials[name].rows)
        phase.dispatcher.report(name, row(1, 0.5) | {"train_seconds": 2.0, "note": "checkpoint not used"})
        after = [before[0] | {"note": "checkpoint not used"}, before[1]]
        assert ledger.trials[name].rows == after
    with Ledger(tmp_path, spec) as ledger:
        assert ledger.trials[name].rows == after


def test_a_trial_whose_worker_died_runs_again_until_it_has_died_too_often(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger, slots=1)
        name = phase.start().trial
        phase.dispatcher.report(name, row(1, 0.5))
        phase.dispatcher.worker_died(name, "killed")
        again = phase.start()
        assert (again.trial, again.rows_recorded, phase.state(name)) == (name, 1, "running")
        phase.dispatcher.worker_died(name, "killed")
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger, slots=1)
        for _ in range(2):
            assert phase.start().trial == name
            phase.dispatcher.worker_died(name, "killed")
        trial = ledger.trials[name]
        assert (trial.state, trial.error) == ("failed", "its worker died 4 times, the last time: killed")
        assert phase.start().trial != name


def test_a_trial_that_hangs_fails_with_the_limit_and_is_not_tried_again(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger, slots=1, timeout=0.05)
        name = phase.start().trial
        time.sleep(0.1)
        phase.dispatcher.worker_died(name, "exit code 1")
        assert (phase.state(name), ledger.trials[name].error) == ("failed", "no epoch within 0.05 s")
        assert phase.start().trial != name


def test_the_deadline_interrupts_running_trials_which_a_later_run_continues(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger, deadline=time.monotonic() + 3600)
        name = phase.start().trial
        assert not phase.dispatcher.report(name, row(1, 0.5))
        phase.dispatcher.deadline = phase.proposals.deadline = time.monotonic()
        assert phase.dispatcher.report(name, row(2, 0.5))
        assert phase.dispatcher.next_trial() is NoTrial.LEFT and phase.dispatcher.finished
    with Ledger(tmp_path, spec) as ledger:
        config = Phase(ledger).start()
        assert (config.trial, config.rows_recorded) == (name, 2)


def test_a_full_disk_of_a_worker_is_not_the_trials_failure(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        with pytest.raises(OSError, match="No space left"):
            phase.dispatcher.report(name, {"error": "OSError: No space left on device", "errno": errno.ENOSPC})
        assert phase.state(name) == "running"
        assert phase.dispatcher.report(name, {"error": "FileNotFoundError: x", "errno": errno.ENOENT})
        assert phase.state(name) == "failed"


def test_confirm_trials_see_the_test_split_and_are_never_stopped_early(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        for epoch in (1, 2, 3):
            phase.dispatcher.report(name, row(epoch, 0.5))
        proposals = ConfirmProposals(ledger, [ledger.trials[name]])
        confirm = Dispatcher(ledger, proposals, phase.values, lambda _: (), phase.changed, lambda _: 600.0, slots=8)
        first, second = confirm.next_trial(), confirm.next_trial()
        assert isinstance(first, TrialConfig) and isinstance(second, TrialConfig)
        assert (first.test, first.training["seed"], second.training["seed"]) == (True, 1, 2)
        assert not confirm.report(first.trial, row(1, 0.9)) and not confirm.report(second.trial, row(1, 0.1))
        assert confirm.next_trial() is NoTrial.NOW


def test_the_dispatcher_needs_no_ray() -> None:
    code = "import sys, study.dispatch, study.proposals, study.tables, study.duration; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_a_pilot_leaves_its_trials_running_after_their_first_epochs(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec.model_copy(update={"trials": 1})) as ledger:
        dispatcher = Dispatcher(
            ledger,
            SearchProposals(ledger),
            lambda _: [],
            lambda _: (),
            lambda _: None,
            lambda _: 600.0,
            8,
            last_epoch=2,
        )
        config = dispatcher.next_trial()
        assert isinstance(config, TrialConfig)
        assert [dispatcher.report(config.trial, row(epoch, 0.5)) for epoch in (1, 2)] == [False, True]
        assert ledger.trials[config.trial].state == "running" and dispatcher.finished
