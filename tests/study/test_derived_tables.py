"""The tables follow from the ledger: a finished study's are made again, and a reader says where they lag."""

from __future__ import annotations

import datetime
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import analysis
from analysis.read import lag
from record.folder import StudyFolder
from run_study import _spec
from study import phases
from study.session import Options
from study.space.overrides import Overrides

TABLES = ("trials.csv", "epochs.csv", "profile.csv")


@pytest.fixture
def copied(tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished study whose ledger has been at rest for longer than a reader waits."""
    monkeypatch.setattr(lag, "GRACE", datetime.timedelta(0))
    return shutil.copytree(tiny_study, tmp_path / "it's tiny")


def damage(folder: Path) -> None:
    """What a kill before the last writing of the tables may leave."""
    table = folder / "trials.csv"
    table.write_text(table.read_text().replace("complete", "running", 1))
    (folder / "epochs.csv").unlink()
    rows = (folder / "profile.csv").read_text().splitlines(keepends=True)
    (folder / "profile.csv").write_text("".join(rows[:-1]))
    (folder / "study.yaml").write_text("seed: [")
    os.utime(folder / "study.db", (0, 0))


def test_resuming_a_finished_study_makes_its_tables_again_without_ray(
    copied: Path, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(copied)
    monkeypatch.setattr(phases, "opened", None)  # would start Ray
    spec, _, _ = _spec(None, copied, Overrides(), resume=True, storage=None, data_dir=Path("data"))
    assert phases.run_study(spec, Options(StudyFolder(copied), Path("data")), Console(quiet=True))
    assert (copied / "study.yaml").read_bytes() == (tiny_study / "study.yaml").read_bytes()
    assert {name: (copied / name).read_bytes() for name in TABLES} == {
        name: (tiny_study / name).read_bytes() for name in TABLES
    }
    assert analysis.load(copied).notes == ()


def test_a_reader_says_that_tables_lag_their_ledger(copied: Path) -> None:
    assert analysis.load(copied).notes == ()
    table = copied / "trials.csv"
    table.write_text(table.read_text().replace(",complete,", ",running,", 1))
    [note] = analysis.load(copied).notes
    assert "complete trials there" in note and "1 here" in note and "\n" not in note
    assert f'--name "it\'s tiny" --results {copied.parent} --resume' in note.replace(
        "'it'\"'\"'s tiny'", '"it\'s tiny"'
    )


def test_a_missing_table_is_named_and_a_study_that_just_wrote_is_left_alone(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "epochs.csv").unlink()
    [note] = analysis.load(copied).notes
    assert "(epochs.csv is missing)" in note
    monkeypatch.setattr(lag, "GRACE", datetime.timedelta(days=1))
    assert analysis.load(copied).notes == ()


@pytest.mark.parametrize("content", [b"", b"this is text, not a database", b"SQLite format 3\0 cut off"])
def test_a_damaged_ledger_does_not_hide_the_tables(copied: Path, content: bytes) -> None:
    (copied / "study.db").write_bytes(content)
    study = analysis.load(copied)
    assert len(study.trials) and all("\n" not in note for note in study.notes)
