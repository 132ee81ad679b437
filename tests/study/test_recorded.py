"""The spec in the ledger: study.yaml cannot be edited without a word, and can be lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from small_space import space

from record import contents
from record.errors import UserError
from record.figures import TRIALS
from record.folder import StudyFolder
from study import recorded
from study.ledger import Ledger
from study.space import resume
from study.space.reading import resolve
from study.space.schema import StudySpec
from study.space.typed import typed


@pytest.fixture
def spec(tmp_path: Path) -> StudySpec:
    """That of a study that ran in the folder."""
    spec = typed(resolve(space(), "x"))
    write(tmp_path, spec)
    with Ledger(tmp_path, spec) as ledger:
        recorded.write(ledger)
    return spec


def write(folder: Path, spec: StudySpec) -> None:
    contents.write_spec(StudyFolder(folder), spec.model_dump(mode="json"))


def test_an_edit_that_changes_the_study_is_refused_with_both_values(tmp_path: Path, spec: StudySpec) -> None:
    write(tmp_path, spec.model_copy(update={"seed": 7}))
    with pytest.raises(UserError, match=r"study\.yaml was edited") as caught:
        resume.stored(tmp_path)
    assert "seed: 0 -> 7" in str(caught.value) and "\n" not in str(caught.value)


def test_an_edit_that_extends_the_study_is_taken(tmp_path: Path, spec: StudySpec) -> None:
    write(tmp_path, spec.model_copy(update={"trials": spec.trials + 3}))
    stored = resume.stored(tmp_path)
    assert stored is not None and stored.spec["trials"] == spec.trials + 3


@pytest.mark.parametrize("content", [None, b"", b"seed: [", b"seed: 1\n", b"\xff\xfe"])
def test_a_lost_or_damaged_study_yaml_comes_from_the_ledger(
    tmp_path: Path, spec: StudySpec, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.yaml").unlink()
    if content is not None:
        (tmp_path / "study.yaml").write_bytes(content)
    stored = resume.stored(tmp_path)
    assert stored is not None and stored.spec == spec.model_dump(mode="json")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_study_without_the_record_is_adopted(tmp_path: Path) -> None:
    spec = typed(resolve(space(), "x"))
    write(tmp_path, spec)
    with Ledger(tmp_path, spec):
        pass
    stored = resume.stored(tmp_path)
    assert stored is not None and stored.spec == spec.model_dump(mode="json")


@pytest.mark.parametrize("content", [None, b""])
def test_a_lost_ledger_does_not_start_the_study_again(tmp_path: Path, spec: StudySpec, content: bytes | None) -> None:
    folder = StudyFolder(tmp_path)
    folder.ledger.unlink()
    if content is not None:
        folder.ledger.write_bytes(content)
    folder.table(TRIALS).write_text("trial,state\na-000,finished\n")
    with pytest.raises(UserError, match=r"study\.db: holds no trial, but trials\.csv lists some; restore it"):
        resume.stored(tmp_path)
    assert not folder.ledger.exists() or folder.ledger.read_bytes() == content


@pytest.mark.parametrize("seed", range(6))
def test_a_ledger_with_a_damaged_page_is_one_line_or_whole(tmp_path: Path, spec: StudySpec, seed: int) -> None:
    ledger = StudyFolder(tmp_path).ledger
    content = bytearray(ledger.read_bytes())
    page = random.Random(seed).randrange(1, len(content) // 4096) * 4096
    content[page : page + 4096] = bytes(4096) if seed % 2 else b"\xff" * 4096
    ledger.write_bytes(content)
    try:
        Ledger(tmp_path, spec).close()
    except UserError as error:
        assert "study.db: the ledger cannot be opened: " in str(error) and "\n" not in str(error)
