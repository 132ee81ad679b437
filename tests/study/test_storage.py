"""The ledger's database: any folder name, readers that stop nobody, locks and restarts that are waited for."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState
from small_space import space
from sqlalchemy.exc import OperationalError

from record.folder import StudyFolder
from study import storage
from study.cells import cells
from study.ledger import Ledger, Trial
from study.proposals import build_sampler
from study.space.reading import resolve
from study.space.schema import StudySpec
from study.space.typed import typed


@pytest.fixture
def spec() -> StudySpec:
    return typed(resolve(space(), "x"))


def start(ledger: Ledger) -> Trial:
    cell = cells(ledger.spec)[0]
    return ledger.ask(cell, build_sampler(ledger, cell))


def row(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "val_accuracy": 0.5}


@pytest.mark.parametrize("name", ["what?", "a#b", "100%20", "it's", 'a"b', "ä ö", "{x}", "a;b&c=d", ":memory:"])
def test_any_folder_name_holds_its_own_ledger(tmp_path: Path, spec: StudySpec, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    storage.check_storage(StudyFolder(folder), None)
    assert list(folder.iterdir()) == []
    with Ledger(folder, spec) as ledger:
        ledger.hold()
        ledger.record(start(ledger), row(1))
    assert [path.name for path in folder.iterdir()] == ["study.db"] and list(tmp_path.iterdir()) == [folder]
    with Ledger(folder, spec) as ledger:
        assert [len(trial.rows) for trial in ledger.trials.values()] == [1]


def open_together(folder: Path, url: str, processes: int = 6) -> list[int]:
    """The exit statuses of processes that open the ledger at `url` at the same moment, which no one has opened before."""
    waiting, go = os.pipe()
    children = []
    for _ in range(processes):
        if (child := os.fork()) == 0:
            os.close(go)
            os.read(waiting, 1)  # until the other end is closed
            try:
                storage.open_storage(StudyFolder(folder), url)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    os.close(go)
    os.close(waiting)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.parametrize("attempt", range(3))
def test_drivers_may_create_the_same_database_at_the_same_time(tmp_path: Path, attempt: int) -> None:
    assert open_together(tmp_path, f"sqlite:///{tmp_path / 'shared.db'}") == [0] * 6


def test_a_reader_that_keeps_the_database_open_stops_nobody(tmp_path: Path, spec: StudySpec) -> None:
    with Ledger(tmp_path, spec) as ledger:
        ledger.hold()
        trial = start(ledger)
        ledger.record(trial, row(1))
        reader = sqlite3.connect(tmp_path / "study.db")
        reader.execute("BEGIN")
        count = "SELECT COUNT(*) FROM trial_user_attributes"
        before = reader.execute(count).fetchone()
        started = time.monotonic()
        for epoch in range(2, 6):
            ledger.record(trial, row(epoch))
        assert time.monotonic() - started < storage.PATIENCE_SECONDS / 2
        assert reader.execute(count).fetchone() == before  # it sees the database as it was
        reader.close()
    shutil.copy(tmp_path / "study.db", tmp_path / "copy.db")
    copy = sqlite3.connect(f"file:{tmp_path / 'copy.db'}?mode=ro&immutable=1", uri=True)
    assert copy.execute("SELECT COUNT(*) FROM trial_user_attributes WHERE key GLOB 'epoch_*'").fetchone() == (5,)


@pytest.mark.parametrize("own_timeout", [60.0, 0.1])
def test_a_locked_database_is_waited_for(
    tmp_path: Path, spec: StudySpec, own_timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SQLite itself, and, where it gives up, by repetition."""
    monkeypatch.setattr(storage, "_arguments", lambda folder, url: _impatient(folder, own_timeout))
    with Ledger(tmp_path, spec) as ledger:
        trial = start(ledger)
        other = sqlite3.connect(tmp_path / "study.db", check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(1.5, other.rollback).start()
        started = time.monotonic()
        ledger.record(trial, row(1))
        assert time.monotonic() - started > 1
        ledger.finish(trial, "complete", [0.5] * len(spec.objectives))
    with Ledger(tmp_path, spec) as ledger:
        assert [(len(t.rows), t.state) for t in ledger.trials.values()] == [(1, "complete")]


def _impatient(folder: StudyFolder, timeout: float) -> tuple[str, dict[str, object]]:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(folder.ledger, timeout=timeout, check_same_thread=False)

    return "sqlite:///study.db", {"creator": connect}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_lost_connection_neither_loses_nor_doubles_anything(tmp_path: Path, spec: StudySpec, moment: str) -> None:
    """Each commit fails once, before it or after it went through."""
    with Ledger(tmp_path, spec) as ledger:
        ledger.hold()
        engine, failed = ledger.storage.engine, [True]

        def fail() -> None:
            failed[0] = not failed[0]
            if not failed[0]:
                raise OperationalError("COMMIT", {}, ConnectionError("the server closed the connection"))

        original = engine.dialect.do_commit

        def commit(connection: sqlalchemy.engine.interfaces.DBAPIConnection) -> None:
            if moment == "before":
                fail()
            original(connection)
            if moment == "after":
                fail()

        engine.dialect.do_commit = commit  # type: ignore[method-assign]
        trials = [start(ledger) for _ in range(2)]
        for trial in trials:
            for epoch in (1, 2):
                ledger.record(trial, row(epoch))
            ledger.finish(trial, "complete", [0.5] * len(spec.objectives))
        repeat = ledger.repeat(trials[0], 7)
        ledger.record(repeat, row(1))
        engine.dialect.do_commit = original  # type: ignore[method-assign]
    with Ledger(tmp_path, spec) as ledger:
        ledger.hold()
        assert [t.name for t in ledger.trials.values()] == [*(t.name for t in trials), repeat.name]
        assert [(len(t.rows), t.state) for t in ledger.in_phase("search")] == [(2, "complete")] * 2
        [confirmed] = ledger.study(repeat.cell.study_name).get_trials(states=[TrialState.RUNNING])
        assert {name: trials[0].params[name] for name in confirmed.params} == confirmed.params != {}
        states = [t.state for t in ledger.study(cells(spec)[0].study_name).get_trials(deepcopy=False)]
        assert states.count(TrialState.COMPLETE) == 2 and TrialState.RUNNING not in states


ATTRIBUTES = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[storage.Storage]:
    database = storage.open_storage(StudyFolder(tmp_path_factory.mktemp("database")), None)
    yield database
    database.engine.dispose()


@given(first=ATTRIBUTES, second=ATTRIBUTES)
def test_attributes_that_are_written_together_are_those_that_optuna_would_write(
    database: storage.Storage, first: dict[str, object], second: dict[str, object]
) -> None:
    study = database.create_new_study([StudyDirection.MAXIMIZE])
    ours, optunas = database.create_new_trial(study), database.create_new_trial(study)
    for attributes in (first, second):  # what is there already is replaced
        database.set_trial_user_attrs(ours, attributes)
        for key, value in attributes.items():
            database.set_trial_user_attr(optunas, key, value)
    assert database.get_trial(ours).user_attrs == database.get_trial(optunas).user_attrs == first | second


def test_of_attributes_that_cannot_all_be_written_none_is(database: storage.Storage) -> None:
    study = database.create_new_study([StudyDirection.MAXIMIZE])
    running, ended = database.create_new_trial(study), database.create_new_trial(study)
    database.set_trial_state_values(ended, TrialState.COMPLETE, [0.5])
    with pytest.raises(TypeError, match="serializable"):
        database.set_trial_user_attrs(running, {"a": 1, "b": object()})
    for trial in (ended, 10**6):
        with pytest.raises(UpdateFinishedTrialError, match=f"trial {trial} does not run"):
            database.set_trial_user_attrs(trial, {"a": 1})
    assert [trial.user_attrs for trial in database.get_all_trials(study)] == [{}, {}]


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        (sqlite3.OperationalError("database is locked"), True),
        (sqlite3.OperationalError("database table is locked"), True),
        (sqlite3.OperationalError("database or disk is full"), False),
        (sqlite3.OperationalError("attempt to write a readonly database"), False),
        (sqlite3.OperationalError("no such table: trials"), False),
        (ConnectionError("the database system is starting up"), True),
    ],
)
def test_only_what_will_pass_is_waited_for(reason: Exception, passes: bool) -> None:
    assert storage.will_pass(OperationalError("SELECT", {}, reason)) is passes
    assert not storage.will_pass(ValueError("x"))
