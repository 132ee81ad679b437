"""Timings at the machine's usual pace: hand-worked, and one that a study really makes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from simulated_clock import SimulatedClock

from record.figures import PACE, TIMING_SECONDS, YARDSTICK
from study.ledger import IsolatedTiming
from study.pace import at_usual_pace, restated
from trainables.pace import Yardstick
from trainables.timing import measure


def timing(yardstick: float | None, phase: str = "profile", hardware: str = "2 x CPU", **more: Any) -> IsolatedTiming:
    """1,000 images/s and 2 ms, as they were measured."""
    own = {
        "inference_images_per_second": 1000.0,
        "latency_ms": 2.0,
        "parameters": 10.0,
        "inference_batch": 64,
        TIMING_SECONDS: 7.0,
    }
    figures = {**own, "hardware": hardware, YARDSTICK: yardstick}
    return IsolatedTiming("vit", phase, {}, {}, figures, {"onnxruntime": {"latency_ms": 1.0}} | more)


def test_what_a_slow_machine_timed_is_as_fast_as_what_a_fast_one_timed() -> None:
    """The usual yardstick is the median, 4: at 5 the machine had 0.8 of its pace, at 2 twice."""
    slow, usual, fast = at_usual_pace([timing(5.0), timing(4.0), timing(2.0)])
    assert [t.figures[PACE] for t in (slow, usual, fast)] == [0.8, 1.0, 2.0]
    assert [t.figures["inference_images_per_second"] for t in (slow, usual, fast)] == [1250.0, 1000.0, 500.0]
    assert [t.figures["latency_ms"] for t in (slow, usual, fast)] == [1.6, 2.0, 4.0]
    assert [t.engines["onnxruntime"]["latency_ms"] for t in (slow, usual, fast)] == [0.8, 1.0, 2.0]
    assert all((t.figures["parameters"], t.figures["inference_batch"]) == (10.0, 64) for t in (slow, usual, fast))
    assert [t.figures[YARDSTICK] for t in (slow, usual, fast)] == [5.0, 4.0, 2.0]
    assert [t.figures[TIMING_SECONDS] for t in (slow, usual, fast)] == [7.0] * 3  # what it took, at whatever pace


def test_timings_of_confirm_do_not_change_those_of_the_search() -> None:
    before = at_usual_pace([timing(5.0), timing(4.0), timing(2.0)])
    after = at_usual_pace([timing(5.0), timing(4.0), timing(2.0), timing(8.0, "confirm")])
    assert after[:3] == before
    assert after[3].figures[PACE] == 0.5 and after[3].figures["inference_images_per_second"] == 2000.0


def test_each_kind_of_hardware_has_a_pace_of_its_own() -> None:
    other = at_usual_pace([timing(5.0), timing(4.0, hardware="8 x CPU"), timing(1.0, "confirm", "16 x CPU")])
    assert [t.figures.get(PACE) for t in other] == [1.0, 1.0, None]


class DisturbedAtFirst(Yardstick):
    """A turn takes a second, but those that decided what is usual took a hundred."""

    def __init__(self) -> None:
        self._is_timed, self._turns, self.usual = True, [], 100.0

    def turn(self) -> float:
        self._turns.append(1.0)
        return 1.0


def test_first_turns_that_were_disturbed_do_not_decide_what_is_usual(clock: SimulatedClock) -> None:
    """What is stated at their pace, and the yardstick itself, are those of the other turns."""
    yardstick = DisturbedAtFirst()
    timed = measure(lambda: clock.sleep(0.01), torch.device("cpu"), yardstick, 0.5)
    assert timed.median == pytest.approx(1.0, rel=1e-3) and yardstick.pace == 0.01 and yardstick.seconds == 1
    row = restated({"latency_ms": 1000 * timed.median, "inference_images_per_second": 1 / timed.median}, yardstick.pace)
    assert row == {
        "latency_ms": pytest.approx(10, rel=1e-3),
        "inference_images_per_second": pytest.approx(100, rel=1e-3),
    }


@pytest.mark.parametrize("phase", ["profile", "confirm"])
def test_a_timing_without_a_yardstick_stays_as_it_is(phase: str) -> None:
    gpu = timing(None, phase)
    assert at_usual_pace([gpu, timing(3.0)])[0] == gpu


def test_a_study_that_an_older_yardstick_timed_is_not_restated_by_the_one_of_today() -> None:
    """It took a millisecond; today's takes five, which is no slower machine."""
    older = timing(None)
    older.figures["yardstick_seconds"] = 0.001
    added = timing(0.005, "confirm")
    assert at_usual_pace([older, added]) == [older, added]


def test_a_refused_engine_stays_refused() -> None:
    refused = timing(5.0, openvino={"refused": "no such operation"})
    assert at_usual_pace([refused, timing(2.0)])[0].engines["openvino"]["refused"] == "no such operation"
