"""Reading a dataclass of settings: each value with its field's type, and everything that is wrong at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter

from record.errors import nearest
from record.settings import types
from study.space.messages import Problem, words, wrong_type

C = TypeVar("C")

BOUND = "must "  # how a message continues that is about one value alone: "lr must be above 0, got -1"

_adapter = cache(TypeAdapter[Any])


def convert(value: object, kind: Any) -> Any:
    """The value as a field of type `kind` has it: 3 as 3.0, "1e-3" as 0.001. Raises ValueError if it does not fit."""
    try:
        if bool not in (kind, *get_args(kind)) if isinstance(value, bool) else kind is bool:  # to Python, true is 1
            raise ValueError
        converted = _adapter(kind).validate_python(value)
        if isinstance(converted, float) and not math.isfinite(converted):  # the text "nan"
            raise ValueError
        return converted
    except ValueError:  # Pydantic's, too
        raise ValueError(wrong_type(words(kind), value)) from None


def read_config(config: type[C], given: Mapping[str, Any]) -> tuple[C | None, list[Problem]]:
    """A config of the given settings, and what is wrong with them; None or incomplete if anything is."""
    kinds = types(config)
    values: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        if name not in kinds:
            problems.append(Problem((name,), f"unknown key; {nearest(name, kinds)}"))
        elif dataclasses.is_dataclass(kinds[name]) and isinstance(value, Mapping):
            values[name], inner = read_config(kinds[name], value)
            problems += [problem.below(name) for problem in inner]
        else:
            try:
                values[name] = convert(value, kinds[name])
            except ValueError as error:
                problems.append(Problem((name,), str(error)))
    built, refused = build_config(config, values)
    return built, problems + refused


def build_config(config: type[C], values: Mapping[str, Any]) -> tuple[C | None, list[Problem]]:
    """`config(**values)`. Without a value that is out of bounds it is tried again, so that no problem hides another."""
    left = dict(values)
    problems: list[Problem] = []
    while True:
        try:
            return config(**left), problems
        except ValueError as error:
            problem = about(str(error), left)
            problems.append(problem)
            if not problem.path or not problem.message.startswith(BOUND):
                return None, problems
            del left[str(problem.path[0])]


def about(message: str, settings: Mapping[str, Any]) -> Problem:
    """The problem that a Config's message describes; its place is the setting that the message starts with, if any."""
    name, _, rest = message.partition(" ")
    if name not in settings:
        return Problem((), message)
    return Problem((name,), rest if rest.startswith(BOUND) else message)
