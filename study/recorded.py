"""The resolved spec as the ledger has it, beside study.yaml, which may be edited, damaged or lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy

from record.folder import PROFILE, StudyFolder
from study.ledger import Ledger

SPEC = "spec"  # user attribute of the Optuna study of the isolated timings


def write(ledger: Ledger) -> None:
    """Record the spec that runs, unless it is recorded already."""
    spec, study = ledger.spec.model_dump(mode="json"), ledger.study(PROFILE)
    if study.user_attrs.get(SPEC) != spec:
        study.set_user_attr(SPEC, spec)


def read(folder: Path) -> dict[str, Any] | None:
    """The spec in the folder's study.db, which is not changed.

    None where there is none: an older study, one that never ran, one whose ledger lies elsewhere or is damaged, which
    opening the ledger will say.
    """
    path = StudyFolder(folder).ledger
    if not path.is_file():
        return None
    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(path)))
    query = sqlalchemy.text("SELECT value_json FROM study_user_attributes WHERE key = :key")
    try:
        with engine.connect() as connection:
            text = connection.execute(query, {"key": SPEC}).scalar()
    except sqlalchemy.exc.DatabaseError:
        return None
    finally:
        engine.dispose()
    return json.loads(text) if text else None
