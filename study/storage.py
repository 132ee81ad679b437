"""The database of a ledger: where it lies, how it is opened, and patience with one that is locked or restarts."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from record.errors import UserError, causes
from record.folder import StudyFolder
from study.address import masked

PATIENCE_SECONDS = 60.0
CREATION_PAUSES = (0.1, 0.3, 1.0)  # seconds, until other drivers have created the tables
BUSY_SECONDS = 5.0  # SQLite's own patience with a lock, in which it does not hear Ctrl-C
LASTING_STATES = ("28", "53100")  # SQLSTATE: a wrong password, a full disk


_CALLS = threading.local()


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method with repetition; within another call, whose transaction it is a part of, as it is."""

    @functools.wraps(method)
    def call(storage: Storage, *args: Any, **kwargs: Any) -> Any:
        if getattr(_CALLS, "nested", False):
            return method(storage, *args, **kwargs)
        _CALLS.nested = True
        try:
            return _repeated(functools.partial(method, storage, *args, **kwargs), storage)
        finally:
            _CALLS.nested = False

    return call


_WRITE = text("""
    INSERT INTO trial_user_attributes (trial_id, key, value_json)
    SELECT trial_id, :key, :value FROM trials WHERE trial_id = :trial AND state = 'RUNNING'
    ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json
""")
DATABASES = ("sqlite", "postgresql")  # which understand it


class Storage(RDBStorage):
    """Optuna's storage, whose calls are repeated for a minute while the database is locked or does not answer."""

    @_patient
    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, object]) -> None:
        """Write all of them or, where something fails, none. Optuna's method for one takes five times as long: it builds
        its statements anew.

        Raises UpdateFinishedTrialError where there is no such running trial.
        """
        with self.engine.begin() as connection:
            for key, value in attributes.items():
                row = {"trial": trial_id, "key": key, "value": json.dumps(value)}
                if connection.execute(_WRITE, row).rowcount != 1:
                    raise UpdateFinishedTrialError(f"trial {trial_id} does not run, so it takes no {key}")


def _repeated(call: functools.partial[Any], storage: Storage) -> Any:
    deadline, pause, is_first = time.monotonic() + PATIENCE_SECONDS, 0.05, True
    while True:
        try:
            return call()
        except UpdateFinishedTrialError:
            if is_first or call.func.__name__ != "set_trial_state_values":
                raise
            return True  # the first try went through, only its answer was lost
        except DuplicatedStudyError:
            if is_first:
                raise
            return storage.get_study_id_from_name(call.keywords["study_name"])
        except Exception as error:
            if not will_pass(error) or time.monotonic() > deadline:
                raise
        is_first = False
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


for _name, _method in vars(RDBStorage).items():
    if callable(_method) and not _name.startswith("__") and not isinstance(_method, staticmethod):
        setattr(Storage, _name, _patient(_method))


def will_pass(error: BaseException | None) -> bool:
    """Whether an error says that the database is locked, restarts or does not answer."""
    for cause in causes(error):
        if isinstance(cause, OperationalError | InterfaceError):
            if isinstance(cause.orig, sqlite3.Error):
                return "locked" in str(cause.orig)
            state = str(getattr(cause.orig, "sqlstate", None))  # of psycopg's errors
            return not state.startswith(LASTING_STATES)
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
    return False


def open_storage(folder: StudyFolder, url: str | None) -> Storage:
    """The Optuna storage of a study folder, or the one at `url`."""
    with opening(folder, url):
        return _created(*_arguments(folder, url))


def _created(address: str, arguments: dict[str, Any]) -> Storage:
    """The storage with its tables, which another driver may be creating at this moment: then they are there next time."""
    for pause in CREATION_PAUSES:
        try:
            return Storage(address, arguments)
        except (IntegrityError, ProgrammingError, OperationalError) as error:
            if isinstance(error, OperationalError) and "already exists" not in str(error.orig):
                raise
        time.sleep(pause)
    return Storage(address, arguments)


def check_storage(folder: StudyFolder, url: str | None) -> None:
    """Raise UserError where `open_storage` would, without creating tables or a file."""
    with opening(folder, url):
        address, arguments = _arguments(folder, url)
        engine = sqlalchemy.create_engine(address, **arguments)
        file = Path(os.devnull)
        if engine.dialect.name == "sqlite":
            file = folder.ledger if url is None else Path(engine.url.database or os.devnull)
        existed = file.exists()
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
            if not existed:
                file.unlink(missing_ok=True)


def let_readers_in(folder: StudyFolder) -> None:
    """Put the folder's own database into a mode (WAL) in which readers and the writer do not wait for each other."""
    _set_journal(folder, "WAL")


def close_to_one_file(folder: StudyFolder) -> None:
    """Leave that mode, so that the database is one file that can be copied and read from a folder that is read-only."""
    _set_journal(folder, "DELETE")


def _set_journal(folder: StudyFolder, mode: str) -> None:
    with suppress(sqlite3.Error), closing(sqlite3.connect(folder.ledger, timeout=1)) as database:
        database.execute(f"PRAGMA journal_mode={mode}")  # a file system without it, or a reader now: then it stays


def _arguments(folder: StudyFolder, url: str | None) -> tuple[str, dict[str, Any]]:
    """The URL and the arguments of `create_engine`. A path needs no quoting where it is not part of a URL."""
    if url is None:
        path = folder.ledger.absolute()
        connect = functools.partial(sqlite3.connect, path, timeout=BUSY_SECONDS, check_same_thread=False)
        return "sqlite:///study.db", {"creator": connect}
    name = sqlalchemy.make_url(url).get_backend_name()
    if name not in DATABASES:
        raise UserError(f"--storage {masked(url)}: a ledger lies in {' or '.join(DATABASES)}, not in {name}")
    return url, {"connect_args": {"timeout": BUSY_SECONDS}} if name == "sqlite" else {}


@contextmanager
def opening(folder: StudyFolder, url: str | None) -> Iterator[None]:
    """Around opening and reading a ledger: raises UserError for whatever goes wrong, such as a damaged file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # SQLAlchemy, the database's driver, or a missing driver: many classes, one meaning
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        if url is None and not isinstance(cause, OperationalError):
            reason += "; restore it from a copy, or choose another --name"
        raise UserError(masked(f"{url or folder.ledger}: the ledger cannot be opened: {reason}")) from error
