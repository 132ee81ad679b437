"""The numbers of a space: not true or false, which Python counts as 1 and 0, and not beyond every use; durations."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

MAX_COUNT = 99_999  # of epochs, trials, CPUs: a larger number is a slip
MAX_REPEATS = 1000
MAX_CELLS = 1000  # of one model entry


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "not a number")
    return value


def _not_bool_but_whole(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "not a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_not_bool_but_whole)]
Repeats = Annotated[int, Field(ge=1, le=MAX_REPEATS), BeforeValidator(_not_bool_but_whole)]
Real = Annotated[float, BeforeValidator(_not_bool)]
Positive = Annotated[float, Field(gt=0), BeforeValidator(_not_bool)]
Number = Annotated[int | float, BeforeValidator(_not_bool)]
Flag = Annotated[bool, Field(strict=True)]


def seconds(text: str) -> float:
    """'90s', '30m', '2h', '1h30m' -> seconds; ValueError for anything else."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"'{text}' is not a duration; write 90s, 30m, 2h or 1h30m")
    hours, minutes, secs = (float(group or 0) for group in match.groups())
    total = hours * 3600 + minutes * 60 + secs
    if not 0 < total < math.inf:
        raise ValueError(f"must be above 0, got '{text}'")
    return total
