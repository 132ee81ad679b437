"""The ledger on real SQLite files: what was written is there after the process that wrote it is gone."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from record.errors import UserError
from study.candidates import candidates, front
from study.cells import Cell, cells
from study.ledger import Ledger
from study.proposals import ConfirmProposals, SearchProposals, build_sampler
from study.space.reading import resolve
from study.space.schema import StudySpec

SPACE = {
    "description": "a model with two cells, a model with one",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy", "train_seconds"],
    "trials": 3,
    "confirm": {"seeds": 2, "candidates": 2},
    "all_models": {"epochs": 2, "search": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "batch_size": [16, 32]}},
    "models": {"scratch_vit": {"factors": {"train_size": [100, 200]}}, "resnet18": {"train_size": 100}},
}


@pytest.fixture
def spec() -> StudySpec:
    return resolve(SPACE, "test")


def row(epoch: int, accuracy: float = 0.5) -> dict:
    return {"epoch": epoch, "val_accuracy": accuracy, "val_loss": 1.0}


def complete(ledger: Ledger, trial, accuracy: float, seconds: float = 1.0) -> None:
    for epoch in (1, 2):
        ledger.record(trial, row(epoch, accuracy))
    ledger.finish(trial, "complete", [accuracy, seconds])


def test_all_that_happened_is_there_when_the_ledger_is_opened_again(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        cell = cells(spec)[0]
        done, stopped, broken, running = (ledger.ask(cell, build_sampler(ledger, cell)) for _ in range(4))
        complete(ledger, done, 0.9)
        ledger.record(stopped, row(1, 0.1))
        ledger.finish(stopped, "pruned")
        ledger.finish(broken, "failed", error="diverged: the training loss of epoch 1 is nan")
        ledger.record(running, row(1))
        before = {t.name: (t.state, t.rows, t.params, t.values, t.error) for t in ledger.trials.values()}
    with Ledger(tmp_path, spec) as again:
        assert {t.name: (t.state, t.rows, t.params, t.values, t.error) for t in again.trials.values()} == before
        [left] = again.in_phase("search", "running")
        assert left.name == running.name
        again.record(left, row(2))
        again.finish(left, "complete", [0.5, 1.0])


def test_optuna_sees_one_study_per_cell_and_only_complete_trials_on_its_front(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        cell = cells(spec)[0]
        first, second = (ledger.ask(cell, build_sampler(ledger, cell)) for _ in range(2))
        complete(ledger, first, 0.9)
        ledger.record(second, row(1, 0.99))
        ledger.finish(second, "pruned")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    assert optuna.get_all_study_names(url) == ["scratch_vit-train_size=100"]
    study = optuna.load_study(study_name="scratch_vit-train_size=100", storage=url)
    assert study.metric_names == ["val_accuracy", "train_seconds"]
    assert [t.number for t in study.best_trials] == [0]
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED"]


def test_a_row_that_comes_twice_is_recorded_once(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        cell = cells(spec)[0]
        trial = ledger.ask(cell, build_sampler(ledger, cell))
        for epoch in (1, 2, 1, 2):
            ledger.record(trial, row(epoch))
        assert [r["epoch"] for r in trial.rows] == [1, 2]


def test_a_trial_that_died_before_it_had_a_name_does_not_block_the_study(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        ledger.study(cells(spec)[0].study_name).ask()
    with Ledger(tmp_path, spec) as again:
        assert again.trials == {}
        proposals = SearchProposals(again)
        names = []
        while not proposals.done:
            names.append(proposals.next().name)
        assert len(set(names)) == 9


def test_only_one_process_at_a_time_may_write_a_study(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec), pytest.raises(UserError, match="another run"):
        Ledger(tmp_path, spec)
    Ledger(tmp_path, spec).close()


def test_a_ledger_that_cannot_be_opened_is_one_line(tmp_path: Path, spec: StudySpec) -> None:
    (tmp_path / "study.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(UserError, match=r"study\.db"):
        Ledger(tmp_path, spec)


def test_every_cell_gets_the_same_number_of_trials_and_cells_take_turns(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        proposals = SearchProposals(ledger)
        trials = []
        while not proposals.done:
            trials.append(proposals.next())
    order = [trial.cell.name for trial in trials]
    assert order == ["scratch_vit-train_size=100", "scratch_vit-train_size=200", "resnet18"] * 3
    assert {trial.params["train_size"] for trial in trials if trial.cell.entry == "scratch_vit"} == {100, 200}
    assert len({trial.name for trial in trials}) == 9 and trials[2].name == "resnet18-000"


def test_proposals_follow_from_the_record_alone(tmp_path: Path, spec: StudySpec) -> None:
    """A search that was interrupted and opened again proposes what an uninterrupted one does."""

    def run(folder: Path, reopen: bool) -> list[dict]:
        folder.mkdir()
        params: list[dict] = []
        ledger = Ledger(folder, spec)
        proposals = SearchProposals(ledger)
        while not proposals.done:
            trial = proposals.next()
            complete(ledger, trial, accuracy=trial.params["lr"])
            params.append(trial.params)
            if reopen:
                ledger.close()
                ledger = Ledger(folder, spec)
                proposals = SearchProposals(ledger)
        ledger.close()
        return params

    assert run(tmp_path / "a", reopen=False) == run(tmp_path / "b", reopen=True)


def test_more_trials_extend_a_finished_search(tmp_path: Path, spec: StudySpec) -> None:
    for trials in (1, 3):
        with Ledger(tmp_path, spec.model_copy(update={"trials": trials})) as ledger:
            proposals = SearchProposals(ledger)
            while not proposals.done:
                complete(ledger, proposals.next(), 0.5)
            assert [len(ledger.of(cell)) for cell in cells(spec)] == [trials] * 3


def test_interrupted_trials_come_first(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        proposals = SearchProposals(ledger)
        names = [proposals.next().name for _ in range(2)]
    with Ledger(tmp_path, spec) as again:
        proposals = SearchProposals(again)
        assert [proposals.next().name for _ in range(3)] == [*names, "resnet18-000"]


def test_no_trial_starts_after_the_deadline(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        proposals = SearchProposals(ledger, deadline=0.0)
        assert proposals.next() is None and proposals.done and not ledger.trials


def test_the_best_of_each_model_and_the_front_are_confirmed_with_seeds_of_their_own(
    tmp_path: Path, spec: StudySpec
) -> None:
    with Ledger(tmp_path, spec) as ledger:
        vit, resnet = Cell("scratch_vit", (("train_size", 100),)), Cell("resnet18")
        for cell, accuracy, seconds in ((vit, 0.9, 9.0), (vit, 0.5, 1.0), (vit, 0.4, 5.0), (resnet, 0.3, 8.0)):
            complete(ledger, ledger.ask(cell, build_sampler(ledger, cell)), accuracy, seconds)
        complete_trials = list(ledger.trials.values())
        assert [t.values for t in front(ledger, complete_trials)] == [[0.9, 9.0], [0.5, 1.0]]
        # Two are allowed: resnet18's best is one although it is on no front.
        assert [t.values[0] for t in candidates(ledger)] == [0.9, 0.3]
        wider = spec.model_copy(update={"confirm": spec.confirm.model_copy(update={"candidates": 3})})
        ledger.spec = wider
        assert [t.values[0] for t in candidates(ledger)] == [0.9, 0.3, 0.5]
        ledger.spec = spec
        proposals = ConfirmProposals(ledger, candidates(ledger))
        repeats = []
        while not proposals.done:
            repeats.append(proposals.next())
        best = ledger.trials["scratch_vit-train_size=100-000"]
        assert [(t.candidate, t.seed) for t in repeats] == [
            ("scratch_vit-train_size=100-000", 1),
            ("resnet18-000", 1),
            ("scratch_vit-train_size=100-000", 2),
            ("resnet18-000", 2),
        ]
        assert repeats[0].params == best.params and repeats[0].seed != best.seed
        assert ConfirmProposals(ledger, candidates(ledger)).wanted == type(proposals.wanted)()
