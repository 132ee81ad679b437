"""From a space's YAML to a StudySpec: find it, merge `all_models` into each entry, and say in one line what is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from record.errors import UserError, nearest
from study.space.schema import Confirm, Data, EarlyStopping, Range, Resources, StudySpec
from trainables.data.text.options import TextOptions

SPACES = Path(__file__).parents[1] / "spaces"


def space_names() -> list[str]:
    return sorted(path.stem for path in SPACES.glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file, or a UserError that says what the file is instead."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
        raise UserError(f"{path}: not a text file; a space is YAML in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}") from error
    if not isinstance(raw, dict):
        kind = "empty" if raw is None else f"a {type(raw).__name__}"
        raise UserError(f"{path}: a space is a mapping with 'description', 'data' and 'models', but this is {kind}")
    return raw


def read_space(name: str) -> tuple[dict[str, Any], str]:
    """The raw mapping of a built-in space or of a YAML file, and what to call it in messages."""
    if name in space_names():
        return read_yaml(SPACES / f"{name}.yaml"), name
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"--space {name}: no such file")
        return read_yaml(path), str(path)
    raise UserError(f"--space {name}: no built-in space of this name; {nearest(name, space_names())}")


def set_key(raw: dict[str, Any], dotted: str, value: Any) -> None:
    """Set raw['a']['b'] = value for 'a.b'; later validation judges whether the key is known."""
    *parents, last = dotted.split(".")
    node = raw
    for depth, key in enumerate(parents):
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise UserError(f"--set {dotted}: '{'.'.join(parents[: depth + 1])}' is a value, not a mapping")
        node = child
    node[last] = value


def resolve(raw: dict[str, Any], where: str) -> StudySpec:
    """Merge `all_models` into each entry and check everything that can be checked without importing torch."""
    raw = dict(raw)
    shared = raw.pop("all_models", None) or {}
    models = raw.get("models")
    if not isinstance(shared, dict):
        raise UserError(f"{where}: all_models: a mapping is needed, got {shared!r}")
    if isinstance(models, dict):
        raw["models"] = {name: _merge(shared, entry or {}, name, where) for name, entry in models.items()}
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(error)}") from error


def _merge(shared: dict[str, Any], entry: Any, name: str, where: str) -> dict[str, Any]:
    """The entry over the shared part; whichever of setting, search and factor the entry names replaces the others."""
    if not isinstance(entry, dict):
        raise UserError(f"{where}: models.{name}: a mapping is needed, got {entry!r}")
    for key in ("search", "factors", "resources"):
        for owner, part in (("all_models", shared.get(key)), (f"models.{name}", entry.get(key))):
            if not isinstance(part, dict | None):
                raise UserError(f"{where}: {owner}.{key}: a mapping is needed, got {part!r}")
    own = {*entry, *(entry.get("search") or {}), *(entry.get("factors") or {})}
    merged: dict[str, Any] = {"model": name}
    merged |= {key: value for key, value in shared.items() if key not in own}
    merged |= entry
    for key in ("search", "factors"):  # in one place a fixed setting wins, so that `--set` can pin a dimension
        inherited = {k: v for k, v in (shared.get(key) or {}).items() if k not in own and k not in shared}
        merged[key] = inherited | {k: v for k, v in (entry.get(key) or {}).items() if k not in entry}
    merged["resources"] = (shared.get("resources") or {}) | (entry.get("resources") or {})
    return merged


def _one_line(error: ValidationError) -> str:
    first, *more = error.errors()
    location = [str(part) for part in first["loc"]]
    # Pydantic names the branches of a union in the location; a reader knows only the YAML's keys.
    keys = [part for part in location if not part.startswith(("list[", "Range", "bool", "int", "float", "str"))]
    path = ".".join(keys)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        schema: dict[str, Any] = {
            "resources": Resources,
            "data": Data,
            "text": TextOptions,
            "early_stopping": EarlyStopping,
            "confirm": Confirm,
        }
        owner = schema.get(keys[-2], Range) if len(keys) > 1 else StudySpec
        fields = dataclasses.fields(owner) if dataclasses.is_dataclass(owner) else ()
        names = [field.name for field in fields] or list(owner.model_fields)
        message = f"unknown key; {nearest(keys[-1], names)}"
    else:
        message = first["msg"].removeprefix("Value error, ")
        if not isinstance(first["input"], dict):
            message += f", got {first['input']!r}"
    separator = ": " if path else ""
    return f"{path}{separator}{message}".replace("\n", " ") + (f" (and {len(more)} more)" if more else "")
