"""Timing calls, one by itself and several in turn."""

from __future__ import annotations

import torch

from trainables.timing import alternate, measure

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
