"""From a space's YAML to a StudySpec: find the file, merge `all_models` into each entry, report everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from record import yaml_text
from record.errors import UserError, nearest
from study.space import messages
from study.space.messages import Problem
from study.space.plain import check_plain
from study.space.schema import StudySpec

SPACES = Path(__file__).parents[1] / "spaces"


def space_names() -> list[str]:
    return sorted(path.stem for path in SPACES.glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file. Raises UserError that says what the file is instead."""
    try:
        raw = yaml_text.load(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file; YAML in UTF-8 is needed") from error
    if not isinstance(raw, dict):
        kind = "empty" if raw is None else "a list" if isinstance(raw, list) else "a single value"
        raise UserError(f"{path}: a space is a mapping with 'description', 'data' and 'models', but this is {kind}")
    return raw


def read_space(name: str) -> tuple[dict[str, Any], str]:
    """The raw mapping of a built-in space or of a YAML file, and what to call it in messages."""
    if name in space_names():
        return read_yaml(SPACES / f"{name}.yaml"), name
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):  # Path.is_file raises for a name that is too long
        if not os.path.isfile(path):
            raise UserError(f"--space {name}: no such file")
        return read_yaml(path), str(path)
    raise UserError(f"--space {name}: no built-in space has this name; {nearest(name, space_names())}")


def resolve(raw: Mapping[str, Any], where: str) -> StudySpec:
    """Merge `all_models` into each entry and check everything that can be checked without importing torch.

    Raises UserError that names all problems; where: the start of its message.
    """
    if not_plain := check_plain(raw):
        raise messages.user_error(where, not_plain)
    problems: list[Problem] = []
    resolved = {key: value for key, value in raw.items() if key != "all_models"}
    shared = _parts(raw.get("all_models"), ("all_models",), problems)
    if isinstance(entries := raw.get("models"), Mapping):
        resolved["models"] = {name: _merge(shared, entry, name, problems) for name, entry in entries.items()}
    try:
        spec = StudySpec.model_validate(resolved)
    except ValidationError as error:
        refused = messages.problems_of(error, resolved, StudySpec)
        problems += [Problem(_as_written(problem.path, raw), problem.message) for problem in refused]
    if problems:
        raise messages.user_error(where, problems)
    return spec


def check_new(spec: StudySpec, where: str) -> None:
    """Raise UserError for phases that a study without trials cannot run."""
    if "confirm" in spec.phases and "search" not in spec.phases:
        fix = "add search, or --resume a study that has searched"
        raise messages.user_error(where, [Problem(("phases",), f"confirm trains again what search has found; {fix}")])


PARTS = ("search", "factors", "resources")  # an entry adds to these parts of `all_models`, and replaces its other keys


def _parts(entry: object, path: messages.Path, problems: list[Problem]) -> dict[str, Any]:
    """A copy of an entry, as a mapping with all its parts; notes what is not a mapping."""

    def mapping(value: object, path: messages.Path) -> dict[str, Any]:
        if not isinstance(value, Mapping | None):
            problems.append(Problem(path, messages.wrong_type(messages.WORDS[dict], value)))
        return dict(value) if isinstance(value, Mapping) else {}

    whole = mapping(entry, path)
    return whole | {part: mapping(whole.get(part), (*path, part)) for part in PARTS}


def _merge(shared: dict[str, Any], entry: object, name: str, problems: list[Problem]) -> dict[str, Any]:
    """The entry over the shared part; whichever of setting, search and factor the entry names replaces the others."""
    given = _parts(entry, ("models", name), problems)
    own = {*given, *given["search"], *given["factors"]}
    merged = {"model": str(name)} | {key: value for key, value in shared.items() if key not in own} | given
    for part in ("search", "factors"):  # in one place a fixed setting wins, so that `--set` can pin a dimension
        inherited = {k: v for k, v in shared[part].items() if k not in own and k not in shared}
        merged[part] = inherited | {k: v for k, v in given[part].items() if k not in given}
    return merged | {"resources": shared["resources"] | given["resources"]}


def _as_written(path: messages.Path, raw: Mapping[str, Any]) -> messages.Path:
    """Where the user wrote what is at a path of the resolved space: in the entry, or in `all_models`."""
    entry, place = path[:2], path[2:]
    if entry[:1] != ("models",) or not place:
        return path
    merged = place[: 2 if place[0] in PARTS else 1]  # what comes from one of the two as a whole
    shared = not _has(raw, (*entry, *merged)) and _has(raw, ("all_models", *merged))
    return ("all_models", *place) if shared else path


def _has(raw: object, path: messages.Path) -> bool:
    for key in path:
        if not isinstance(raw, Mapping) or key not in raw:
            return False
        raw = raw[key]
    return True
