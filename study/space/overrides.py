"""What the command line changes of a space before it is resolved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import yaml_text
from record.errors import UserError

WEIGHTS = ("none", "timm")  # the words of `weights`; everything else is a file


@dataclass(frozen=True)
class Overrides:
    """The options of the command line that override a space; None leaves it as it is."""

    data: str | None = None
    weights: str | None = None
    trials: int | None = None
    epochs: int | None = None
    seed: int | None = None
    time_budget: str | None = None
    gpus: float | None = None
    cpus: float | None = None
    settings: tuple[str, ...] = ()  # KEY=VALUE

    def changes(self) -> dict[str, Any]:
        """Dotted key of the space -> value; '*' stands for every model. Raises UserError for a malformed setting."""
        given = {
            "data.name": self.data,
            "models.*.weights": self.weights,
            "trials": self.trials,
            "models.*.epochs": self.epochs,
            "seed": self.seed,
            "time_budget": self.time_budget,
            "models.*.resources.gpus": self.gpus,
            "models.*.resources.cpus": self.cpus,
        }
        changes = {key: value for key, value in given.items() if value is not None} | dict(map(_setting, self.settings))
        if os.path.isdir(data := str(changes.get("data.name", ""))):
            changes["data.name"] = _absolute(data)
        files = {key: value for key, value in changes.items() if key.endswith(".weights") and isinstance(value, str)}
        return changes | {
            key: _absolute(os.path.expanduser(file)) for key, file in files.items() if file not in WEIGHTS
        }

    def apply(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the raw space with the changes. Models that the space trains from random weights keep them."""
        changed: dict[str, Any] = deepcopy(dict(raw))
        for key, value in self.changes().items():
            for each in [key] if "*" not in key else [key.replace("*", name) for name in _models(changed, key)]:
                _set(changed, each, value)
        return changed


def _absolute(path: str) -> str:
    return str(Path(path).resolve())  # a study may be resumed from elsewhere


def _setting(text: str) -> tuple[str, Any]:
    """'a.b=1' -> ('a.b', 1)."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UserError(f"--set {text}: write key=value, such as models.vit.image_size=112")
    return key, yaml_text.load(value, f"--set {text}")


def _models(raw: dict[str, Any], key: str) -> list[str]:
    """The models that a key with '*' is for."""
    entries = {name: entry or {} for name, entry in _mapping(raw.get("models")).items()}
    if key.endswith("weights"):
        shared = _mapping(raw.get("all_models")).get("weights", "none")
        return [name for name, entry in entries.items() if _mapping(entry).get("weights", shared) != "none"]
    return list(entries)


def _mapping(value: object) -> dict[str, Any]:
    """Validation will report what is not a mapping."""
    return value if isinstance(value, dict) else {}


def _set(raw: dict[str, Any], dotted: str, value: Any) -> None:
    """Set raw['a']['b'] = value for 'a.b'; validation will tell whether the key is known."""
    *parents, last = dotted.split(".")
    node = raw
    for depth, key in enumerate(parents):
        if node.get(key) is None:
            node[key] = {}
        if not isinstance(node[key], dict):
            raise UserError(f"--set {dotted}: '{'.'.join(parents[: depth + 1])}' is a value, not a mapping")
        node = node[key]
    node[last] = value
