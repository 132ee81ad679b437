"""What the ledger has of the study itself: its resolved spec, beside study.yaml, which may be edited, damaged or lost; and the
phase that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy

from record import contents
from record.errors import UserError
from record.figures import TRIALS
from record.folder import PROFILE, StudyFolder
from record.ledger import IDENTITY, STAGE, Stage
from study.address import masked
from study.ledger import Ledger

SPEC = "spec"  # user attribute of the Optuna study of the isolated timings


def write(ledger: Ledger) -> None:
    """Record the spec that runs, unless it is recorded already."""
    spec, study = ledger.spec.model_dump(mode="json"), ledger.study(PROFILE)
    if study.user_attrs.get(SPEC) != spec:
        study.set_user_attr(SPEC, spec)


def begin(ledger: Ledger, stage: Stage) -> None:
    """Record which phase runs from now on, for those who look on."""
    ledger.study(PROFILE).set_user_attr(STAGE, stage.recorded())


def read(folder: Path, storage: str | None) -> dict[str, Any] | None:
    """The spec in the ledger, which is not changed; storage: its URL, None: study.db in the folder.

    None where there is none: an older study, one that never ran, one whose ledger cannot be read, which opening it will
    say.
    """
    text = _scalar(folder, storage, f"SELECT value_json FROM study_user_attributes WHERE key = '{SPEC}'")
    return json.loads(text) if isinstance(text, str) else None


def check_kept(folder: Path, storage: str | None) -> None:
    """Raise UserError where a study's ledger was lost: going on would start again and overwrite the tables."""
    environment, ledger = StudyFolder(folder).environment, StudyFolder(folder).ledger
    if not _has_rows(folder):
        return
    if storage is not None:
        if not environment.exists():
            raise UserError(f"{environment}: is lost, which says whose trials {masked(storage)} holds; restore it")
        return
    lost = not ledger.exists() or not ledger.stat().st_size
    if lost or _scalar(folder, storage, "SELECT COUNT(*) FROM trials WHERE 1 = 1") == 0:
        raise UserError(
            f"{ledger}: holds no trial, but {TRIALS}.csv lists some; restore it from a copy, name the --storage that "
            "holds them, or choose another --name"
        )


def has_begun(folder: Path, storage: str | None) -> bool:
    """Whether the study has a trial or a timing, or may have one."""
    ledger = StudyFolder(folder).ledger
    if storage is None:
        is_readable = ledger.exists() and ledger.stat().st_size > 0
    else:
        is_readable = IDENTITY in contents.read_environment(StudyFolder(folder))
    if not is_readable:
        return _has_rows(folder)
    return _scalar(folder, storage, "SELECT COUNT(*) FROM trials WHERE 1 = 1") != 0


def _has_rows(folder: Path) -> bool:
    table = StudyFolder(folder).table(TRIALS)
    return table.exists() and table.read_text(encoding="utf-8", errors="replace").count("\n") > 1


def _scalar(folder: Path, storage: str | None, query: str) -> object:
    """One value from the ledger, of this study where others share it; None where that is not possible."""
    path = StudyFolder(folder).ledger
    if storage is None and not path.is_file():
        return None
    url = sqlalchemy.URL.create("sqlite", database=str(path)) if storage is None else storage
    values = {}
    if storage is not None:
        if (identity := contents.read_environment(StudyFolder(folder)).get(IDENTITY)) is None:
            return None
        query += f" AND study_id IN (SELECT study_id FROM study_user_attributes WHERE key = '{IDENTITY}' AND value_json = :id)"
        values["id"] = json.dumps(identity)
    try:
        engine = sqlalchemy.create_engine(url)
        try:
            with engine.connect() as connection:
                return connection.execute(sqlalchemy.text(query), values).scalar()
        finally:
            engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, UnicodeDecodeError):
        return None
