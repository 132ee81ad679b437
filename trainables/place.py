"""The study folder as a node sees it: its disk, or files that go to the driver, and come from there, through Ray."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray

from record.folder import StudyFolder, write_whole

File = np.ndarray  # its bytes, (N,) uint8: Ray hands arrays on without copying them


def sees(folder: StudyFolder, run: str) -> bool:
    """Whether this machine sees the folder in which that run of a study works, not an older copy at the same path."""
    try:
        content = json.loads(folder.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("runs", [])[-1:] == [run]


class Keeper:
    """Runs on the driver's node, and writes what workers of other nodes hand in."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def put(self, name: str, content: File, previous: str | None = None) -> int | None:
        """Write a file of the study folder; previous: the name under which the old one is kept. An errno, or None."""
        old = None if previous is None else self.folder / previous
        try:
            write_whole(self.folder / name, content.tofile, old)
        except OSError as error:
            return error.errno
        return None

    def get(self, name: str) -> File | None:
        """A file of the study folder; None where there is none."""
        path = self.folder / name
        return np.fromfile(path, np.uint8) if path.is_file() else None


class Place:
    """The study folder as a node sees it: itself, or a temporary one whose files go to the keeper and come from there."""

    def __init__(self, folder: str, keeper: Any = None, run: str = "") -> None:
        """keeper: the actor of a Keeper; None where every node sees the folder. run: the one that works in it."""
        self.folder, self.keeper = StudyFolder(Path(folder)), keeper
        if self.keeper is None or sees(self.folder, run):
            self.keeper = None
            return
        self._temporary = TemporaryDirectory(prefix="vision-study-", ignore_cleanup_errors=True)
        self.folder = StudyFolder(Path(self._temporary.name))

    def fetch(self, path: Path) -> None:
        """Bring a file of the study folder here, if it has one."""
        if self.keeper is not None and (content := ray.get(self.keeper.get.remote(self._name(path)))) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            content.tofile(path)

    def hand_in(self, *paths: Path, previous: Path | None = None) -> None:
        """Let the study folder have files that were written here. Raises OSError where it cannot."""
        for path in paths if self.keeper is not None else ():
            old = None if previous is None else self._name(previous)
            code = ray.get(self.keeper.put.remote(self._name(path), np.fromfile(path, np.uint8), old))
            if code is not None:
                raise OSError(code, os.strerror(code))

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.folder.path))
