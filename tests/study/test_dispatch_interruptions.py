"""The dispatcher: what the death of a driver or worker, a deadline or a full disk leaves, and how it goes on."""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import time
from pathlib import Path

import pytest
import sqlalchemy
from dispatched import SPACE, Phase, row

from study.dispatch import NoTrial
from study.ledger import Ledger, number
from study.space.reading import resolve
from study.space.schema import StudySpec
from trainables.task import Figures
from trainables.trial_config import TrialConfig


@pytest.fixture
def spec() -> StudySpec:
    return resolve(SPACE, "test")


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


def test_a_driver_that_dies_at_any_write_decides_as_if_it_had_not(tmp_path: Path, spec: StudySpec) -> None:
    """A process dies instead of its n-th commit; a new driver goes on. For every n."""
    spec = spec.model_copy(update={"trials": 3})
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


def test_a_pilot_leaves_its_trials_running_after_their_first_epochs(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec.model_copy(update={"trials": 1})) as ledger:
        phase = Phase(ledger, last_epoch=2)
        name = phase.start().trial
        assert [phase.dispatcher.report(name, row(epoch, 0.5)) for epoch in (1, 2)] == [False, True]
        assert phase.state(name) == "running" and phase.dispatcher.finished
