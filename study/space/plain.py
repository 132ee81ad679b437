"""What may stand in a space at all: mappings with text keys, lists, text, true and false, null and finite numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from record.folder import CONFIRM, PROFILE
from study.space.messages import WORDS, Path, Problem, wrong_type

MAX_INTEGER = 2**53  # the largest whole number that every reader of JSON, YAML and SQL keeps exactly
MAX_VALUES = 20_000
MAX_DEPTH = 20

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
NAME_RULE = "letters, digits, _ . + and -, a letter or digit first, 64 characters at most"
TEXT = re.compile(r"[A-Za-z0-9_.+-]{1,64}")  # a factor's value, which follows `key=` in names
TEXT_RULE = "letters, digits, _ . + and -, 64 characters at most"


def check_plain(raw: object) -> list[Problem]:
    """What no key of a space can have as its value. Aliases count as often as they occur."""
    problems = []
    for count, (path, value) in enumerate(_values(raw, ()), start=1):
        if count > MAX_VALUES:
            return [Problem(path[:1], f"a space has at most {MAX_VALUES} values, aliases expanded; this one has more")]
        if message := _message(path, value):
            problems.append(Problem(path, message))
    return problems


def name_message(name: str) -> str | None:
    """What is wrong with the name of a study or of a model entry, which becomes the name of files."""
    return None if NAME.fullmatch(name) else f"a name is made of {NAME_RULE}"


def name_problems(names: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with the names of a study's model entries: file systems and databases may not tell cases apart."""
    earlier: dict[str, str] = {}
    for name in names:
        if message := name_message(name):
            yield Problem((name,), message)
        elif name.casefold() in (PROFILE, CONFIRM):
            yield Problem((name,), f"'{name}' is the name of a phase; choose another one")
        elif (other := earlier.setdefault(name.casefold(), name)) != name:
            yield Problem((name,), f"differs from '{other}' in upper and lower case only")


def _values(value: object, path: Path) -> Iterator[tuple[Path, object]]:
    yield path, value
    if len(path) > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _values(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _values(child, (*path, index))


def _message(path: Path, value: object) -> str | None:
    if len(path) > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels"
    if any(isinstance(key, str) and not _is_text(key) for key in path[-1:]):
        return "a key must be printable text"
    if isinstance(value, str) and not _is_text(value):
        return "text without NUL and lone surrogates is needed"
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return f"whole numbers lie within {MAX_INTEGER} of 0"
    if isinstance(value, float) and not math.isfinite(value):
        return wrong_type("a finite number", value)
    if not isinstance(value, str | int | float | list | Mapping | None):
        return f"{WORDS[str]}, a number, a list or a mapping is needed, got a YAML {type(value).__name__}"
    return None


def _is_text(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
