"""Timing calls, one by itself and several in turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from simulated_clock import SimulatedClock

from trainables import device as hardware
from trainables.image_classification.profile import INFERENCE_BATCHES
from trainables.pace import Yardstick
from trainables.timing import Timing, alternate, best_batch, measure, rounds
from trainables.translation.profile import DECODING_BATCHES

CPU = torch.device("cpu")


def test_a_timing_is_the_median_of_turns_with_its_quartiles() -> None:
    """By hand: the turns' means are 1, 2, 3 and 6."""
    timing = Timing.of([[1.0], [1.0, 3.0], [3.0], [4.0, 8.0]])
    assert (timing.q1, timing.median, timing.q3, timing.repeats) == (1.75, 2.5, 3.75, 4)
    assert timing.spread == pytest.approx(0.8)


def test_the_uncertainty_of_a_timing_holds_in_simulations() -> None:
    """The interval holds the true median (1) in 95 % of 2,000 timings of 20 normally distributed turns, or nearly: quartiles of
    20 turns are themselves uncertain."""
    random = np.random.default_rng(0)
    timings = [Timing.of([[turn] for turn in random.normal(1.0, 0.1, 20)]) for _ in range(2000)]
    holds = np.mean([abs(each.median - 1) <= each.uncertainty * each.median for each in timings])
    assert 0.88 <= holds <= 0.97


def test_a_call_is_timed_for_the_time_that_it_is_given_but_three_times_at_least(clock: SimulatedClock) -> None:
    short = measure(lambda: clock.sleep(0.01), CPU, seconds=0.5)
    assert short.repeats >= 4 and short.q1 == pytest.approx(short.median) == short.q3 == pytest.approx(0.01, rel=1e-3)
    long = measure(lambda: clock.sleep(0.2), CPU, seconds=0.1)
    assert long.repeats == 3 and long.median == pytest.approx(0.2, rel=1e-3)


def test_calls_are_timed_in_turn(clock: SimulatedClock) -> None:
    calls: list[str] = []

    def call(name: str) -> None:
        calls.append(name)
        clock.sleep(0.15)  # longer than a turn

    a, b = alternate([lambda: call("a"), lambda: call("b")], CPU, seconds=0.5)
    assert "".join(calls) == "ab" + "ab" * a.repeats  # the first call of each is not timed
    assert a.repeats == b.repeats == 4


class Slowing(Yardstick):
    """A machine that becomes slower and slower, as if its neighbours did more and more."""

    def __init__(self) -> None:
        self.usual, self.duration = 1.0, 0.5

    def turn(self) -> float:
        self.duration += 0.5
        return self.duration


def test_durations_are_those_of_the_yardsticks_usual_pace(clock: SimulatedClock) -> None:
    """The yardstick takes 1, 1.5, 2, 2.5: between the turns of a call, the pace is 1.25, 1.75 and 2.25."""
    durations = iter((0.125, 0.175, 0.225))  # always 0.1 at the usual pace

    def call() -> None:
        clock.sleep(next(durations))

    turns = rounds([call], CPU, Slowing(), seconds=0.0)[0]
    assert [turn[0] for turn in turns] == pytest.approx([0.1, 0.1, 0.1], rel=1e-3)


def test_the_yardstick_keeps_threads_and_chance_as_they_were() -> None:
    with hardware.threads(1):
        yardstick = Yardstick(CPU)
    assert yardstick.seconds == yardstick.usual > 0 and yardstick.pace == 1
    torch.manual_seed(0)
    expected = torch.rand(3)
    with hardware.threads(2):
        torch.manual_seed(0)
        assert yardstick.turn() > 0 and yardstick.seconds
        assert torch.get_num_threads() == 2 and Yardstick(CPU).usual > 0
        assert torch.equal(torch.rand(3), expected)


def test_a_yardstick_that_is_held_up_for_a_whole_turn_still_tells_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.pace.TURN", 0.0)  # over before its first call
    assert Yardstick(CPU).turn() > 0


def test_the_yardstick_asks_for_no_memory() -> None:
    """How fast new memory is depends on what the process did before, not on the processor."""
    yardstick = Yardstick(CPU)
    with torch.profiler.profile(profile_memory=True) as recorded:
        yardstick.turn()
    assert recorded.key_averages() and sum(e.self_cpu_memory_usage > 0 for e in recorded.key_averages()) == 0


@pytest.mark.parametrize(
    ("sizes", "seconds", "best"),
    [
        ((1, 16, 256, 4096), lambda size: 0.002, 4096),  # the larger, the better: the search goes on to the last
        ((1, 4, 16, 1024), lambda size: 0.0005 * size**2, 1),  # two sizes in a row are slower: 1,024 is never tried
        ((1, 16, 256), lambda size: 0.2 if size == 16 else 0.01, 1),  # a long call was not just disturbed
        ((1, 16, 256), lambda size: 0.03 if size == 16 else 0.001, 256),  # one alone may have been disturbed
    ],
)
def test_the_batch_with_the_best_throughput_is_searched(
    sizes: tuple[int, ...], seconds: Callable[[int], float], best: int, clock: SimulatedClock
) -> None:
    assert best_batch(lambda size: lambda: clock.sleep(seconds(size)), sizes, CPU).size == best


def test_a_batch_that_was_disturbed_in_the_quick_search_is_still_found(clock: SimulatedClock) -> None:
    """The first three calls of the largest take 0.1 s, as if something else ran, all others 2 ms."""
    largest = itertools.chain([0.1] * 3, itertools.repeat(0.002))

    def call(size: int) -> Callable[[], None]:
        return lambda: clock.sleep(next(largest) if size == 256 else 0.002)

    assert best_batch(call, (1, 16, 256), CPU).size == 256


def test_the_search_for_the_best_batch_ends_where_memory_does(clock: SimulatedClock) -> None:
    def call(size: int) -> Callable[[], object]:
        def run() -> None:
            if size > 16:
                raise torch.OutOfMemoryError("no room")
            clock.sleep(0.002)

        return run

    assert best_batch(call, (1, 16, 256), CPU).size == 16


@pytest.mark.parametrize("sizes", [INFERENCE_BATCHES, DECODING_BATCHES])
def test_batches_are_searched_from_1_to_4096_at_most_fourfold_apart(sizes: tuple[int, ...]) -> None:
    assert sizes[0] == 1 and sizes[-1] == 4096
    assert all(larger <= 4 * smaller for smaller, larger in itertools.pairwise(sizes))
