"""What --resume may change of a study, and what would make its finished trials mean something else."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record.errors import UserError
from study.space.reading import read_yaml, resolve
from study.space.schema import EXTENDABLE, StudySpec, differences


@dataclass(frozen=True)
class Stored:
    """A study that was begun: its resolved spec (study.yaml) and the space that it came from."""

    spec: dict[str, Any]
    space: dict[str, Any]


def stored(folder: Path) -> Stored | None:
    """What the folder was run with; None where no study was begun."""
    import json

    if not (folder / "study.yaml").exists():
        return None
    spec = read_yaml(folder / "study.yaml")
    environment = folder / "environment.json"
    space = json.loads(environment.read_text(encoding="utf-8")).get("space") if environment.exists() else None
    return Stored(spec, space or spec)


def extend(folder: Path, study: Stored, space: dict[str, Any] | None) -> dict[str, Any]:
    """The stored spec with what the space, edited since, may extend; UserError where the edit changes the study."""
    raw = deepcopy(study.spec)
    if space is None or space == study.space:
        return raw
    check_same(resolve(study.space, "the stored space"), resolve(space, "--space"), folder)
    for key in EXTENDABLE:
        if key in space and space[key] != study.space.get(key):
            raw[key] = space[key]
    return raw


def check_same(old: StudySpec, new: StudySpec, folder: Path) -> None:
    """UserError if `new` would change what the finished trials of the folder mean."""
    if changed := differences(old, new):
        raise UserError(
            f"--resume: this differs from the study in {folder} ({'; '.join(changed[:3])}); "
            "undo the change, or begin a new study with --name"
        )
