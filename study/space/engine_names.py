"""Which engines a space may name."""

from __future__ import annotations

from collections.abc import Iterator

from models import engines
from record import tasks
from record.errors import nearest
from study.space.messages import Problem


def engine_problems(task: str | None, names: list[str]) -> Iterator[Problem]:
    """What is wrong with a list of engines, without importing one. task: None where it is not known, which is said elsewhere."""
    if engines.EAGER not in names:
        reason = "which trials are evaluated with and the other engines are compared with: list it"
        yield Problem((), f"'{engines.EAGER}' is missing, {reason}")
    for name in dict.fromkeys(names):
        if name not in engines.available():
            yield Problem((), f"unknown engine '{name}'; {nearest(name, engines.available())}")
        elif name != engines.EAGER and task is not None and not tasks.terms(task).engines:
            yield Problem((), f"'{name}' does not run models of task {task}, only {engines.EAGER} does")
        elif names.count(name) > 1:
            yield Problem((), f"'{name}' is listed twice")
