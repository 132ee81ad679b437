"""A study folder's copy at a URL (s3://, gs://, file://, ...): a study can be continued and read from it on any machine."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from record import contents
from record.errors import UserError, one_line
from record.folder import StudyFolder, write_text

EVERY_SECONDS = 20.0  # so much of the ledger may be missing from the copy when a machine is lost
URL = re.compile(r"[a-z][a-z0-9+]*://")
SECRET = re.compile(r"://[^/]*@")
PARTIAL = ".partial"
FETCHED = ".fetched"  # in a folder: the run whose files came from the copy, so that the copy may be newer


class MirrorError(UserError):
    """The copy cannot be written or read."""


def is_url(results: str) -> bool:
    return URL.match(results) is not None


def inside(results: str, name: str) -> str:
    """The URL of a study's copy, in the place that holds those of several; options follow a question mark."""
    path, mark, options = results.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


class Mirror:
    """The copy at one URL. Files are compared by size and by the time at which they were written."""

    def __init__(self, url: str) -> None:
        """Raises UserError for a URL that means nothing here."""
        from pyarrow import fs

        if SECRET.search(url):
            raise UserError(
                "the URL of results holds a password; set AWS_ACCESS_KEY_ID and the like in the environment instead"
            )
        self.url = url.rstrip("/")
        path, mark, options = self.url.partition("?")
        self.results, _, self.name = path.rpartition("/")  # what `inside` was given
        self.results += mark + options
        try:
            self.files, self.root = fs.FileSystem.from_uri(self.url)
        except (OSError, ValueError, NotImplementedError) as error:
            raise UserError(
                f"{self.url}: not a place for results ({one_line(error)}); write s3://BUCKET/FOLDER"
            ) from error
        self.sent: dict[str, tuple[int, int]] = {}  # name -> size and time of what the copy has

    def check(self) -> None:
        """Raise UserError unless a file can be written there, read back and removed."""
        try:
            self.write(".check", b"whole")
            read = self.read(".check")
            self.files.delete_file(self._at(".check"))
        except OSError as error:
            raise MirrorError(f"{self.url}: results cannot be kept there: {one_line(error)}") from error
        if read != b"whole":
            raise UserError(f"{self.url}: results cannot be kept there: what was written reads otherwise")

    def read(self, name: str) -> bytes | None:
        """A file of the copy; None where it has none. Raises OSError."""
        try:
            with self.files.open_input_stream(self._at(name)) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Raises OSError."""
        if self.files.type_name == "local":
            self.files.create_dir(self._at(name).rpartition("/")[0], recursive=True)
        with self.files.open_output_stream(self._at(name)) as stream:
            stream.write(content)

    def push(self, folder: StudyFolder) -> None:
        """Bring the copy up to date; checkpoints that the folder no longer has leave it, too. Raises OSError."""
        present = _versions(folder)
        for name, version in present.items():
            if self.sent.get(name) == version:
                continue
            if name == folder.ledger.name:
                with _snapshot(folder.ledger) as copy:
                    self._send(copy, name)
            else:
                self._send(folder.path / name, name)
            self.sent[name] = version
        gone = [name for name in self.sent if name not in present and name.startswith(folder.checkpoints.name)]
        for name in gone:
            with suppress(FileNotFoundError):
                self.files.delete_file(self._at(name))
            del self.sent[name]

    def update(self, folder: StudyFolder) -> None:
        """`push`. Raises MirrorError."""
        try:
            self.push(folder)
        except OSError as error:
            raise MirrorError(f"{self.url}: is not up to date: {one_line(error)}") from error

    def pull(self, folder: StudyFolder) -> None:
        """Make the folder what the copy is, except for files that only the folder has. Raises OSError."""
        from pyarrow import fs

        for info in self.files.get_file_info(fs.FileSelector(self.root, recursive=True, allow_not_found=True)):
            name = info.path.removeprefix(self.root).lstrip("/")
            if info.type != fs.FileType.File or name.startswith(".") or name.endswith(PARTIAL):
                continue
            path = folder.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}{PARTIAL}")
            with self.files.open_input_stream(info.path) as source, partial.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            partial.replace(path)
            self.sent[name] = (path.stat().st_size, path.stat().st_mtime_ns)

    def meet(self, folder: StudyFolder) -> None:
        """Before a run: bring the folder up to date where another machine continued the study since.

        Raises UserError where both were continued.
        """
        try:
            ours = contents.read_environment(folder).get("runs", [])
            theirs = json.loads(self.read(folder.environment.name) or b"{}").get("runs", [])
        except (OSError, ValueError) as error:
            raise UserError(
                f"environment.json of {folder.path} or {self.url} cannot be read: {one_line(error)}"
            ) from error
        fetched = folder.path / FETCHED
        only_read = bool(ours) and fetched.exists() and fetched.read_text() == ours[-1]
        if not theirs or (theirs[-1] in ours and not (only_read and theirs[-1] == ours[-1])):
            return
        if folder.is_study() and (not ours or ours[-1] not in theirs):
            raise UserError(
                f"{folder.path} and {self.url} are not the same study; move one away, or choose another --name"
            )
        for file in folder.path.glob(
            f"{folder.ledger.name}-*"
        ):  # of a driver that was killed: the copy goes on from it
            file.unlink()
        self.pull(folder)
        write_text(fetched, theirs[-1])

    @contextmanager
    def kept(self, folder: StudyFolder) -> Iterator[None]:
        """Inside, the copy follows the folder in the background; afterwards it is up to date. Raises MirrorError."""
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(EVERY_SECONDS):
                with suppress(OSError):  # it may be reached again in a moment; the last push says if not
                    self.push(folder)

        thread = threading.Thread(target=follow, name="mirror", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.update(folder)

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _send(self, path: Path, name: str) -> None:
        """A disk shows a file while it is written: it gets its name when it is whole. Object stores do so by themselves."""
        is_disk = self.files.type_name == "local"
        target = self._at(name) + (PARTIAL if is_disk else "")
        if is_disk:
            self.files.create_dir(target.rpartition("/")[0], recursive=True)
        try:
            source = path.open("rb")
        except FileNotFoundError:  # replaced or removed meanwhile
            return
        with source, self.files.open_output_stream(target) as stream:
            shutil.copyfileobj(source, stream, 1 << 20)
        if is_disk:
            self.files.move(target, self._at(name))


def _is_passing(path: Path) -> bool:
    """A file that is being written, or a part of an open database."""
    return path.name.startswith(".") or path.name.endswith((PARTIAL, "-wal", "-shm", "-journal"))


def _versions(folder: StudyFolder) -> dict[str, tuple[int, int]]:
    """Name -> size and time of each file of the folder; of the ledger, those of the file that it is written to first."""
    versions = {}
    for path in [path for path in folder.path.rglob("*") if path.is_file() and not _is_passing(path)]:
        wal = path.with_name(f"{path.name}-wal")
        with suppress(FileNotFoundError):  # replaced or removed meanwhile
            status = (wal if path == folder.ledger and wal.exists() else path).stat()
            versions[str(path.relative_to(folder.path))] = (status.st_size, status.st_mtime_ns)
    return versions


@contextmanager
def _snapshot(ledger: Path) -> Iterator[Path]:
    """A whole copy, in one file, of a database that is being written. Raises OSError."""
    with TemporaryDirectory(prefix="ledger-") as folder:
        copy = Path(folder) / ledger.name
        try:
            with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            raise OSError(f"{ledger.name}: {error}") from error
        yield copy
