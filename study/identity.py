"""Which Optuna studies of a database belong to a study, whatever else lies there."""

from __future__ import annotations

import uuid

import optuna
from optuna.storages import BaseStorage

from record import contents
from record.errors import UserError
from record.folder import StudyFolder
from record.ledger import IDENTITY


def identify(folder: StudyFolder, storage: BaseStorage, address: str | None, fresh: bool) -> tuple[str, dict[str, str]]:
    """The study's identity, made here for a new study, and its Optuna studies: our name -> theirs.

    address: of a database that others may use, without its password. fresh: what is left of a study that never began is
    removed. Raises UserError where the database is not this study's.
    """
    environment = contents.read_environment(folder)
    known = None if fresh else environment.get(IDENTITY)
    summaries = optuna.get_all_study_summaries(storage, include_best_trial=False)
    owners = {summary.study_name: summary.user_attrs.get(IDENTITY) for summary in summaries}
    if address is not None:
        own = _shared(owners, known, older=bool(environment) and not fresh)
        if known and not own and environment.get("storage") != address:
            remembered = environment.get("storage") or folder.ledger
            raise UserError(
                f"--storage {address}: holds nothing of this study, whose ledger is {remembered}; leave --storage out"
            )
        return known or uuid.uuid4().hex, own
    if fresh:
        for name in owners:
            optuna.delete_study(study_name=name, storage=storage)
        owners = {}
    written = next((owner for owner in owners.values() if owner), None)  # an older version wrote none
    if known and written and known != written:
        raise UserError(
            f"{folder.ledger}: is the ledger of another study than {folder.environment}; restore the one that belongs "
            "here, or choose another --name"
        )
    return known or written or uuid.uuid4().hex, {name: name for name in owners}


def _shared(owners: dict[str, str | None], known: str | None, older: bool) -> dict[str, str]:
    """Of the Optuna studies of a shared database: ours, by the names after the slash.

    older: the study was started by a version that signed nothing and called Optuna's studies by their cells alone.
    """
    if known is None:
        return {name: name for name, owner in owners.items() if older and owner is None and "/" not in name}
    mark = f"-{known[:8]}/"  # in the name of one that a driver did not live to sign
    mine = [name for name, owner in owners.items() if owner == known or (owner is None and mark in name)]
    return {name.partition("/")[2]: name for name in mine}
