"""Time something alone: warm-up, repeats, median and quartiles. Plain torch; study/profile.py sees to the 'alone'."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainables import device as hardware

NOISE = 0.1  # interquartile range over the median above which a timing counts as disturbed


@dataclass(frozen=True)
class Timing:
    """Seconds a call: median, lower and upper quartile, and the number of timed calls."""

    median: float
    q1: float
    q3: float
    repeats: int

    @property
    def spread(self) -> float:
        """Interquartile range over the median."""
        return (self.q3 - self.q1) / self.median


def measure(
    call: Callable[[], object],
    device: torch.device,
    repeats: int = 20,
    seconds: float = 2.0,
    least: int = 3,
    attempts: int = 3,
) -> Timing:
    """Time `call` until it ran `repeats` times or for `seconds`, whichever is first, but at least `least` times.

    One untimed call goes first, or several for a tenth of `seconds`: allocators, kernels and clocks settle in it.
    Where the quartiles are more than NOISE apart, all is timed again, up to `attempts` times; the steadiest counts.
    """
    warm_until = time.perf_counter() + seconds / 10
    while True:
        call()
        hardware.synchronise(device)
        if time.perf_counter() > warm_until:
            break
    best = _repeat(call, device, repeats, seconds, least)
    while best.spread > NOISE and (attempts := attempts - 1) > 0:
        best = min(best, _repeat(call, device, repeats, seconds, least), key=lambda timing: timing.spread)
    return best


def _repeat(call: Callable[[], object], device: torch.device, repeats: int, seconds: float, least: int) -> Timing:
    times: list[float] = []
    while len(times) < least or (len(times) < repeats and sum(times) < seconds):
        begin = time.perf_counter()
        call()
        hardware.synchronise(device)
        times.append(time.perf_counter() - begin)
    q1, median, q3 = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(median, q1, q3, len(times))
