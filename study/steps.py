"""How many steps the optimiser makes in the trials of each model, and whether they can suffice."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any, NamedTuple

from record.settings import settable
from study.space.schema import ModelEntry, StudySpec, split_settings
from trainables.task import SearchData, Task

# An adaptive optimiser moves a weight by about its learning rate per step at most. At 1e-3, with warm-up and decay, fifty
# steps move it by 0.02, about as far as the weights lie apart where a training starts from nothing.
MIN_STEPS = 50
MIN_STEPS_PRETRAINED = 10  # for a new classifier on features that are good already

AnyTask = Task[Any, Any, Any, Any]


class Steps(NamedTuple):
    """Of one trial."""

    per_epoch: int
    total: int
    warmup: int  # of the schedule, which may be longer than the training


def lines(spec: StudySpec, task: AnyTask, data: SearchData) -> list[str]:
    """For each model entry its steps per epoch and in all, then a warning for each whose steps cannot suffice."""
    counts, warnings = [], []
    for name, entry in spec.models.items():
        possible = possible_steps(spec, entry, task, data)
        per_epoch, total = _span([s.per_epoch for s in possible]), _span([s.total for s in possible])
        counts.append(f"{name}: {per_epoch} steps per epoch, {total} in all")
        warnings += [f"warning: {name}: {text}" for text in _warnings(entry, possible, task)]
    return counts + warnings


def possible_steps(spec: StudySpec, entry: ModelEntry, task: AnyTask, data: SearchData) -> list[Steps]:
    """The steps of the trials that the entry may get: at all choices and at both ends of ranges."""

    def steps(settings: dict[str, Any]) -> Steps:
        per_epoch, warmup = task.steps(task.Config(**settings), data)
        return Steps(per_epoch, per_epoch * entry.epochs, warmup)

    values, _ = split_settings(spec, {name: entry.values(name) for name in entry.names()})
    typical = {name: each[0] for name, each in values.items()} | {"epochs": entry.epochs}
    found = {steps(typical)}
    relevant: dict[str, list[Any]] = {}
    for name, each in values.items():
        if len({steps(typical | {name: value}) for value in each}) > 1:
            relevant[name] = each
    for point in itertools.product(*relevant.values()):
        with suppress(ValueError):  # a combination that the Config refuses
            found.add(steps(typical | dict(zip(relevant, point, strict=True))))
    return sorted(found, key=lambda each: each.total)


def _warnings(entry: ModelEntry, possible: list[Steps], task: AnyTask) -> list[str]:
    texts, fewest = [], possible[0].total
    pretrained = entry.weights != "none"
    if fewest < (needed := MIN_STEPS_PRETRAINED if pretrained else MIN_STEPS):
        start = "pretrained weights" if pretrained else "random weights"
        texts.append(
            f"{fewest} steps in all are too few to learn from {start} (fewer than {needed}): give it more epochs, "
            "more training data or smaller batches"
        )
    if rising := [each for each in possible if each.warmup >= each.total]:
        setting = next(name for name in settable(task.Config) if name.startswith("warmup"))
        texts.append(
            f"the warm-up of {rising[0].warmup:,} steps is as long as the training ({rising[0].total:,} steps), so the "
            f"learning rate is never at its peak for long: lower {setting} or give it more epochs"
        )
    return texts


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
