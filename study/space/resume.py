"""What --resume may change of a study, and what would make its finished trials mean something else."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record.contents import read_environment
from record.errors import UserError, one_line
from record.folder import StudyFolder
from study.space.reading import read_yaml, resolve
from study.space.schema import StudySpec
from study.space.typed import typed

# None of these changes what the finished trials mean.
EXTENDABLE = ("description", "cost", "hardware", "trials", "time_budget", "phases", "confirm", "checkpoint_seconds")


@dataclass(frozen=True)
class Stored:
    """A study that was started: its resolved spec (study.yaml) and the space that it came from."""

    spec: dict[str, Any]
    space: dict[str, Any]


def stored(folder: Path) -> Stored | None:
    """What the folder was run with; None if no study was started there. Raises UserError for files that are damaged."""
    study = StudyFolder(folder)
    if not study.spec.exists():
        return None
    spec = read_yaml(study.spec)
    try:
        space = read_environment(study).get("space")
    except (OSError, ValueError) as error:
        raise UserError(f"{study.environment} cannot be read ({one_line(error)}); restore or delete it") from error
    return Stored(spec, space or spec)


def extend(folder: Path, study: Stored, space: dict[str, Any] | None) -> dict[str, Any]:
    """The stored spec with what the space, edited since, may extend; UserError if the edit changes the study."""
    raw = deepcopy(study.spec)
    if space is None or space == study.space:
        return raw
    check_same(typed(resolve(study.space, "the stored space")), typed(resolve(space, "--space")), folder)
    for key in EXTENDABLE:
        if key in space and space[key] != study.space.get(key):
            raw[key] = space[key]
    return raw


def check_same(old: StudySpec, new: StudySpec, folder: Path) -> None:
    """UserError if `new` would change what the finished trials of the folder mean. Both are typed."""
    if changed := differences(old, new):
        raise UserError(
            f"--resume: this differs from the study in {folder} ({'; '.join(changed[:3])}); "
            "undo the change, or start a new study with --name"
        )


def differences(old: StudySpec, new: StudySpec) -> list[str]:
    """Dotted keys in which two specs differ beyond what --resume may change, each 'key: old -> new'."""

    def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, child in value.items() for k, v in flatten(child, f"{prefix}.{key}").items()}
        return {prefix.lstrip("."): value}

    a, b = (flatten(s.model_dump(mode="json", exclude=set(EXTENDABLE))) for s in (old, new))
    keys = [k for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k) and ".resources." not in k]
    return [f"{k}: {a.get(k)!r} -> {b.get(k)!r}" for k in keys]
