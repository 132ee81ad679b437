"""Time calls: warm-up, turns, median and quartiles. Plain torch; whoever calls ensures that nothing else runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from record.figures import NOISE
from trainables import device as hardware
from trainables.pace import Yardstick

TURN = 0.05  # seconds of one call after the other before it is another's turn
LONGEST_CALL = 1.0  # seconds, after which no larger batch is tried
SURE_CALL = 0.04  # seconds, at which a batch that gained nothing was not just disturbed: none larger is tried
MIN_GAIN = 1 + NOISE  # of throughput over the best batch so far, for which a larger one is taken


@dataclass(frozen=True)
class Timing:
    """Seconds per call: median over the turns, lower and upper quartile, and the number of turns."""

    median: float
    q1: float
    q3: float
    repeats: int

    @classmethod
    def of(cls, turns: Sequence[Sequence[float]]) -> Timing:
        """From the durations of the calls in each turn, of which a turn has the mean."""
        q1, median, q3 = statistics.quantiles(map(statistics.fmean, turns), n=4, method="inclusive")
        return cls(median, q1, q3, len(turns))

    @property
    def spread(self) -> float:
        """Interquartile range over the median."""
        return (self.q3 - self.q1) / self.median

    @property
    def uncertainty(self) -> float:
        """Half the 95 % interval of the median, over it: 1.96 standard errors, each of 1.253 standard deviations over the root
        of the number of turns, and of a normal distribution the quartiles are 1.349 deviations apart."""
        return float(1.96 * 1.253 / 1.349 * self.spread / self.repeats**0.5)


def noise(*timings: Timing) -> dict[str, float]:
    """The columns that tell how far the noisiest of these can be trusted."""
    return {
        "spread": max(timing.spread for timing in timings),
        "uncertainty": max(timing.uncertainty for timing in timings),
    }


def measure(
    call: Callable[[], object], device: torch.device, yardstick: Yardstick | None = None, seconds: float = 1.0
) -> Timing:
    """Time a call alone for about `seconds`, in three turns at least; with a yardstick at its usual pace (`rounds`).

    Untimed calls come first, for a tenth of `seconds`: allocators, kernels and clocks settle meanwhile.
    """
    warm_up(call, device, seconds / 10)
    return Timing.of(*rounds([call], device, yardstick, seconds=seconds))


def alternate(
    calls: Sequence[Callable[[], object]],
    device: torch.device,
    yardstick: Yardstick | None = None,
    seconds: float = 2.0,
    min_turns: int = 3,
) -> list[Timing]:
    """Time several calls in turn (ABAB...), so that a disturbance of the machine affects all of them alike; `seconds` of
    each, after one untimed call."""
    for call in calls:
        warm_up(call, device, 0)
    return [Timing.of(own) for own in rounds(calls, device, yardstick, seconds, min_turns)]


@dataclass(frozen=True)
class Throughput:
    """The timing of inference at a batch size."""

    timing: Timing
    size: int

    @property
    def per_second(self) -> float:
        return self.size / self.timing.median

    def figures(self, unit: str) -> dict[str, float]:
        """The columns: throughput (`unit` per second) with its quartiles, and its batch size."""
        name = f"inference_{unit}_per_second"
        return {
            "inference_batch": self.size,
            name: self.per_second,
            f"{name}_q1": self.size / self.timing.q3,
            f"{name}_q3": self.size / self.timing.q1,
        }


def best_batch(
    call: Callable[[int], Callable[[], object]],
    sizes: Sequence[int],
    device: torch.device,
    yardstick: Yardstick | None = None,
    seconds: float = 1.0,
) -> Throughput:
    """The throughput at the best batch size; of batches with nearly the same throughput (MIN_GAIN) the smaller one's.

    call: a batch size -> the call that processes such a batch. A quick search over the rising sizes says about where the
    best one lies; it and its neighbours are timed in turns for `seconds` each, so that what disturbs one of them does not
    decide, and what is told of the best one is what it was chosen for.
    """
    found, tried = _quick_search(call, sizes, device)
    at = [*tried].index(found)
    near = [*tried.items()][max(0, at - 1) : at + 2]
    candidates = [(size, calls) for size, (calls, seconds) in near if size == found or seconds <= LONGEST_CALL]
    timings = alternate([calls for _, calls in candidates], device, yardstick, seconds)
    best, *larger = (Throughput(timing, size) for (size, _), timing in zip(candidates, timings, strict=True))
    for each in larger:
        if each.per_second >= MIN_GAIN * best.per_second:
            best = each
    return best


Tried = dict[int, tuple[Callable[[], object], float]]  # batch size: its call, and about how many seconds one takes


def _quick_search(
    call: Callable[[int], Callable[[], object]], sizes: Sequence[int], device: torch.device
) -> tuple[int, Tried]:
    """(the best of the sizes that were tried, these).

    Each size is timed in turns with the best one so far. The search ends when two sizes in a row gain nothing (one alone
    may have been disturbed, if its calls are short), memory runs out (raised only for the first size) or calls take so
    long that larger batches would take too long. So the last of `sizes` is reached only where it pays.
    """
    best, misses = sizes[0], 0
    tried: Tried = {best: (call(best), 0.0)}
    warm_up(tried[best][0], device, 0)
    for size in sizes[1:]:
        larger = call(size)
        try:
            before, now = alternate([tried[best][0], larger], device, seconds=0.1, min_turns=2)
        except torch.OutOfMemoryError:
            break
        tried[size] = larger, now.median
        expected, misses = before.median * size / best, misses + 1
        if expected / now.median >= MIN_GAIN:
            best, misses = size, 0
        if misses == 2 or (misses and expected > SURE_CALL) or now.median > LONGEST_CALL:
            break
    return best, tried


def warm_up(call: Callable[[], object], device: torch.device, seconds: float) -> None:
    """Call it for so long, at least once, untimed."""
    warm_until = time.perf_counter() + seconds
    while True:
        call()
        hardware.synchronise(device)
        if time.perf_counter() > warm_until:
            break


def rounds(
    calls: Sequence[Callable[[], object]],
    device: torch.device,
    yardstick: Yardstick | None = None,
    seconds: float = 2.0,
    min_turns: int = 3,
) -> list[list[list[float]]]:
    """The durations of each call in each of its turns, in seconds, over rounds in which every call has its turn.

    A turn lasts TURN, but at least one call. Rounds end when the calls took `seconds` each, but not before `min_turns`.
    With a yardstick, durations are those of its usual pace: each is divided by what the yardstick took before and after
    the turn, over what it usually takes.
    """
    times: list[list[list[float]]] = [[] for _ in calls]
    took, before = 0.0, yardstick.turn() if yardstick else 1.0
    while len(times[0]) < min_turns or took < seconds * len(calls):
        for call, own in zip(calls, times, strict=True):
            durations = _turn(call, device)
            took += sum(durations)
            after = yardstick.turn() if yardstick else 1.0
            pace = (before + after) / 2 / (yardstick.usual if yardstick else 1.0)
            own.append([duration / pace for duration in durations])
            before = after
    return times


def _turn(call: Callable[[], object], device: torch.device) -> list[float]:
    durations, ends = [], time.perf_counter() + TURN
    while True:
        start = time.perf_counter()
        call()
        hardware.synchronise(device)
        durations.append((now := time.perf_counter()) - start)
        if now >= ends:
            return durations
