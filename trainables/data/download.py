"""Downloads of data sets: whole or not at all, never hanging, and one line where there is no network."""

from __future__ import annotations

import http.client
import socket
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from record.errors import one_line
from record.folder import missing_folders, remove_empty
from trainables.data import DataError

_TIMEOUT_SECONDS = 10.0  # without an answer
# What downloading, checking (RuntimeError of torchvision) and extracting raise; ValueError: "not available any more".
_FAILURES = (OSError, RuntimeError, ValueError, EOFError, zlib.error, http.client.HTTPException)
_BROKEN = (tarfile.TarError, zipfile.BadZipFile)


def download(folder: Path, what: str, instead: str, fetch: Callable[[Path], None]) -> None:
    """Move what `fetch` puts into a draft folder to `folder`; an interrupted download leaves nothing behind.

    what: the data set in an error message; instead: how to do without the download. Raises DataError.
    """
    absent = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".downloading-", dir=folder) as draft, _careful():
            fetch(Path(draft))
            for path in sorted(Path(draft).iterdir()):
                path.rename(folder / path.name)
    except (*_FAILURES, *_BROKEN) as error:
        remove_empty(absent)
        raise DataError(
            f"{what} is not in {folder} and could not be downloaded ({one_line(error)}): {instead}"
        ) from None


@contextmanager
def _careful() -> Iterator[None]:
    """Connections time out, and archives are extracted into their own folder only; torchvision sees to neither."""
    timeout, tar_filter = socket.getdefaulttimeout(), vars(tarfile.TarFile).get("extraction_filter")
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        tarfile.TarFile.extraction_filter = tar_filter
