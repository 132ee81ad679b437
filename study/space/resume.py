"""What --resume may change of a study, and what would make its finished trials mean something else."""

from __future__ import annotations

import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record.contents import read_environment
from record.errors import UserError, one_line
from record.folder import StudyFolder
from study import recorded
from study.space.overrides import Overrides
from study.space.reading import read_yaml, resolve
from study.space.schema import StudySpec
from study.space.typed import typed

# None of these changes what the finished trials mean.
EXTENDABLE = (
    "description", "cost", "hardware", "trials", "time_budget", "min_gain_per_hour", "trial_timeout", "phases", "confirm",
    "checkpoint_seconds", "limits",
)  # fmt: skip


class Edited(UserError):
    """study.yaml says something else than what ran."""


@dataclass(frozen=True)
class Stored:
    """A study that was started: its resolved spec (study.yaml) and the space that it came from."""

    spec: dict[str, Any]
    space: dict[str, Any]


def stored(folder: Path, storage: str | None = None) -> Stored | None:
    """What the folder was run with; None if no study was started there. Raises UserError for files that are damaged."""
    study = StudyFolder(folder)
    recorded.check_kept(folder, storage)
    ledger = recorded.read(folder, storage)
    if ledger is None and not study.spec.exists():
        return None
    try:
        spec = read_yaml(study.spec)
        if ledger is not None and (changes := _changes(_typed(ledger, "the ledger"), _typed(spec, str(study.spec)))):
            listed = "; ".join(f"{key}: {change}" for key, change in list(changes.items())[:3])
            raise Edited(f"{study.spec} was edited since the study ran ({listed}); undo that, or start a new study")
    except UserError as error:
        if ledger is None or isinstance(error, Edited):
            raise
        print(f"{error}; the study continues with its copy in the ledger", file=sys.stderr)
        spec = ledger
    try:
        space = read_environment(study).get("space")
    except (OSError, ValueError) as error:
        raise UserError(f"{study.environment} cannot be read ({one_line(error)}); restore or delete it") from error
    return Stored(spec, space or spec)


def resumed(folder: Path, study: Stored, space: dict[str, Any] | None, overrides: Overrides, where: str) -> StudySpec:
    """The study to continue, with what the space (edited since) and the command line extend; its settings are typed.

    Raises UserError if either would change what the finished trials mean.
    """
    old = _typed(study.spec, str(folder))
    spec = _typed(overrides.apply(_extended(folder, study, space)), where)
    _check_same(_changes(old, spec), folder)
    # An option need not reach the resolved spec, whose entries override what `all_models` sets.
    plain, wanted = _typed(study.space, where), _typed(overrides.apply(study.space), where)
    by_options = _changes(plain, wanted)
    _check_same({key: change for key, change in _changes(old, wanted).items() if key in by_options}, folder)
    return spec


def _typed(raw: dict[str, Any], where: str) -> StudySpec:
    return typed(resolve(raw, where))


def _extended(folder: Path, study: Stored, space: dict[str, Any] | None) -> dict[str, Any]:
    """The stored spec with what the space extends."""
    raw = deepcopy(study.spec)
    if space is None or space == study.space:
        return raw
    _check_same(_changes(_typed(study.space, "the stored space"), _typed(space, "--space")), folder)
    for key in EXTENDABLE:
        if key in space and space[key] != study.space.get(key):
            raw[key] = space[key]
    return raw


def _check_same(changes: dict[str, str], folder: Path) -> None:
    if changes:
        listed = "; ".join(f"{key}: {change}" for key, change in list(changes.items())[:3])
        raise UserError(
            f"--resume: this differs from the study in {folder} ({listed}); "
            "undo the change, or start a new study with --name"
        )


def differences(old: StudySpec, new: StudySpec) -> list[str]:
    """Dotted keys in which two specs differ beyond what --resume may change, each 'key: old -> new'."""
    return [f"{key}: {change}" for key, change in _changes(old, new).items()]


def _changes(old: StudySpec, new: StudySpec) -> dict[str, str]:
    def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, child in value.items() for k, v in flatten(child, f"{prefix}.{key}").items()}
        return {prefix.lstrip("."): value}

    a, b = (flatten(spec.model_dump(mode="json", exclude=set(EXTENDABLE))) for spec in (old, new))
    keys = [key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key) and ".resources." not in key]
    return {key: f"{a.get(key)!r} -> {b.get(key)!r}" for key in keys}
