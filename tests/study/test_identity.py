"""A study has an identity: studies that share a database or a folder's name are never mixed up."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from small_space import space

from record import contents
from record.errors import UserError
from record.folder import StudyFolder
from study import lease, recorded
from study.address import VARIABLE, masked, resume_command, storage_of
from study.cells import cells
from study.ledger import Ledger
from study.proposals import build_sampler
from study.space import resume
from study.space.reading import resolve
from study.space.schema import StudySpec
from study.space.typed import typed


@pytest.fixture
def spec() -> StudySpec:
    return typed(resolve(space(), "x"))


@pytest.fixture
def shared(tmp_path: Path) -> str:
    """A database that several studies use."""
    return f"sqlite:///{tmp_path / 'shared.db'}"


def run(folder: Path, spec: StudySpec, storage: str | None, trials: int = 1) -> Ledger:
    """Start some trials as a driver does; the closed ledger."""
    folder.mkdir(exist_ok=True)
    with Ledger(folder, spec, storage) as ledger:
        ledger.hold()
        environment = {"identity": ledger.identity, "storage": ledger.address}
        contents.write_environment(StudyFolder(folder), environment)
        contents.write_spec(StudyFolder(folder), spec.model_dump(mode="json"))
        recorded.write(ledger)
        cell = cells(spec)[0]
        for _ in range(trials):
            ledger.record(ledger.ask(cell, build_sampler(ledger, cell)), {"epoch": 1, "val_accuracy": 0.5})
    return ledger


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.0)


def test_two_studies_of_the_same_name_in_one_database_do_not_see_each_other(
    tmp_path: Path, spec: StudySpec, shared: str
) -> None:
    first, second = tmp_path / "a" / "study", tmp_path / "b" / "study"
    first.parent.mkdir()
    second.parent.mkdir()
    one = run(first, spec, shared, trials=2)
    other = run(second, spec.model_copy(update={"objectives": ["val_loss", "val_accuracy"]}), shared)
    assert one.identity != other.identity
    with Ledger(first, spec, shared) as ledger:
        assert len(ledger.trials) == 2 and ledger.identity == one.identity
    names = {summary.study_name for summary in optuna.get_all_study_summaries(shared)}
    assert {name.partition("/")[0] for name in names} == {f"study-{ledger.identity[:8]}" for ledger in (one, other)}


def test_a_renamed_folder_keeps_its_study(tmp_path: Path, spec: StudySpec, shared: str) -> None:
    run(tmp_path / "a", spec, shared)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len(run(tmp_path / "b", spec, shared).trials) == 2


def test_the_folders_own_ledger_has_plain_names(tmp_path: Path, spec: StudySpec) -> None:
    run(tmp_path / "a", spec, None)
    names = {s.study_name for s in optuna.get_all_study_summaries(f"sqlite:///{tmp_path / 'a' / 'study.db'}")}
    assert cells(spec)[0].name in names


def test_a_ledger_of_another_study_is_refused(tmp_path: Path, spec: StudySpec) -> None:
    run(tmp_path / "a", spec, None)
    run(tmp_path / "b", spec, None)
    shutil.copy(tmp_path / "a" / "study.db", tmp_path / "b" / "study.db")
    with pytest.raises(UserError, match=r"study\.db: is the ledger of another study"):
        Ledger(tmp_path / "b", spec)
    Ledger(tmp_path / "a", spec).close()  # and the lock is free again


def test_a_folder_of_an_older_version_is_adopted(tmp_path: Path, spec: StudySpec) -> None:
    run(tmp_path / "a", spec, None)
    StudyFolder(tmp_path / "a").environment.unlink()
    for summary in optuna.get_all_study_summaries(url := f"sqlite:///{tmp_path / 'a' / 'study.db'}"):
        optuna.load_study(study_name=summary.study_name, storage=url).set_user_attr("identity", None)
    assert len(run(tmp_path / "a", spec, None).trials) == 2


def test_another_database_is_refused_and_the_remembered_one_used(tmp_path: Path, spec: StudySpec, shared: str) -> None:
    run(tmp_path / "a", spec, shared)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with pytest.raises(UserError, match="holds nothing of this study, whose ledger is sqlite"):
        Ledger(tmp_path / "a", spec, other)
    assert storage_of(StudyFolder(tmp_path / "a"), None) == shared
    run(tmp_path / "b", spec, None)
    with pytest.raises(UserError, match=r"whose ledger is .*study\.db"):
        Ledger(tmp_path / "b", spec, shared)


def test_an_edited_study_yaml_is_refused_with_a_shared_ledger_too(tmp_path: Path, spec: StudySpec, shared: str) -> None:
    run(tmp_path / "a", spec, shared)
    contents.write_spec(StudyFolder(tmp_path / "a"), spec.model_copy(update={"seed": 7}).model_dump(mode="json"))
    with pytest.raises(UserError, match="seed: 0 -> 7"):
        resume.stored(tmp_path / "a", shared)


def test_an_older_study_of_a_shared_database_is_adopted(tmp_path: Path, spec: StudySpec, shared: str) -> None:
    """It signed nothing."""
    folder = tmp_path / "a"
    run(folder, spec, None)
    shutil.move(folder / "study.db", tmp_path / "shared.db")
    for summary in optuna.get_all_study_summaries(shared):
        optuna.load_study(study_name=summary.study_name, storage=shared).set_user_attr("identity", None)
    contents.write_environment(StudyFolder(folder), {"schema": 1})
    assert len(run(folder, spec, shared).trials) == 2


def test_a_relative_address_does_not_depend_on_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage_of(StudyFolder(tmp_path), "sqlite:///shared.db") == f"sqlite:///{tmp_path}/shared.db"
    assert storage_of(StudyFolder(tmp_path), "nosql://x") == "nosql://x"


@pytest.mark.parametrize("is_shared", [True, False])
def test_only_a_study_that_has_begun_blocks_its_name(
    tmp_path: Path, spec: StudySpec, shared: str, is_shared: bool
) -> None:
    storage = shared if is_shared else None
    run(tmp_path / "b", spec, storage)  # another study of the same database
    run(tmp_path / "a", spec, storage, trials=0)
    assert not recorded.has_begun(tmp_path / "a", storage)
    with Ledger(tmp_path / "a", spec.model_copy(update={"objectives": ["val_loss"]}), storage, fresh=True) as ledger:
        assert ledger.study("profile").user_attrs == {"identity": ledger.identity}
        contents.write_environment(
            StudyFolder(tmp_path / "a"), {"identity": ledger.identity, "storage": ledger.address}
        )
    run(tmp_path / "a", spec, storage)
    assert recorded.has_begun(tmp_path / "a", storage)


def test_a_study_whose_environment_is_lost_does_not_begin_again(tmp_path: Path, spec: StudySpec, shared: str) -> None:
    """Only environment.json says which trials of a shared database are its own."""
    folder = StudyFolder(tmp_path / "a")
    run(folder.path, spec, shared)
    folder.table("trials").write_text("trial\nx-000\n")
    folder.environment.unlink()
    assert recorded.has_begun(folder.path, shared)
    with pytest.raises(UserError, match=r"environment\.json: is lost"):
        resume.stored(folder.path, shared)
    with pytest.raises(UserError, match=r"study\.db: holds no trial"):
        resume.stored(folder.path)


def test_a_lost_ledger_is_not_a_study_that_never_began(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("trial\nx-000\n")
    assert recorded.has_begun(tmp_path, None)


def test_a_second_driver_is_refused_until_the_first_ends(tmp_path: Path, spec: StudySpec, shared: str) -> None:
    """The second works in a copy of the folder, whose lock is its own."""
    run(tmp_path / "a", spec, shared)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    with Ledger(tmp_path / "a", spec, shared) as first:
        first.hold()
        with Ledger(tmp_path / "copy", spec, shared) as second, pytest.raises(UserError, match="another run works on"):
            second.hold()
    with Ledger(tmp_path / "copy", spec, shared) as second:
        second.hold()


def test_the_lease_of_a_dead_driver_is_taken_over(tmp_path: Path, spec: StudySpec, shared: str) -> None:
    run(tmp_path / "a", spec, shared)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with Ledger(tmp_path / "a", spec, shared) as ledger:
        study = ledger.study("profile")
        held = {"host": "elsewhere", "pid": 1, "nonce": "x", "until": time.time() + 60}
        study.set_user_attr(lease.KEY, held)
        with pytest.raises(UserError, match="process 1 on elsewhere"):
            ledger.hold()

        for lost in ({"until": time.time() - 1}, {"host": socket.gethostname(), "pid": dead.pid}):
            study.set_user_attr(lease.KEY, held | lost)
            lease.Lease(study).release()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me:se@cr:et@host/db?password=x&a=b", "postgresql://me@host/db?password=&a=b"),
        ("run --storage=mysql://me:p%40ss@host/db --resume", "run --storage=mysql://me@host/db --resume"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_passwords_are_left_out(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_the_password_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents.write_environment(StudyFolder(tmp_path), {"storage": "postgresql://me@host/db"})
    assert storage_of(StudyFolder(tmp_path), None) == "postgresql://me@host/db"
    monkeypatch.setenv(VARIABLE, "postgresql://me:secret@host/db")
    assert storage_of(StudyFolder(tmp_path), None) == "postgresql://me:secret@host/db"
    assert storage_of(StudyFolder(tmp_path), "postgresql://me@host/db") == "postgresql://me:secret@host/db"
    assert storage_of(StudyFolder(tmp_path), "postgresql://me@other/db") == "postgresql://me@other/db"


def test_the_command_that_continues_names_what_differs_from_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/vision-study", "run"])
    plain = resume_command(StudyFolder(Path("results/x")), Path("data"), None, None)
    assert plain.endswith("vision-study run --name x --resume")
    whole = resume_command(StudyFolder(Path("my results/x")), Path("d"), "auto", "postgresql://me:secret@host/db")
    options = "--name x --results 'my results' --data-dir d --address auto --storage postgresql://me@host/db --resume"
    assert whole.endswith(f"run {options} (its password from {VARIABLE}, a whole URL)")
