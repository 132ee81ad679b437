"""The dispatcher: what is handed out, and what a row decides."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from conftest import ROOT
from dispatched import SPACE, Phase, row

from record.errors import UserError
from study.dispatch import Dispatcher, NoTrial
from study.ledger import Ledger
from study.proposals import ConfirmProposals
from study.space.reading import resolve
from study.space.schema import StudySpec
from trainables.trial_config import TrialConfig


@pytest.fixture
def spec() -> StudySpec:
    return resolve(SPACE, "test")


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
        "engines": [],
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


def test_a_node_that_joins_has_slots_for_more_trials(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger, slots=1)
        phase.start()
        assert phase.dispatcher.next_trial() is NoTrial.NOW
        phase.dispatcher.slots = lambda: 2
        phase.start()
        assert phase.dispatcher.next_trial() is NoTrial.NOW


def test_a_node_that_is_not_fit_ends_the_study_and_costs_no_trial(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        with pytest.raises(UserError, match=r"node b, .* has torch 0\.1; .*--resume"):
            phase.dispatcher.report(name, {"unfit": "node b, which joined later, has torch 0.1"})
        assert phase.state(name) == "running" and not ledger.trials[name].rows


def test_a_trial_behind_its_peers_is_stopped_and_frees_its_slot(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec.model_copy(update={"trials": 4})) as ledger:
        phase = Phase(ledger, slots=3)
        good, second, bad = (phase.start().trial for _ in range(3))
        assert not phase.dispatcher.report(good, row(1, 0.9))
        assert not phase.dispatcher.report(second, row(1, 0.8))
        assert phase.dispatcher.report(bad, row(1, 0.1))
        assert [phase.state(name) for name in (good, second, bad)] == ["running", "running", "pruned"]
        assert ledger.trials[bad].values is None and phase.start().trial == "resnet18-003"


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


def test_confirm_trials_see_the_test_split_and_are_never_stopped_early(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        phase = Phase(ledger)
        name = phase.start().trial
        for epoch in (1, 2, 3):
            phase.dispatcher.report(name, row(epoch, 0.5))
        proposals = ConfirmProposals(ledger, [ledger.trials[name]])
        confirm = Dispatcher(
            ledger, proposals, phase.values, lambda _: (), phase.changed, lambda _: 600.0, slots=lambda: 8
        )
        first, second = confirm.next_trial(), confirm.next_trial()
        assert isinstance(first, TrialConfig) and isinstance(second, TrialConfig)
        assert (first.test, first.training["seed"], second.training["seed"]) == (True, 1, 2)
        assert not confirm.report(first.trial, row(1, 0.9)) and not confirm.report(second.trial, row(1, 0.1))
        assert confirm.next_trial() is NoTrial.NOW


def test_the_dispatcher_needs_no_ray() -> None:
    code = "import sys, study.dispatch, study.proposals, study.tables, study.duration; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
