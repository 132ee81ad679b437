"""Time a call: warm-up, repeats, median and quartiles. Plain torch; whoever calls ensures that nothing else runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from trainables import device as hardware

LONGEST_CALL = 1.0  # seconds, after which no larger batch is tried
SURE_CALL = 0.04  # seconds, at which a batch that gained nothing was not just disturbed: none larger is tried
NOISE = 0.1  # a timing with a larger interquartile range over median counts as disturbed
MIN_GAIN = 1 + NOISE  # of throughput over the best batch so far, for which a larger one is taken


@dataclass(frozen=True)
class Timing:
    """Seconds per call: median, lower and upper quartile, and the number of timed calls."""

    median: float
    q1: float
    q3: float
    repeats: int

    @classmethod
    def of(cls, times: Sequence[float]) -> Timing:
        q1, median, q3 = statistics.quantiles(times, n=4, method="inclusive")
        return cls(median, q1, q3, len(times))

    @property
    def spread(self) -> float:
        """Interquartile range over the median."""
        return (self.q3 - self.q1) / self.median


def measure(
    call: Callable[[], object],
    device: torch.device,
    repeats: int = 20,
    seconds: float = 2.0,
    min_repeats: int = 3,
    attempts: int = 3,
) -> Timing:
    """Time `call` until it ran `repeats` times or for `seconds`, whichever is first, but at least `min_repeats` times.

    Untimed calls come first, for a tenth of `seconds`: allocators, kernels and clocks settle meanwhile. If the
    quartiles are more than NOISE apart, everything is timed again, up to `attempts` times; the steadiest timing counts.
    """
    warm_up(call, device, seconds / 10)

    def attempt() -> Timing:
        return Timing.of(*rounds([call], device, repeats, seconds, min_repeats))

    best = attempt()
    while best.spread > NOISE and (attempts := attempts - 1) > 0:
        best = min(best, attempt(), key=lambda timing: timing.spread)
    return best


@dataclass(frozen=True)
class Throughput:
    """The timing of inference at the batch size with the best throughput."""

    best: Timing
    size: int

    def figures(self, unit: str) -> dict[str, float]:
        """The columns: throughput (`unit` per second) with its quartiles, and its batch size."""
        name = f"inference_{unit}_per_second"
        return {
            "inference_batch": self.size,
            name: self.size / self.best.median,
            f"{name}_q1": self.size / self.best.q3,
            f"{name}_q3": self.size / self.best.q1,
        }


def best_throughput(
    call: Callable[[int], Callable[[], object]],
    sizes: Sequence[int],
    device: torch.device,
    first: Timing | None = None,
) -> Throughput:
    """Time the best batch, which a quick search over the rising sizes finds: of batches with nearly the same throughput
    (MIN_GAIN) the smaller one.

    call: a batch size -> the call that processes such a batch. first: the timing of the first size, if it is known.
    The search ends when two sizes in a row gain nothing (one alone may have been disturbed, if its calls are short),
    memory runs out (raised only for the first size) or calls take so long that larger batches would take too long. So
    the last of `sizes` is reached only where it pays.
    """
    first = first or measure(call(sizes[0]), device)
    best_size, best_seconds, misses = sizes[0], first.median, 0
    for size in sizes[1:]:
        try:
            seconds = measure(call(size), device, repeats=3, seconds=0.25, attempts=1).median
        except torch.OutOfMemoryError:
            break
        expected = size * best_seconds / best_size
        misses += 1
        if expected / seconds >= MIN_GAIN:
            best_size, best_seconds, misses = size, seconds, 0
        if misses == 2 or (misses and expected > SURE_CALL) or seconds > LONGEST_CALL:
            break
    return Throughput(first if best_size == sizes[0] else measure(call(best_size), device, seconds=1.0), best_size)


def alternate(
    calls: Sequence[Callable[[], object]],
    device: torch.device,
    repeats: int = 20,
    seconds: float = 10.0,
    min_repeats: int = 3,
) -> list[Timing]:
    """Time several calls in turn (ABAB...), so that a disturbance of the machine affects all of them alike.

    After one untimed call each, rounds follow until there were `repeats` or all calls together took `seconds`, but at
    least `min_repeats`.
    """
    for call in calls:
        warm_up(call, device, 0)
    return [Timing.of(times) for times in rounds(calls, device, repeats, seconds, min_repeats)]


def warm_up(call: Callable[[], object], device: torch.device, seconds: float) -> None:
    """Call it for so long, at least once, untimed."""
    warm_until = time.perf_counter() + seconds
    while True:
        call()
        hardware.synchronise(device)
        if time.perf_counter() > warm_until:
            break


def rounds(
    calls: Sequence[Callable[[], object]], device: torch.device, repeats: int, seconds: float, min_repeats: int
) -> list[list[float]]:
    """The durations of each call, in seconds, over rounds in which every call runs once; as many as `alternate` says."""
    times: list[list[float]] = [[] for _ in calls]
    took = 0.0
    while (done := len(times[0])) < min_repeats or (done < repeats and took < seconds):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            hardware.synchronise(device)
            own.append(time.perf_counter() - start)
            took += own[-1]
    return times
