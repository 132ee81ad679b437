"""Words that several parts of tell/ share: names of trials, settings, lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.read.study_folder import Study


def trial_name(row: Mapping[Any, Any], study: Study) -> str:
    """The trial of `row`; in merged studies `study/trial`."""
    return "/".join(str(row[key]) for key in (*study.keys[:-1], "trial"))


def choice_name(row: Mapping[Any, Any], study: Study) -> str:
    """What `row` offers to choose: its trial and, in a study of several engines, its engine."""
    return trial_name(row, study) + (f" in {row['engine']}" if study.several_engines else "")


def setting(name: str, value: object) -> str:
    """ "train size 10,000"."""
    return f"{name.replace('_', ' ')} {number(value)}"


def number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def digits(value: float) -> str:
    """A measured figure as tables and pictures show it: 4,913, 60.4 and 0.00208."""
    if not float(value).is_integer():
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"


def count(number: int, noun: str) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def enumeration(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def shortened(names: Sequence[str], max_: int) -> str:
    """The first `max_` names, and how many more there are."""
    more = f" and {len(names) - max_} more" if len(names) > max_ else ""
    return ", ".join(names[:max_]) + more
