"""What a study is doing: read from its ledger by whoever looks on, while its driver runs and after it died."""

from __future__ import annotations

import datetime
import json
import os
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import sqlalchemy

from record import contents, tasks
from record.errors import UserError, one_line
from record.folder import CONFIRM, FAILED, PHASES, PROFILE, RUNNING, SEARCH, STATES, StudyFolder
from record.ledger import IDENTITY, ROW, STAGE, Stage
from record.ledger import STATES as OPTUNA
from study.address import masked, storage_of

RUNS, FINISHED, STOPPED, ELSEWHERE = "running", "finished", "stopped", "elsewhere"  # states of a study

_OURS = """WITH ours AS (SELECT t.trial_id, t.state, t.datetime_start, t.datetime_complete, s.study_name FROM trials t
JOIN studies s ON s.study_id = t.study_id WHERE :id = '' OR t.study_id IN
(SELECT study_id FROM study_user_attributes WHERE key = :identity AND value_json = :id)) """
_TRIALS = _OURS + "SELECT trial_id, state, datetime_start, datetime_complete, study_name FROM ours"
_ATTRIBUTES = (
    _OURS
    + "SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a JOIN ours o ON o.trial_id = a.trial_id "
    "WHERE a.key IN ('trial', 'epochs', 'params', 'error', 'traceback')"
)
_LAST_ROWS = (
    _OURS
    + "SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a JOIN (SELECT b.trial_id, MAX(b.key) AS key "
    "FROM trial_user_attributes b JOIN ours o ON o.trial_id = b.trial_id WHERE b.key LIKE 'epoch!_%' ESCAPE '!' "
    "GROUP BY b.trial_id) l ON l.trial_id = a.trial_id AND l.key = a.key"
)
_ROWS = (
    _OURS + "SELECT a.value_json FROM trial_user_attributes a JOIN ours o ON o.trial_id = a.trial_id "
    "JOIN trial_user_attributes n ON n.trial_id = a.trial_id AND n.key = 'trial' AND n.value_json = :trial "
    "WHERE a.key LIKE 'epoch!_%' ESCAPE '!' ORDER BY a.key"
)
_STAGE = (
    "SELECT value_json FROM study_user_attributes WHERE key = :stage AND (:id = '' OR study_id IN "
    "(SELECT study_id FROM study_user_attributes WHERE key = :identity AND value_json = :id))"
)


@dataclass(frozen=True)
class Trial:
    """A training as a looker-on sees it."""

    name: str
    phase: str
    state: str
    epoch: int  # done
    epochs: int  # its budget
    row: dict[str, Any]  # of its last epoch
    params: dict[str, Any]
    started: datetime.datetime | None
    finished: datetime.datetime | None
    error: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class Progress:
    """The state of one study."""

    folder: StudyFolder
    environment: dict[str, Any]
    metric: str  # val_accuracy
    trials: list[Trial]
    stage: Stage | None  # None: of an older version
    timings: int
    now: float = field(default_factory=time.time)

    @property
    def driver(self) -> dict[str, Any]:
        """The process that runs the study, or ran it: host, pid, created."""
        driver = self.environment.get("driver")
        return driver if isinstance(driver, dict) else {}

    @cached_property
    def state(self) -> str:
        if is_alive(self.driver):
            return RUNS
        if self.environment.get("finished") and not self.of(RUNNING):
            return FINISHED
        if self.driver and self.driver.get("host") != socket.gethostname():
            return ELSEWHERE
        return STOPPED if self.driver or self.of(RUNNING) or not self._older_is_done() else FINISHED

    def _older_is_done(self) -> bool:
        return any(phase in (self.environment.get("duration_seconds") or {}) for phase in (SEARCH, CONFIRM))

    @property
    def phase(self) -> str:
        if self.stage is not None:
            return self.stage.phase
        return max((trial.phase for trial in self.trials), key=PHASES.index, default=PROFILE)

    def of(self, state: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.state == state]

    @property
    def counts(self) -> dict[str, int]:
        """Trials by state, of all phases."""
        counts = Counter(trial.state for trial in self.trials)
        return {state: counts[state] for state in STATES if counts[state]}

    @property
    def done(self) -> float:
        """Trials, or timings, of the phase that runs; a running trial counts by its share of epochs."""
        if self.phase == PROFILE:
            return float(self.timings)
        own = [trial for trial in self.trials if trial.phase == self.phase]
        return sum(trial.epoch / trial.epochs if trial.state == RUNNING else 1.0 for trial in own)

    @property
    def total(self) -> int:
        """Of the phase that runs."""
        started = self.timings if self.phase == PROFILE else sum(trial.phase == self.phase for trial in self.trials)
        return max(self.stage.total if self.stage else 0, started)

    @property
    def expected_end(self) -> datetime.datetime | None:
        if self.state != RUNS or self.stage is None:
            return None
        seconds = self.stage.remaining_seconds(self.done, self.now, self.total)
        return None if seconds is None else datetime.datetime.fromtimestamp(self.now + seconds)

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best validation quality so far, of any phase."""
        measured = [t for t in self.trials if t.state == "complete" and isinstance(t.row.get(self.metric), float)]
        return max(measured, key=lambda trial: trial.row[self.metric], default=None)

    @property
    def failed(self) -> list[Trial]:
        return self.of(FAILED)


def is_alive(driver: dict[str, Any]) -> bool:
    """Whether this very process, not another that got its number, lives on this machine."""
    if driver.get("host") != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(driver["pid"]))
        return abs(process.create_time() - driver["created"]) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError, ValueError):  # gone, or recorded as nothing that could be one
        return False


def read(folder: StudyFolder) -> Progress:
    """Raises UserError where the folder is not a study's or its ledger cannot be read; changes nothing."""
    check(folder)
    try:
        environment = contents.read_environment(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder.environment} cannot be read ({one_line(error)}); restore it") from error
    with _open(folder, environment) as ledger:
        rows = {} if ledger is None else {name: ledger(query) for name, query in _QUERIES.items()}
    stage = [json.loads(value) for (value,) in rows.get("stage", ())]
    timings = sum(name.rpartition("/")[2] == PROFILE for *_, name in rows.get("trials", ()))
    task = tasks.TASKS.get(_task(folder), tasks.TASKS[tasks.DEFAULT])
    read_stage = Stage.read(stage[0]) if stage else None
    return Progress(folder, environment, task.validation, _trials(rows), read_stage, timings)


