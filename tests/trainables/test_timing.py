"""Timing calls, one by itself and several in turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest
import torch

from trainables.image_classification.profile import INFERENCE_BATCHES
from trainables.timing import alternate, best_throughput, measure
from trainables.translation.profile import DECODING_BATCHES

CPU = torch.device("cpu")


def test_a_timing_is_the_median_of_repeats_with_its_quartiles() -> None:
    calls: list[None] = []
    timing = measure(lambda: calls.append(None), CPU, repeats=20, seconds=0.5)
    assert timing.repeats == 20 and len(calls) > 20
    assert timing.q1 <= timing.median <= timing.q3


def test_calls_are_timed_in_turn() -> None:
    calls: list[str] = []
    a, b = alternate([lambda: calls.append("a"), lambda: calls.append("b")], CPU, repeats=4)
    assert "".join(calls) == "ab" + "ab" * 4  # the first call of each is not timed
    assert a.repeats == b.repeats == 4


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
    sizes: tuple[int, ...], seconds: Callable[[int], float], best: int
) -> None:
    """Sizes so far apart that no disturbance of a timing decides."""
    found = best_throughput(lambda size: lambda: time.sleep(seconds(size)), sizes, CPU)
    assert found.size == best


def test_the_search_for_the_best_batch_ends_where_memory_does() -> None:
    def call(size: int) -> Callable[[], object]:
        def run() -> None:
            if size > 16:
                raise torch.OutOfMemoryError("no room")
            time.sleep(0.002)

        return run

    assert best_throughput(call, (1, 16, 256), CPU).size == 16


@pytest.mark.parametrize("sizes", [INFERENCE_BATCHES, DECODING_BATCHES])
def test_batches_are_searched_from_1_to_4096_at_most_fourfold_apart(sizes: tuple[int, ...]) -> None:
    assert sizes[0] == 1 and sizes[-1] == 4096
    assert all(larger <= 4 * smaller for smaller, larger in itertools.pairwise(sizes))
