"""A study folder as typed frames; several folders as one study with a `study` column."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.read.columns import EPOCHS, PROFILE, TRIALS, Columns, read_csv
from record.errors import UserError

SCHEMA = 1  # of the study folder; environment.json says which one wrote it
_MARKS = ("study.yaml", "trials.csv", "study.db")


class StudyError(UserError):
    """What was asked cannot be had from this study folder; the message is one line and says what to do instead."""


@dataclass(frozen=True)
class Study:
    """What one study folder, or several merged ones, hold.

    `trials` has one row a trial, `epochs` one row a trial and epoch, `profile` one row an isolated timing. In merged
    studies each frame begins with a column `study`. `specs` and `environments` are the folders' study.yaml and
    environment.json by study name, `folders` the folders themselves. `notes` says what in them could not be read.
    """

    trials: pd.DataFrame
    epochs: pd.DataFrame
    profile: pd.DataFrame
    specs: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, Any]]
    notes: tuple[str, ...] = field(default=())
    folders: dict[str, Path] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(self.specs)

    @property
    def keys(self) -> list[str]:
        """The columns that identify a model: ("study",) "model"."""
        return ["study", "model"] if "study" in self.trials else ["model"]

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
            raise StudyError(f"these are {len(by_name)} studies merged: use .{attribute}[name]")
        return next(iter(by_name.values()))


def load(*folders: str | os.PathLike[str]) -> Study:
    """Read one study folder, or merge several, finished or still running.

    Raises `StudyError` where a folder is no study folder or its tables cannot be read.
    """
    if not folders:
        raise StudyError("no study folder given")
    paths = [Path(folder) for folder in folders]
    studies = {name: _load_one(path, name) for name, path in zip(_names(paths), paths, strict=True)}
    return _merged(studies) if len(studies) > 1 else next(iter(studies.values()))


def _load_one(folder: Path, name: str) -> Study:
    _check_is_study(folder)
    notes: list[str] = []

    def table(file: str, columns: Columns) -> pd.DataFrame:
        try:
            frame, problems = read_csv(folder / file, columns)
        except (ValueError, OSError) as error:
            raise StudyError(f"{folder / file} is no readable table: {_first_line(error)}") from error
        notes.extend(problems)
        return frame

    def document(file: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        try:
            content = parse((folder / file).read_text(encoding="utf-8"))
        except FileNotFoundError:
            notes.append(f"{file} is missing")
            return {}
        except (ValueError, OSError, yaml.YAMLError) as error:
            notes.append(f"{file} cannot be read: {_first_line(error)}")
            return {}
        return content if isinstance(content, dict) else {}

    spec, environment = document("study.yaml", yaml.safe_load), document("environment.json", json.loads)
    schema = environment.get("schema", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        notes.append(f"written by a newer version (schema {schema}; this one knows {SCHEMA}): what it knows is shown")
    return Study(
        trials=table("trials.csv", TRIALS),
        epochs=table("epochs.csv", EPOCHS),
        profile=table("profile.csv", PROFILE),
        specs={name: spec},
        environments={name: environment},
        notes=tuple(notes),
        folders={name: folder},
    )


def _check_is_study(folder: Path) -> None:
    if not folder.exists():
        raise StudyError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise StudyError(f"{folder} is a file: give the study folder that holds it")
    if any((folder / mark).exists() for mark in _MARKS):
        return
    inside = sorted(str(path.parent) for path in folder.glob("*/study.yaml"))
    instead = f"; the studies in it are {', '.join(inside[:5])}" if inside else ""
    raise StudyError(f"{folder} is no study folder (it has none of {', '.join(_MARKS)}){instead}")


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
        return pd.concat(
            [frame_of(study).assign(study=name) for name, study in studies.items()], ignore_index=True
        ).pipe(lambda frame: frame[["study", *frame.columns.drop("study")]])

    return Study(
        trials=stacked(lambda study: study.trials),
        epochs=stacked(lambda study: study.epochs),
        profile=stacked(lambda study: study.profile),
        specs={name: study.spec for name, study in studies.items()},
        environments={name: study.environment for name, study in studies.items()},
        notes=tuple(f"{name}: {note}" for name, study in studies.items() for note in study.notes),
        folders={name: study.folders[name] for name, study in studies.items()},
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
