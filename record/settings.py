"""Fields of a Config that say what they mean, whether they cost time, and whether the data decide them.

    @dataclass(frozen=True)
    class Config:
        width: int = setting(64, "channels of the first stage")
        drop_rate: float = setting(0.0, "dropout before the classifier", free=True)

A Config is the only place that knows its settings: reading a space, the profile grid and docs/spaces.md ask it.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import Field, field
from typing import Any, TypeVar

T = TypeVar("T")


def setting(default: T, meaning: str, *, free: bool = False, from_data: bool = False) -> T:
    """A dataclass field with its documentation.

    free: its value changes neither the speed nor the memory of the model, so it is not part of the profile grid.
    from_data: the data set decides it, so a space cannot set it.
    """
    metadata = {"meaning": meaning, "free": free, "from_data": from_data}
    return field(default=default, metadata=metadata)


def settable(config: type[Any]) -> dict[str, Field[Any]]:
    """The fields of a Config that a space may set, by name."""
    return {f.name: f for f in dataclasses.fields(config) if not f.metadata.get("from_data")}


def costs_time(config: type[Any]) -> set[str]:
    """The settings of a Config that may change the speed; one that does not say `free` counts."""
    return {name for name, f in settable(config).items() if not f.metadata.get("free")}


def types(config: type[Any]) -> dict[str, Any]:
    """Name -> type of the fields that a space may set."""
    hints = typing.get_type_hints(config)
    return {name: hints[name] for name in settable(config)}


def meaning(f: Field[Any]) -> str:
    """What a setting means, "" where its Config does not say."""
    return str(f.metadata.get("meaning", ""))
