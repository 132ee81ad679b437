"""What a run refuses before it trains, a dry run refuses with the same line, without Ray, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import ray
from conftest import TINY

import run_study as program
from record.folder import StudyFolder
from study.lease import lock


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a space, a file where a folder would be needed, and what is no database."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "file").write_text("not a database, though long enough to be taken for one" * 99)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["run_study.py", "--space", "tiny.yaml", *arguments])
    status = program.cli()
    return status, *capsys.readouterr()


BEFORE_RAY = [
    (["--data", "digts"], "digts"),
    (["--data", "file"], "is a file"),
    (["--data", "digits", "--set", "all_models.train_size=5000"], "5000"),
    (["--set", "models.vit_tome.weights=nowhere.pt"], "nowhere.pt"),
    (["--address", "ray://127.0.0.1:1"], "Ray Client"),
    (["--address", "127.0.0.1:1"], "nothing answers"),
    (["--name", "a/b"], "--name"),
    (["--set", "learn_from=[results/nowhere]"], "tiny.yaml: learn_from.0: results/nowhere: no such folder"),
    (["--set", "phases=[confirm]", "--set", "objectives=[val_accuracy]"], "add search"),
    (["--results", "file"], "file/tiny: cannot be written"),
    (["--storage", "nosql://x"], "--storage nosql://x: a ledger lies in sqlite or postgresql, not in nosql"),
    (
        ["--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/studies"],
        "postgresql+psycopg://me@127.0.0.1:1/studies: the ledger cannot",
    ),
    (
        ["--storage", "sqlite:///nowhere/study.db"],
        "the ledger cannot be opened: (sqlite3.OperationalError) unable to open",
    ),
    (["--storage", "sqlite:///file"], "the ledger cannot be opened: (sqlite3.DatabaseError) file is not a database"),
]
AFTER_RAY_STARTS = [
    (["--gpus-per-trial", "64"], "models.scratch_vit.resources: needs 1 CPUs and 64 GPUs"),
    (["--cpus-per-trial", "4096"], "models.scratch_vit.resources: needs 4096 CPUs"),
]


@pytest.mark.parametrize(("arguments", "words"), BEFORE_RAY + AFTER_RAY_STARTS)
def test_it_refuses_in_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    before = sorted(folder.rglob("*"))
    status, output, message = call(monkeypatch, capsys, *arguments, "--dry-run")
    assert status == 2 and output == "" and words in message.splitlines()[-1]
    assert message.splitlines()[-1].startswith("error: ") and "Traceback" not in message
    assert sorted(folder.rglob("*")) == before and not ray.is_initialized()
    if (arguments, words) in BEFORE_RAY:
        assert call(monkeypatch, capsys, *arguments) == (2, "", message)


def test_a_long_folder_for_temporary_files_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sockets have short names, and Ray would end in a traceback."""
    monkeypatch.setenv("TMPDIR", str(folder / ("long" * 25)))
    for arguments in (["--dry-run"], []):
        status, _, message = call(monkeypatch, capsys, *arguments)
        assert status == 2 and "too long for the sockets of Ray" in message and message.count("\n") == 1


@pytest.mark.parametrize("content", [b"text, and no database at all" * 9, b"SQLite format 3\0 cut off" * 9])
def test_a_damaged_ledger_is_named_and_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    ledger = folder / "results" / "tiny" / "study.db"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(content)
    for arguments in (["--dry-run"], [], ["--resume"]):
        status, _, message = call(monkeypatch, capsys, *arguments)
        assert status == 2 and "study.db: the ledger cannot be opened" in message and message.count("\n") == 1
    assert ledger.read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "words"), AFTER_RAY_STARTS)
def test_the_run_says_the_same(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    expected = call(monkeypatch, capsys, *arguments, "--dry-run")[2].splitlines()[-1]
    status, _, message = call(monkeypatch, capsys, *arguments)
    assert status == 2 and message.splitlines()[-1] == expected


def test_what_can_run_is_printed_and_leaves_neither_folder_nor_database(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    status, output, _ = call(monkeypatch, capsys, "--results", "a/b", "--storage", "sqlite:///new.db", "--dry-run")
    assert status == 0 and "# 4 search trials" in output
    assert sorted(folder.rglob("*")) == before and not ray.is_initialized()


def test_a_folder_that_another_run_holds_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "results" / "tiny").mkdir(parents=True)
    held = lock(StudyFolder(folder / "results" / "tiny"))
    status, _, message = call(monkeypatch, capsys, "--dry-run")
    assert status == 2 and "another run is working in this study folder" in message
    os.close(held)
    assert call(monkeypatch, capsys, "--dry-run")[0] == 0
    assert list((folder / "results" / "tiny").iterdir()) == []
