"""A study folder: where everything lies in it, and how files get there whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SCHEMA = 1  # of the study folder; environment.json says which one wrote it

PROFILE, SEARCH, CONFIRM = "profile", "search", "confirm"
PHASES = (PROFILE, SEARCH, CONFIRM)  # in this order
COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
STATES = (COMPLETE, PRUNED, FAILED, RUNNING)
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # why the system does not let a file be written
PREVIOUS = ".previous"  # ends the name of the checkpoint before


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def spec(self) -> Path:
        """The resolved space, which is a space itself."""
        return self.path / "study.yaml"

    @property
    def environment(self) -> Path:
        """Versions, hardware, command, data, durations."""
        return self.path / "environment.json"

    @property
    def ledger(self) -> Path:
        """The Optuna storage, unless the study keeps it elsewhere."""
        return self.path / "study.db"

    def table(self, name: str) -> Path:
        """trials.csv, epochs.csv, profile.csv or engines.csv."""
        return self.path / f"{name}.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        """The folder of the report's pictures."""
        return self.path / "figures"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, trial: str) -> Path:
        return self.checkpoints / f"{trial}.pt"

    def previous_checkpoint(self, trial: str) -> Path:
        """The one before, in case that the newest cannot be read."""
        return self.checkpoints / f"{trial}{PREVIOUS}.pt"

    def traceback(self, trial: str) -> Path:
        """Where a training that hung was."""
        return self.checkpoints / f"{trial}.traceback"

    @property
    def labels(self) -> Path:
        """The classes of the test images, which the predictions are compared with."""
        return self.path / "predictions" / "labels.npy"

    def predictions(self, trial: str, engine: str | None = None) -> Path:
        """The classes that a confirmed trial predicted for the test images, with eager PyTorch or in an engine."""
        return self.path / "predictions" / (f"{trial}.npy" if engine is None else f"{trial}.{engine}.npy")

    def confidences(self, trial: str) -> Path:
        """The probability that a confirmed trial gave to each class it predicted, with eager PyTorch."""
        return self.path / "predictions" / f"{trial}.confidence.npy"

    def translations(self, trial: str) -> Path:
        """A confirmed trial's translations of the test split, one per line."""
        return self.path / "translations" / f"{trial}.txt"

    def answers(self, trial: str) -> list[Path]:
        """The files that exist of what a confirmed trial answered on the test split."""
        paths = [self.predictions(trial), *self.labels.parent.glob(f"{trial}.*.npy"), self.translations(trial)]
        return [path for path in paths if path.exists()]

    @property
    def samples(self) -> Path:
        """Validation and test images to look at a model with."""
        return self.path / "samples.npz"

    @property
    def text(self) -> Path:
        """Vocabularies and references of a translation study."""
        return self.path / "text.json"

    def is_study(self) -> bool:
        """Whether a study was run here."""
        return any(path.exists() for path in (self.spec, self.table("trials"), self.ledger))


def missing_folders(folder: Path) -> list[Path]:
    """The folder and those of its parents that do not exist, innermost first."""
    return [each for each in (folder, *folder.parents) if not os.path.lexists(each)]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, that were made for nothing; what is not empty or not there stays as it is."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def write_whole(path: Path, write: Callable[[Path], None], previous: Path | None = None) -> None:
    """Let `write` fill a file beside `path`, sync it and rename it: a reader sees the old file or the new one.

    Missing parent folders are made; `previous` keeps the old file. Raises OSError, and whatever `write` raises; the
    partial file is removed then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        write(partial)
        _sync(partial)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """`write_whole` of bytes."""

    def write(partial: Path) -> None:
        partial.write_bytes(content)

    write_whole(path, write)


def write_text(path: Path, text: str) -> None:
    """`write_whole` of UTF-8 text."""
    write_bytes(path, text.encode())


def _sync(path: Path) -> None:
    """Without it a power cut after the rename could leave the new name with old or no content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
