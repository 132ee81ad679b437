"""Isolated timings at one pace of the machine: each was made at its own, which its yardstick tells (trainables/pace.py)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from record import figures
from record.figures import PACE, TIMING_SECONDS, YARDSTICK
from record.folder import PROFILE
from trainables.task import Figures

if TYPE_CHECKING:
    from study.ledger import IsolatedTiming


def at_usual_pace(recorded: Sequence[IsolatedTiming]) -> list[IsolatedTiming]:
    """The timings as they would be had the machine always had its usual pace: on each kind of hardware that of the median
    yardstick of the profile phase, so that the speeds of the search stay when confirm adds timings.

    A timing without a yardstick, of a GPU or an older version, stays as it is.
    """
    yardsticks: dict[object, list[float]] = {}
    for timing in [each for each in recorded if each.phase == PROFILE] or recorded:
        if (duration := timing.figures.get(YARDSTICK)) is not None:
            yardsticks.setdefault(timing.figures["hardware"], []).append(float(duration))
    usual = {kind: statistics.median(durations) for kind, durations in yardsticks.items()}
    return [_at(timing, usual.get(timing.figures.get("hardware"))) for timing in recorded]


def _at(timing: IsolatedTiming, usual: float | None) -> IsolatedTiming:
    duration = timing.figures.get(YARDSTICK)
    if duration is None or usual is None:
        return timing
    pace = usual / float(duration)
    engines = {engine: restated(own, pace) | {PACE: pace} for engine, own in timing.engines.items()}
    return replace(timing, figures=restated(timing.figures, pace) | {PACE: pace}, engines=engines)


def restated(row: Figures, pace: float) -> Figures:
    """What a machine of another pace would have taken, for figures of one that had `pace` times that: above 1 where it was
    faster, where a call would have taken longer than it did."""
    scaled = dict(row)
    for name, value in row.items():
        if isinstance(value, float) and name in figures.BY_NAME and name not in (YARDSTICK, TIMING_SECONDS):
            scaled[name] = value * pace ** figures.BY_NAME[name].clock
    return scaled
