"""Time something alone: warm-up, repeats, median and quartiles. Plain torch; study/profile.py sees to the 'alone'."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
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
    _warm_up(call, device, seconds / 10)
    [best] = _rounds([call], device, repeats, seconds, least)
    while best.spread > NOISE and (attempts := attempts - 1) > 0:
        best = min(best, *_rounds([call], device, repeats, seconds, least), key=lambda timing: timing.spread)
    return best


def best_batch(
    call: Callable[[int], Callable[[], object]], sizes: Sequence[int], device: torch.device
) -> tuple[Timing, Timing, int]:
    """(timing at the first size, timing at the size of the best throughput, that size).

    call: a batch size -> what handles such a batch. Sizes rise; the search ends where throughput falls, memory runs out
    (raised at the first size), or a call takes over a second, since larger ones would take too long to tell.
    """
    first = best = measure(call(sizes[0]), device)
    at = sizes[0]
    for size in sizes[1:]:
        try:
            current = measure(call(size), device)
        except torch.OutOfMemoryError:
            break
        if size / current.median <= at / best.median:
            break
        best, at = current, size
        if current.median > 1:
            break
    return first, best, at


def inference_figures(unit: str, one: Timing, best: Timing, size: int) -> dict[str, float]:
    """The columns of what `best_batch` returned: latency (ms), throughput (`unit` a second) with quartiles, its batch."""
    name = f"inference_{unit}_per_second"
    return {
        "inference_batch": size,
        name: size / best.median,
        f"{name}_q1": size / best.q3,
        f"{name}_q3": size / best.q1,
        "latency_ms": 1000 * one.median,
    }


def alternate(
    calls: Sequence[Callable[[], object]],
    device: torch.device,
    repeats: int = 20,
    seconds: float = 10.0,
    least: int = 3,
) -> list[Timing]:
    """Time several calls in turn (ABAB...), so that what disturbs the machine disturbs them all alike.

    Each gets an untimed call; then rounds follow until there were `repeats` or all calls together took `seconds`, but at
    least `least`.
    """
    for call in calls:
        _warm_up(call, device, 0)
    return _rounds(calls, device, repeats, seconds, least)


def _warm_up(call: Callable[[], object], device: torch.device, seconds: float) -> None:
    warm_until = time.perf_counter() + seconds
    while True:
        call()
        hardware.synchronise(device)
        if time.perf_counter() > warm_until:
            break


def _rounds(
    calls: Sequence[Callable[[], object]], device: torch.device, repeats: int, seconds: float, least: int
) -> list[Timing]:
    """Each call's timing over rounds in which every call has its turn."""
    times: list[list[float]] = [[] for _ in calls]
    while (rounds := len(times[0])) < least or (rounds < repeats and sum(map(sum, times)) < seconds):
        for call, own in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            hardware.synchronise(device)
            own.append(time.perf_counter() - begin)
    return [_summary(own) for own in times]


def _summary(times: list[float]) -> Timing:
    q1, median, q3 = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(median, q1, q3, len(times))