_QUERIES = {"trials": _TRIALS, "attributes": _ATTRIBUTES, "last": _LAST_ROWS, "stage": _STAGE}


def epoch_rows(folder: StudyFolder, trial: str) -> list[dict[str, Any]]:
    """The rows of a trial's epochs. Raises as `read`."""
    with _open(folder, contents.read_environment(folder)) as ledger:
        return [] if ledger is None else [json.loads(value) for (value,) in ledger(_ROWS, trial=json.dumps(trial))]


def check(folder: StudyFolder) -> None:
    """Raise UserError for a folder that is not a study's."""
    if not folder.path.is_dir():
        raise UserError(f"{folder.path}: no such study; `vision-study list` names those of a results folder")
    if not folder.is_study():
        raise UserError(f"{folder.path} is not a study folder: it has no study.yaml, trials.csv or study.db")


def _task(folder: StudyFolder) -> str:
    try:
        return str(contents.read_spec(folder).get("task", tasks.DEFAULT))
    except (OSError, ValueError):
        return tasks.DEFAULT


@contextmanager
def _open(folder: StudyFolder, environment: dict[str, Any]) -> Iterator[Any]:
    """Inside, a function that queries the ledger, which is not changed; None where there is none yet."""
    url = storage_of(folder, None)
    if url is None and not (folder.ledger.is_file() and folder.ledger.stat().st_size):
        yield None
        return
    if url is None:
        address = f"file:{quote(str(folder.ledger.resolve()))}?mode=ro"
        engine = sqlalchemy.create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True, timeout=5))
    else:
        engine = sqlalchemy.create_engine(url)
    identity = json.dumps(environment[IDENTITY]) if url is not None and IDENTITY in environment else ""
    try:
        with engine.connect() as connection:

            def query(text: str, **values: str) -> list[Any]:
                given = {"id": identity, "identity": IDENTITY, "stage": STAGE} | values
                used = {key: value for key, value in given.items() if f":{key}" in text}
                return list(connection.execute(sqlalchemy.text(text), used))

            yield query
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, ImportError) as error:
        where = folder.ledger if url is None else masked(url)
        if "no such table" in str(error):  # of a study that is just beginning
            raise UserError(f"{where}: holds no study yet; try again in a moment") from error
        raise UserError(f"{where}: the ledger cannot be read: {one_line(masked(str(error)), 120)}") from error
    finally:
        engine.dispose()


def _trials(rows: dict[str, list[Any]]) -> list[Trial]:
    """In the order in which they started."""
    attributes: dict[int, dict[str, Any]] = {}
    for trial_id, key, value in rows.get("attributes", ()):
        attributes.setdefault(trial_id, {})[key] = json.loads(value)
    last = {trial_id: (int(key.removeprefix(ROW)), json.loads(value)) for trial_id, key, value in rows.get("last", ())}
    trials = []
    for trial_id, state, started, finished, study in rows.get("trials", ()):
        own = attributes.get(trial_id, {})
        if "trial" not in own:
            continue
        phase = CONFIRM if study.rpartition("/")[2].startswith(f"{CONFIRM} ") else SEARCH
        epoch, row = last.get(trial_id, (0, {}))
        trials.append(
            Trial(
                own["trial"], phase, OPTUNA[str(state)], epoch, own["epochs"], row, own["params"],
                _time(started), _time(finished), own.get("error"), own.get("traceback"),
            )
        )  # fmt: skip
    return sorted(trials, key=lambda trial: (trial.started or datetime.datetime.min, trial.name))


def _time(value: object) -> datetime.datetime | None:
    return value if isinstance(value, datetime.datetime | None) else datetime.datetime.fromisoformat(str(value))


def find(study: str, results: Path) -> StudyFolder:
    """The study folder that a person names by its path or by its name in the results folder. Raises UserError."""
    named = Path(study)
    path = named if os.sep in study or (named.is_dir() and StudyFolder(named).is_study()) else results / study
    folder = StudyFolder(path)
    check(folder)
    return folder
