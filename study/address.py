"""Where a study's ledger lies, without passwords; and the command that continues a study."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from record import contents
from record.errors import UserError, one_line
from record.folder import StudyFolder

VARIABLE = "VISION_STUDY_STORAGE"  # a whole URL, whose password is used where an address has none
PASSWORD = re.compile(r"(://[^:/@\s]*):[^/\s]*@")
PARAMETER = re.compile(r"([?&](?:password|passwd|pwd|sslpassword)=)[^&\s]*")


def masked(text: str) -> str:
    """The text without the passwords of the URLs in it."""
    return PARAMETER.sub(r"\1", PASSWORD.sub(r"\1@", text))


def storage_of(folder: StudyFolder, given: str | None) -> str | None:
    """The URL of a study's ledger: the given one, else the one that the folder remembers; None: study.db in the folder.

    Raises UserError where environment.json, which remembers it, cannot be read.
    """
    try:
        url = given or contents.read_environment(folder).get("storage")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder.environment} cannot be read ({one_line(error)}); restore or delete it") from error
    return None if url is None else _absolute(_with_password(str(url)))


def _absolute(url: str) -> str:
    """The URL with the whole path of an SQLite file, which must not depend on the current folder."""
    try:
        address = sqlalchemy.make_url(url)
    except ArgumentError:
        return url  # opening it will say so
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return url
    return address.set(database=str(Path(str(address.database)).absolute())).render_as_string(hide_password=False)


def _with_password(url: str) -> str:
    whole = os.environ.get(VARIABLE, "")
    return whole if whole and masked(whole) == url else url


def resume_command(
    folder: StudyFolder, data_dir: Path, address: str | None, storage: str | None, url: str | None = None
) -> str:
    """What continues the study when it is pasted into the shell that started it. url: that holds copies of the studies."""
    options = ["--name", folder.name]
    if (results := url or str(folder.path.parent)) != "results":
        options += ["--results", results]
    if data_dir != Path("data"):
        options += ["--data-dir", str(data_dir)]
    if address is not None:
        options += ["--address", address]
    if storage is not None:
        options += ["--storage", masked(storage)]
    note = f" (its password from {VARIABLE}, a whole URL)" if storage is not None and _has_password(storage) else ""
    return shlex.join([*_program(), *options, "--resume"]) + note


def _program() -> list[str]:
    """How the program was started."""
    started = Path(sys.argv[0])
    if started.suffix != ".py":
        return [str(started) if shutil.which(started.name) is None else started.name, "run"]
    return ["python" if shutil.which("python") == sys.executable else _relative(sys.executable), str(started)]


def _relative(path: str) -> str:
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def _has_password(url: str) -> bool:
    try:
        return sqlalchemy.make_url(url).password is not None
    except ArgumentError:
        return False
