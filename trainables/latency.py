"""Latency at batch 1: median, 95th and 99th percentile of the durations of many single calls, each with an interval.

Plain torch, whatever is called; whoever calls ensures that nothing else runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch

from trainables import timing
from trainables.pace import Yardstick

CALLS = 1000
SECONDS = 0.5  # at which short calls are many, and long ones, which are 3 at least, few
LIMITED_SECONDS = (
    10.0  # where a limit asks for them: 1,000 calls of 10 ms, and bounds for the 99th percentile up to 27 ms
)
WARM_UP_SECONDS = 0.2
CONFIDENCE = 0.95
PERCENTILES = {"latency_ms": 0.5, "latency_ms_p95": 0.95, "latency_ms_p99": 0.99}  # column: share of the calls below


@dataclass(frozen=True)
class Latency:
    """Durations of single calls, in seconds."""

    seconds: Sequence[float]

    def figures(self) -> dict[str, float | int | None]:
        """The columns, in ms: median and percentiles, each with its interval, whose upper end may be missing; the calls."""
        columns: dict[str, float | int | None] = {"latency_calls": len(self.seconds)}
        for name, share in PERCENTILES.items():
            low, high = interval(self.seconds, share)
            columns[name] = 1000 * percentile(self.seconds, share)
            columns[f"{name}_low"] = 1000 * low
            columns[f"{name}_high"] = None if high is None else 1000 * high
        return columns


def measure(
    call: Callable[[], object],
    device: torch.device,
    seconds: float = SECONDS,
    yardstick: Yardstick | None = None,
    calls: int = CALLS,
) -> Latency:
    """Time single calls for SECONDS; where `seconds` is more, on until there were `calls` of them or that time is over. Untimed
    ones come first, and there are three turns of calls at least.

    Nothing is timed again where the calls differ much: that would throw away the slow ones, which percentiles are about.
    To bound the 99th percentile from above takes 368 calls, the 95th 72.
    """
    [latency] = alternate([call], device, seconds, yardstick, calls)
    return latency


def alternate(
    rivals: Sequence[Callable[[], object]],
    device: torch.device,
    seconds: float = SECONDS,
    yardstick: Yardstick | None = None,
    calls: int = CALLS,
) -> list[Latency]:
    """`measure` of each of these, in turns: what disturbs one disturbs the others."""
    for call in rivals:
        timing.warm_up(call, device, WARM_UP_SECONDS)
    turns = timing.rounds(rivals, device, yardstick, min(seconds, SECONDS))
    while min(map(_calls, turns)) < calls and sum(sum(map(sum, own)) for own in turns) < seconds * len(rivals):
        for own, more in zip(turns, timing.rounds(rivals, device, yardstick, 0, min_turns=1), strict=True):
            own += more
    return [Latency([*chain(*own)]) for own in turns]


def _calls(turns: Sequence[Sequence[float]]) -> int:
    return sum(map(len, turns))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that a share of the values does not exceed; of a half, the median."""
    return statistics.median(values) if share == 0.5 else float(np.quantile(values, share, method="inverted_cdf"))


def interval(values: Sequence[float], share: float, confidence: float = CONFIDENCE) -> tuple[float, float | None]:
    """The interval that holds the `share` quantile of what the values (n, independent, not negative) were drawn from, with
    this confidence or more, whatever the distribution. Its ends are two of the values.

    The number of values below the quantile is binomial (n, share), so the r-th smallest value lies above the quantile
    with the chance of fewer than r, and below it with that of r or more. An end that misses by more than half of what the
    confidence leaves would not hold: the lower one is then 0, the upper one None, for too few values cannot bound it.
    Source: David and Nagaraja, "Order Statistics", 2003, section 7.1. A disturbance that lasts for several calls makes
    the interval too narrow: such calls are not independent.
    """
    from scipy.stats import quantile_test

    ends: Any = quantile_test(values, p=share).confidence_interval(confidence)
    return 0.0 if np.isnan(ends.low) else float(ends.low), None if np.isnan(ends.high) else float(ends.high)
