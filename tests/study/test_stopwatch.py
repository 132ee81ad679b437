"""Timing alone: which attempt counts, and how a disturbance is told from the study's own work."""

from __future__ import annotations

import pytest

from study.stopwatch import Attempt, ProcessorSeconds, Rows, undisturbed
from trainables.task import Figures


@pytest.mark.parametrize(
    ("attempts", "median", "busy"),
    [
        ([(1.0, 0.02, 0.0, 0)], 1.0, None),  # undisturbed: timed once
        ([(1.0, 0.02, 0.5, 0), (2.0, 0.02, 0.05, 0)], 2.0, None),
        ([(1.0, 0.02, 0.5, 0), (2.0, 0.02, 0.3, 0)], 2.0, "other processes took 30%"),
        ([(1.0, 0.02, 0.0, 2), (2.0, 0.02, 0.0, 0)], 2.0, None),
        ([(1.0, 0.02, 0.2, 1), (2.0, 0.02, 0.0, 2)], 1.0, "1 other processes were on the GPU"),
        ([(1.0, 0.15, 0.0, 0)], 1.0, None),  # its turns differ: they would differ again, and nothing made it too slow
    ],
)
def test_a_disturbed_timing_is_repeated_and_says_so_if_that_did_not_help(
    attempts: list[tuple[float, float, float, int]], median: float, busy: str | None
) -> None:
    left = iter(attempts)

    def attempt() -> Attempt:
        median, uncertainty, share, on_gpu = next(left)
        return Attempt({"torch": {"median": median, "uncertainty": uncertainty}}, share, on_gpu)

    figures = undisturbed(attempt)["torch"]
    assert list(left) == []
    assert figures["median"] == median
    assert figures["busy"] is None if busy is None else busy in str(figures["busy"])


def test_what_ran_beside_the_turns_is_said_of_every_engine_that_was_timed() -> None:
    refused: Figures = {"refused": "cannot run it"}
    rows: Rows = {"torch": {"uncertainty": 0.02}, "openvino": {"uncertainty": 0.3}, "openvino_int8": refused}
    busy = {engine: row["busy"] for engine, row in undisturbed(lambda: Attempt(rows, 0.25, 0)).items()}
    others = "other processes took 25% of the processor time"
    assert busy == {"torch": others, "openvino": others, "openvino_int8": None}


def test_what_other_processes_took_is_a_share_of_the_processor_time() -> None:
    before = ProcessorSeconds(machine=100.0, own=10.0)
    # Ten seconds of the machine, four of them ours, a tenth is the clocks' grain.
    assert ProcessorSeconds(110.0, 14.0).share_of_others(before) == pytest.approx(0.59)
    assert ProcessorSeconds(110.0, 20.0).share_of_others(before) == 0
    assert ProcessorSeconds(100.0, 10.0).share_of_others(before) == 0


def test_processor_seconds_only_grow() -> None:
    before = ProcessorSeconds.read()
    assert sum(range(1_000_000)) > 0
    after = ProcessorSeconds.read()
    assert after.machine >= before.machine and after.own >= before.own
