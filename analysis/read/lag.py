"""Whether the tables of a study folder say what its ledger says: a killed study may have left older ones."""

from __future__ import annotations

import datetime
import shlex
import sqlite3
from collections import Counter
from contextlib import closing
from urllib.parse import quote

import pandas as pd

from record.errors import one_line
from record.figures import EPOCHS, PROFILE, TRIALS
from record.folder import RUNNING, StudyFolder
from record.ledger import STATES

# A running study writes its tables seconds after its ledger. Only the ledger's own times are compared: copies of a
# folder have arbitrary ones.
GRACE = datetime.timedelta(seconds=60)

_QUERY = """
SELECT state, COUNT(*), MAX(COALESCE(datetime_complete, datetime_start)) FROM trials
WHERE trial_id IN (SELECT trial_id FROM trial_user_attributes WHERE key = 'trial') GROUP BY state
"""


def note(folder: StudyFolder, trials: pd.DataFrame) -> str | None:
    """One line that says what the tables lack and how they are made again; None where they lack nothing.

    A ledger that is kept elsewhere is not compared, nor one that another program has locked.
    """
    if not folder.ledger.exists():
        return None
    try:
        recorded, latest = _recorded(folder)
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        return f"{folder.ledger.name} cannot be read: {one_line(error)}; restore it from a copy"
    missing = [name for table in (TRIALS, EPOCHS, PROFILE) if not (name := folder.table(table)).exists()]
    shown = Counter(trials["state"].dropna())
    if not recorded or (shown == recorded and not missing):
        return None
    if latest is not None and abs(datetime.datetime.now() - latest) < GRACE:
        return None
    lacking = f"{', '.join(path.name for path in missing)} is missing" if missing else _difference(shown, recorded)
    condition = "if the study no longer runs, " if recorded[RUNNING] else ""
    where = f"--name {shlex.quote(folder.name)} --results {shlex.quote(str(folder.path.resolve().parent))}"
    return f"the tables lag the ledger ({lacking}); {condition}`python run_study.py {where} --resume` writes them again"


def _difference(shown: Counter[str], recorded: Counter[str]) -> str:
    states = [state for state in STATES.values() if shown[state] != recorded[state]]
    return ", ".join(f"{recorded[state]} {state} trials there, {shown[state]} here" for state in states)


def _recorded(folder: StudyFolder) -> tuple[Counter[str], datetime.datetime | None]:
    """(trials by state, the last time that one started or ended), read without writing. Raises sqlite3.Error."""
    address = f"file:{quote(str(folder.ledger.resolve()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=1)) as database:
        rows = database.execute(_QUERY).fetchall()
    times = [datetime.datetime.fromisoformat(time) for _, _, time in rows if time]
    return Counter({STATES[state]: count for state, count, _ in rows if state in STATES}), max(times, default=None)
