"""What is wrong with a space, in the space's own words: dotted keys and YAML's values instead of Pydantic's internals."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from record.errors import UserError, nearest, one_line

Path = tuple[str | int, ...]  # the keys that lead to a value of a space, and positions in its lists

SHOWN_PROBLEMS = 5
SHOWN_CHARACTERS = 80  # of a key or a value
PROBLEM_CHARACTERS = 600
WORDS: dict[object, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "null",
    list: "a list", dict: "a mapping",
}  # fmt: skip
BOUNDS = {
    "greater_than": "must be above {gt:g}", "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be below {lt:g}", "less_than_equal": "must be {le:g} or less",
    "literal_error": "must be {expected}",
}  # fmt: skip
NEEDED = {  # the words for what a value should have been, by the start of Pydantic's error types
    "bool": WORDS[bool], "int": WORDS[int], "float": WORDS[float], "string": WORDS[str], "list": WORDS[list],
    "dict": WORDS[dict], "model": WORDS[dict], "finite": "a finite number",
    "dimension": "a range (low, high) or a list of choices",
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """Something wrong at one place of a space."""

    path: Path
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (dotted(self.path), " ".join(self.message.split())) if part)

    def below(self, *path: str | int) -> Problem:
        """The same problem, seen from further up."""
        return Problem((*path, *self.path), self.message)


def dotted(path: Path) -> str:
    keys = (shown(key) if isinstance(key, bool) else str(key) for key in path)
    return ".".join(_short(key if key.isprintable() else repr(key)) for key in keys)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def user_error(where: str, problems: Iterable[Problem]) -> UserError:
    """One line that names the first few problems; where: the file or option that the space comes from."""
    lines = list(dict.fromkeys(one_line(str(problem), PROBLEM_CHARACTERS) for problem in problems))
    more = [f"and {len(lines) - SHOWN_PROBLEMS} more"] if len(lines) > SHOWN_PROBLEMS else []
    return UserError(f"{where}: {'; '.join([*lines[:SHOWN_PROBLEMS], *more])}")


def shown(value: object) -> str:
    """A value as YAML has it, short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping | list):
        return WORDS[list if isinstance(value, list) else dict]
    return _short(repr(value) if isinstance(value, int | float) else repr(str(value)))


def words(kind: object) -> str:
    """The values that a type allows: `int | None` -> "a whole number or null"."""
    if get_origin(kind) is Literal:
        return _alternatives([shown(value) for value in get_args(kind)])
    kinds = [part for part in get_args(kind) if part is not int or float not in get_args(kind)]
    return _alternatives([words(each) for each in kinds]) if kinds else WORDS.get(kind, WORDS[dict])


def _alternatives(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def wrong_type(needed: str, value: object) -> str:
    """The message for a value of another type than needed."""
    hint = "; put it in quotes" if "text" in needed and isinstance(value, bool | int | float) else ""
    return f"{needed} is needed, got {shown(value)}{hint}"


def refuse(problems: Iterable[Problem]) -> None:
    """Called in a validator: raise the problems, if there are any, with their places below the validated value."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("space", "{message}", {"message": problem.message}), loc=problem.path, input=None
        )
        for problem in problems
    ]
    if details:
        raise ValidationError.from_exception_data("space", details)


def problems_of(error: ValidationError, raw: object, model: type[BaseModel]) -> list[Problem]:
    """The problems that Pydantic found in `raw`; those of a union's branches, which share a place, become one."""
    by_path: dict[Path, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "default_factory_not_called":  # follows from another problem
            continue
        by_path.setdefault(_path(details, raw), []).append(details)
    return [Problem(path, message) for path, group in by_path.items() for message in _messages(path, group, model)]


def _path(details: ErrorDetails, raw: object) -> Path:
    """Where the problem is. A part of Pydantic's location that is not a key of the raw value there is Pydantic's own."""
    path: Path = ()
    inside = True
    for part in details["loc"]:
        inside = part in raw if isinstance(raw, Mapping) else isinstance(raw, list) and isinstance(part, int)
        if inside:
            # The key as it was written: Pydantic takes a key `true` for 1.
            written = next(key for key in raw if key == part) if isinstance(raw, Mapping) else part
            path, raw = (*path, written), raw[part]  # type: ignore[index]
    absent = not inside and details["type"] in ("missing", "invalid_key")
    return (*path, details["loc"][-1]) if absent else path


def _messages(path: Path, group: list[ErrorDetails], model: type[BaseModel]) -> list[str]:
    needed: dict[str, object] = {}  # in words -> what was given instead
    messages = []
    for details in group:
        kind, context = details["type"], details.get("ctx", {})
        if details["loc"][-1:] == ("[key]",) or kind == "invalid_key":
            messages.append("a key must be text; put it in quotes")
        elif kind == "missing":
            messages.append("is missing")
        elif kind == "extra_forbidden":
            messages.append(f"unknown key; {nearest(str(path[-1]), _keys(model, path[:-1]))}")
        elif kind == "too_short":
            messages.append(f"at least {context['min_length']} entry is needed")
        elif kind in BOUNDS:
            messages.append(f"{BOUNDS[kind].format(**context)}, got {shown(details['input'])}")
        elif word := NEEDED.get(kind.partition("_")[0]):
            needed[word] = details["input"]
        else:
            messages.append(str(context.get("error", details["msg"])))
    if WORDS[float] in needed:
        needed.pop(WORDS[int], None)
    if needed:
        messages.append(wrong_type(_alternatives(list(needed)), next(iter(needed.values()))))
    return list(dict.fromkeys(messages))


def _keys(model: type[BaseModel], path: Path) -> set[str]:
    """The keys that a space may have at this path."""
    owner = _model_at(model, path)
    return {*(owner.model_fields if owner else ()), *(() if path else ("all_models",))}


def _model_at(kind: Any, path: Path) -> type[BaseModel] | None:
    """The Pydantic model of the value at a path, for a value of type `kind` at the top."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not path:
            return kind
        field = kind.model_fields.get(str(path[0]))
        return _model_at(field.annotation, path[1:]) if field else None
    arguments = get_args(kind)
    if get_origin(kind) in (dict, list):
        return _model_at(arguments[-1], path[1:]) if path else None
    return next((model for argument in arguments if (model := _model_at(argument, path))), None)
