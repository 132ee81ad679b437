"""The expected duration of a study, worked by hand, and how durations are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from record import processors
from study import cluster, duration
from study.costs import DataFacts
from study.ledger import IsolatedTiming, Ledger
from study.space.reading import resolve
from trainables.task import Figures

SPACE = {
    "description": "two models",
    "data": {"name": "digits"},
    "trials": 4,
    "confirm": {"seeds": 3, "candidates": 2},
    "all_models": {"epochs": 2, "batch_size": 50, "lr": 0.1},
    "models": {
        "resnet18": {"search": {"train_size": [100, 300]}},
        "scratch_vit": {"train_size": 100, "factors": {"depth": [1, 2]}},
    },
}
DATA = DataFacts("digits", train=1000, validation=100, test=100)


def timing(model: str, point: dict[str, int], step: float, speed: float) -> IsolatedTiming:
    figures: Figures = {
        "inference_images_per_second": speed, "train_images_per_second": 1.0, "train_step_seconds": step,
        "latency_ms": 1.0, "parameters": 1, "gflops_per_image": 1.0, "peak_memory_mb": 1.0,
    }  # fmt: skip
    return IsolatedTiming(model, "profile", {**point}, {**point}, figures)


def test_the_expected_duration_follows_from_the_timings(tmp_path: Path) -> None:
    with Ledger(tmp_path, resolve(SPACE, "test")) as ledger:
        for timed in (
            timing("resnet18", {}, step=0.5, speed=100.0),
            timing("scratch_vit", {"depth": 1}, step=1.0, speed=50.0),
            timing("scratch_vit", {"depth": 2}, step=2.0, speed=25.0),
        ):
            ledger.add_timing(timed)
        # Per trial, 2 epochs. resnet18: 2 or 6 steps, 4 on average, and 1 s of evaluation: 2 x (4 x 0.5 + 1) = 6 s.
        # scratch_vit: 2 steps of 1 or 2 s, and 2 or 4 s of evaluation: 2 x (3 + 3) = 12 s, in two cells.
        assert duration.expected_seconds(ledger, DATA, duration.Parallelism(4.0, 0.5)) == {
            # resnet18: 4 s of training and 2 s of evaluation, scratch_vit: 6 s and 6 s.
            "search": 4 * (4 / 4 + 2 / 0.5 + 2 * (6 / 4 + 6 / 0.5)),
            "confirm": (6 / 4 + 6 / 0.5) * 3 * 2,
        }
        ledger.spec = ledger.spec.model_copy(update={"phases": ["profile", "search"]})
        assert duration.expected_seconds(ledger, DATA, duration.Parallelism(1.0, 1.0)) == {"search": 120}


def test_trained_networks_are_compiled_for_each_engine(tmp_path: Path) -> None:
    """As in profile, where it took 3 + 7 s at one depth and 5 s at the other, which one of the engines does not run."""
    space = SPACE | {"models": {"scratch_vit": {"train_size": 100, "factors": {"depth": [1, 2]}}}}
    with Ledger(tmp_path, resolve(space | {"engines": ["torch", "onnxruntime", "openvino"]}, "test")) as ledger:
        for depth, took in ((1, {"onnxruntime": 3.0, "openvino": 7.0}), (2, {"onnxruntime": 5.0})):
            timed = timing("scratch_vit", {"depth": depth}, step=1.0, speed=50.0)
            engines: dict[str, Figures] = {name: {"compile_seconds": seconds} for name, seconds in took.items()}
            if depth == 2:
                engines["openvino"] = {"refused": "engine openvino cannot run this network"}
            ledger.add_timing(replace(timed, engines=engines))
        # A trial takes 2 x (2 steps of 1 s + 2 s); a confirmed one 7.5 s more, and they share two processors.
        assert duration.expected_seconds(ledger, DATA, duration.Parallelism(2.0, 1.0)) == {
            "search": 2 * 4 * (4 / 2 + 4),
            "confirm": 2 * 3 * (4 / 2 + 4 + 7.5 / 2),
        }


def test_candidates_between_timed_settings_take_the_time_of_their_timing(tmp_path: Path) -> None:
    """Five points of the ratio took 7 and 9 s in turns to time: two candidates may take twice the mean, 7.8 s."""
    vit_tome = {"search": {"tome_ratio": {"low": 0.0, "high": 0.8}}}
    space = SPACE | {"models": {"vit_tome": vit_tome}}
    with Ledger(tmp_path, resolve(space, "test")) as ledger:
        for i in range(5):
            timed = timing("vit_tome", {}, step=0.0, speed=100.0)
            figures = timed.figures | {"timing_seconds": 9.0 if i % 2 else 7.0}
            ledger.add_timing(replace(timed, point={"tome_ratio": 0.2 * i}, figures=figures))
        # No training steps; a trial evaluates 2 x 1 s, and 3 seeds of 2 candidates are evaluated one after the other.
        expected = duration.expected_seconds(ledger, DATA, duration.Parallelism(1.0, 1.0))
        assert expected == {"search": 4 * 2, "confirm": pytest.approx(2 * 3 * 2 + 2 * 7.8)}


def test_durations_are_written_in_hours_minutes_and_seconds() -> None:
    assert duration.readable(3723.4) == "1:02:03"
    expected = {"search": 60.0, "confirm": 5.0}
    assert duration.expectation(expected).endswith("about 0:01:05 (search 0:01:00, confirm 0:00:05)")
    took = {"profile": 10.0, "search": 50.0, "confirm": 7.0}
    assert duration.summary(took, {"search": 60.0}, ["profile", "search"]) == (
        "took 0:01:00: profile 0:00:10, search 0:00:50 (expected 0:01:00)"
    )


def test_a_study_that_was_not_timed_has_no_expected_duration(tmp_path: Path) -> None:
    with Ledger(tmp_path, resolve(SPACE, "test")) as ledger, pytest.raises(KeyError):
        duration.expected_seconds(ledger, DATA, duration.Parallelism(1.0, 1.0))


def test_processors_without_gpus_train_as_many_trials_at_once_as_fit() -> None:
    spec = resolve(SPACE | {"all_models": {"resources": {"cpus": 1}}}, "test")
    assert cluster.parallelism(spec) == (processors.usable(), 1.0)  # a whole node's evaluation, shared out among them
