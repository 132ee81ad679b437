"""A study folder as typed frames; several folders as one study with a `study` column."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from analysis.read import lag
from analysis.read.columns import convert, has_values, read_csv, types
from analysis.read.errors import StudyError
from models.engines import EAGER
from record import tasks
from record.contents import read_environment, read_spec
from record.errors import one_line
from record.figures import ENGINES, EPOCHS, PROFILE, TRIALS
from record.folder import SCHEMA, StudyFolder
from record.tasks import Terms

_TABLES = (TRIALS, EPOCHS, PROFILE, ENGINES)
T = TypeVar("T")


@dataclass(frozen=True)
class Study:
    """What one study folder, or several merged ones, hold.

    `trials` has one row per trial, `epochs` one per trial and epoch, `profile` one per isolated timing, `engines` one per
    confirmed trial and engine (of a study of several engines). In merged studies each frame starts with a column `study`.
    By study name: `specs` and `environments` hold study.yaml and environment.json, `tasks` what the study's task calls
    things, `folders` the folders. `notes` says what could not be read.
    """

    trials: pd.DataFrame
    epochs: pd.DataFrame
    profile: pd.DataFrame
    engines: pd.DataFrame
    specs: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, Any]]
    tasks: dict[str, Terms]
    folders: dict[str, StudyFolder]
    notes: tuple[str, ...] = field(default=())

    @property
    def names(self) -> list[str]:
        return list(self.specs)

    @property
    def keys(self) -> list[str]:
        """The columns that identify a model: ("study",) "model"."""
        return ["study", "model"] if "study" in self.trials else ["model"]

    @cached_property
    def several_engines(self) -> bool:
        """Whether anything but eager PyTorch was timed or tested."""
        tables = (self.trials, self.profile, self.engines)
        return any("engine" in table and table["engine"].dropna().ne(EAGER).any() for table in tables)

    @cached_property
    def timings(self) -> dict[tuple[Any, ...], list[dict[Any, Any]]]:
        """The rows of `profile` by `keys`."""
        rows: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
        for row in self.profile.to_dict("records"):
            rows.setdefault(tuple(row[key] for key in self.keys), []).append(row)
        return rows

    @property
    def spec(self) -> dict[str, Any]:
        """study.yaml of the one study; merged studies raise `StudyError`: use `specs`."""
        return self._only(self.specs, "specs")

    @property
    def environment(self) -> dict[str, Any]:
        """environment.json of the one study; merged studies raise `StudyError`: use `environments`."""
        return self._only(self.environments, "environments")

    def _only(self, by_name: dict[str, dict[str, Any]], attribute: str) -> dict[str, Any]:
        if len(by_name) != 1:
            raise StudyError(f"these are {len(by_name)} merged studies: use .{attribute}[name]")
        return next(iter(by_name.values()))


def load(*folders: str | os.PathLike[str]) -> Study:
    """Read one study folder, or merge several, finished or still running.

    Raises `StudyError` where a folder is not a study folder or its tables cannot be read.
    """
    if not folders:
        raise StudyError("no study folder given")
    paths = [Path(folder) for folder in folders]
    studies = {name: _load_one(StudyFolder(path), name) for name, path in zip(_names(paths), paths, strict=True)}
    return _merged(studies) if len(studies) > 1 else next(iter(studies.values()))


def _load_one(folder: StudyFolder, name: str) -> Study:
    _check_is_study(folder)
    notes: list[str] = []
    spec = _document(folder.spec, lambda: read_spec(folder), notes)
    environment = _document(folder.environment, lambda: read_environment(folder), notes)
    schema = environment.get("schema", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        notes.append(f"written by a newer version (schema {schema}; this one knows {SCHEMA}): what it knows is shown")
    frames = {table: _table(folder, table) for table in _TABLES}
    task = _task(spec, frames[TRIALS])
    for table, frame in frames.items():
        problems = convert(frame, types(task.name, table))
        notes += [f"{folder.table(table).name}: {problem}" for problem in problems]
    # Tables of an older version name no cells: each model had one.
    frames[TRIALS]["cell"] = frames[TRIALS]["cell"].fillna(frames[TRIALS]["model"])
    if task.engines:
        for table in (TRIALS, PROFILE):  # an older version had no other engine
            frames[table]["engine"] = frames[table]["engine"].fillna(EAGER)
    if lagging := lag.note(folder, frames[TRIALS]):
        notes.append(lagging)
    return Study(
        trials=frames[TRIALS],
        epochs=frames[EPOCHS],
        profile=frames[PROFILE],
        engines=frames[ENGINES],
        specs={name: spec},
        environments={name: environment},
        tasks={name: task},
        folders={name: folder},
        notes=tuple(notes),
    )


def _document(path: Path, read: Callable[[], object], notes: list[str]) -> dict[str, Any]:
    """What the file holds; {} and a note where it is missing or damaged."""
    if not path.exists():
        notes.append(f"{path.name} is missing")
        return {}
    try:
        content = read()
    except (ValueError, OSError, yaml.YAMLError) as error:
        notes.append(f"{path.name} cannot be read: {one_line(error)}")
        return {}
    return content if isinstance(content, dict) else {}


def _table(folder: StudyFolder, table: str) -> pd.DataFrame:
    path = folder.table(table)
    try:
        return read_csv(path, table)
    except (ValueError, OSError) as error:
        raise StudyError(f"{path} is not a readable table: {one_line(error)}") from error


def _task(spec: dict[str, Any], trials: pd.DataFrame) -> Terms:
    """The task that study.yaml names; without a known one, that whose quality trials.csv has values of."""
    if (name := spec.get("task")) in tasks.TASKS:
        return tasks.TASKS[name]
    measured = [task for task in tasks.TASKS.values() if has_values(trials, task.validation)]
    return measured[0] if measured else tasks.TASKS[tasks.DEFAULT]


def _check_is_study(folder: StudyFolder) -> None:
    path = folder.path
    if not path.exists():
        raise StudyError(f"{path}: no such folder")
    if not path.is_dir():
        raise StudyError(f"{path} is a file: give the study folder that holds it")
    if folder.is_study():
        return
    inside = sorted(str(spec.parent) for spec in path.glob(f"*/{folder.spec.name}"))
    instead = f"; the studies in it are {', '.join(inside[:5])}" if inside else ""
    marks = f"{folder.spec.name}, {folder.table(TRIALS).name} or {folder.ledger.name}"
    raise StudyError(f"{path} is not a study folder: it has no {marks}{instead}")


def _names(paths: list[Path]) -> list[str]:
    """The folders' names, each with as many parents as it takes to tell them apart."""
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        twice = next(str(path) for path, full in zip(paths, resolved, strict=True) if resolved.count(full) > 1)
        raise StudyError(f"{twice} is given twice")
    for depth in range(1, max(len(path.parts) for path in resolved)):
        names = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in resolved]


def _merged(studies: dict[str, Study]) -> Study:
    def stacked(frame_of: Callable[[Study], pd.DataFrame]) -> pd.DataFrame:
        frames = [frame_of(study).assign(study=name) for name, study in studies.items()]
        frame = pd.concat(frames, ignore_index=True)
        return frame[["study", *frame.columns.drop("study")]]

    def by_name(dict_of: Callable[[Study], dict[str, T]]) -> dict[str, T]:
        return {name: next(iter(dict_of(study).values())) for name, study in studies.items()}

    return Study(
        trials=stacked(lambda study: study.trials),
        epochs=stacked(lambda study: study.epochs),
        profile=stacked(lambda study: study.profile),
        engines=stacked(lambda study: study.engines),
        specs=by_name(lambda study: study.specs),
        environments=by_name(lambda study: study.environments),
        tasks=by_name(lambda study: study.tasks),
        folders=by_name(lambda study: study.folders),
        notes=tuple(f"{name}: {note}" for name, study in studies.items() for note in study.notes),
    )
