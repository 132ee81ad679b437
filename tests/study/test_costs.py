"""The grid of timings, interpolation between its points, and which trial may use which timing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from record.errors import UserError
from study.cells import Cell
from study.costs import (
    DataFacts,
    check_grid,
    deployed,
    grid,
    interpolated_speed,
    monotone,
    setting_costs,
    speed_dimensions,
    trial_costs,
)
from study.ledger import IsolatedTiming, Ledger, Trial
from study.space.reading import resolve
from trainables.task import Figures

SPACE: dict[str, Any] = {
    "description": "x",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy", "inference_images_per_second", "train_seconds"],
    "models": {
        "vit_tome": {
            "architecture": "test_vit",
            "epochs": 3,
            "search": {
                "lr": {"low": 1e-4, "high": 1e-2},
                "train_size": [100, 200],
                "tome_ratio": {"low": 0.0, "high": 0.8},
            },
            "factors": {"image_size": [32, 64]},
        },
        "resnet18": {"lr": 0.1},
    },
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path, resolve(SPACE, "test")) as ledger:
        yield ledger


def timing(
    ledger: Ledger,
    point: dict[str, Any],
    speed: float,
    phase: str = "profile",
    engines: dict[str, Figures] | None = None,
    **more: float,
) -> None:
    figures: Figures = {
        "inference_images_per_second": speed,
        "latency_ms": 1.0,
        "train_step_seconds": 1 / speed,
        "train_images_per_second": speed / 3,
        "parameters": 10,
        "gflops_per_image": 1.0,
        "peak_memory_mb": 5.0,
        **more,
    }
    ledger.add_timing(IsolatedTiming("vit_tome", phase, point, point, figures, engines or {}))


def test_the_grid_crosses_what_changes_the_speed_and_nothing_else(ledger: Ledger) -> None:
    entries = ledger.spec.models
    assert speed_dimensions(entries["vit_tome"]) == ["tome_ratio", "image_size"]
    points = grid(entries["vit_tome"])
    assert len(points) == 10
    assert [p["tome_ratio"] for p in points[::2]] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert grid(entries["resnet18"]) == [{}]


def test_two_ranges_that_change_the_speed_are_refused() -> None:
    raw = SPACE | {
        "models": {"vit_tome": {"search": {"tome_ratio": {"low": 0, "high": 0.5}, "depth": {"low": 2, "high": 9}}}}
    }
    with pytest.raises(UserError, match="tome_ratio and depth"):
        check_grid(resolve(raw, "x"), "x")


def test_speed_is_interpolated_along_the_range_and_exact_where_it_was_timed(ledger: Ledger) -> None:
    for ratio, speed in ((0.0, 100.0), (0.4, 200.0), (0.8, 220.0)):
        timing(ledger, {"tome_ratio": ratio, "image_size": 32}, speed)
        timing(ledger, {"tome_ratio": ratio, "image_size": 64}, speed / 4)

    def speed(ratio: float, size: int, phase: str = "search") -> float:
        settings = {"tome_ratio": ratio, "image_size": size, "lr": 1.0}
        return setting_costs(ledger, "vit_tome", settings, phase)["inference_images_per_second"]

    assert speed(0.2, 32) == pytest.approx(150) and speed(0.2, 64) == pytest.approx(37.5)
    assert speed(0.4, 32) == 200 and speed(0.6, 32) == pytest.approx(210)
    # What the confirm phase times is its own: the search's figures, told to Optuna, do not move under it.
    timing(ledger, {"tome_ratio": 0.2, "image_size": 32}, 170.0, phase="confirm")
    assert speed(0.2, 32) == pytest.approx(150) and speed(0.2, 32, "confirm") == 170
    assert setting_costs(ledger, "resnet18", {}, "search") == {}


def test_a_figure_that_an_older_version_did_not_time_is_left_out(ledger: Ledger) -> None:
    for ratio, more in ((0.0, {}), (0.4, {"latency_ms_p99": 4.0}), (0.8, {"latency_ms_p99": 2.0})):
        timing(ledger, {"tome_ratio": ratio, "image_size": 32}, 100.0, **more)
        timing(ledger, {"tome_ratio": ratio, "image_size": 64}, 100.0, **more | {"latency_ms_p99": 8.0 - 5.0 * ratio})

    def p99(ratio: float, size: int) -> float | None:
        return setting_costs(ledger, "vit_tome", {"tome_ratio": ratio, "image_size": size}, "search").get(
            "latency_ms_p99"
        )

    assert [p99(0.0, 32), p99(0.4, 32), p99(0.2, 32)] == [None, 4.0, None]
    assert p99(0.6, 64) == pytest.approx(5.0)


def test_a_confirmed_setting_knows_what_was_interpolated_for_it(ledger: Ledger) -> None:
    for ratio, speed in ((0.0, 100.0), (0.4, 200.0)):
        timing(ledger, {"tome_ratio": ratio, "image_size": 32}, speed)
    timing(ledger, {"tome_ratio": 0.2, "image_size": 32}, 160.0, phase="confirm")
    timing(ledger, {"tome_ratio": 0.4, "image_size": 32}, 190.0, phase="confirm")
    # Between two points: 150, whatever was timed since. At a point of the grid nothing is interpolated.
    assert [interpolated_speed(ledger, timing) for timing in ledger.timings] == [None, None, pytest.approx(150.0), None]


def test_training_costs_follow_from_the_step_the_size_and_the_epochs(ledger: Ledger) -> None:
    for size in (32, 64):
        timing(ledger, {"tome_ratio": 0.0, "image_size": size}, 50.0)
    settings = {"tome_ratio": 0.0, "image_size": 32, "lr": 0.1, "train_size": 200}
    trial = Trial("t", Cell("vit_tome"), settings, 0, epochs=3)
    data = DataFacts("digits", train=1000, validation=100, test=100)
    costs = trial_costs(ledger, trial, data)
    assert costs["train_seconds"] == pytest.approx(0.02 * 4 * 3)  # 4 steps of 64 images, 3 epochs
    assert costs["eval_seconds"] == pytest.approx(100 / 50 * 3)
    trial.rows = [{"epoch": 1}]
    assert trial_costs(ledger, trial, data)["train_seconds"] == pytest.approx(0.02 * 4)  # it ran one epoch only


def test_each_engine_has_its_own_speeds_and_what_training_costs_of_eager(ledger: Ledger) -> None:
    for ratio, speed in ((0.0, 300.0), (0.4, 500.0)):
        point = {"tome_ratio": ratio, "image_size": 32}
        timing(ledger, point, 100.0, engines={"openvino": {"inference_images_per_second": speed, "latency_ms": 0.2}})
    settings = {"tome_ratio": 0.2, "image_size": 32}
    costs = setting_costs(ledger, "vit_tome", settings, "search", "openvino")
    assert costs["inference_images_per_second"] == pytest.approx(400) and costs["latency_ms"] == pytest.approx(0.2)
    eager = setting_costs(ledger, "vit_tome", settings, "search")
    assert eager["inference_images_per_second"] == 100 and eager["latency_ms"] == 1
    assert costs.keys() == eager.keys() and costs["train_step_seconds"] == eager["train_step_seconds"]
    assert setting_costs(ledger, "vit_tome", settings, "search", "onnxruntime") == {}


def test_an_engine_that_is_refused_somewhere_is_not_interpolated(ledger: Ledger) -> None:
    fast: Figures = {"inference_images_per_second": 300.0, "latency_ms": 0.2}
    for ratio, own in ((0.0, fast), (0.4, fast), (0.8, {"refused": "cannot merge so many"})):
        timing(ledger, {"tome_ratio": ratio, "image_size": 32}, 100.0, engines={"openvino": own})

    def costs(ratio: float) -> dict[str, float]:
        return setting_costs(ledger, "vit_tome", {"tome_ratio": ratio, "image_size": 32}, "search", "openvino")

    assert costs(0.4)["inference_images_per_second"] == 300
    assert costs(0.2) == costs(0.8) == {}


def test_a_search_trial_has_the_speed_of_its_fastest_engine_and_eager_s_evaluation(tmp_path: Path) -> None:
    data = DataFacts("digits", train=1000, validation=100, test=100)
    with Ledger(tmp_path, resolve(SPACE | {"engines": ["torch", "openvino", "onnxruntime"]}, "test")) as ledger:
        for ratio, fastest in ((0.0, 400.0), (0.4, 90.0)):
            engines: dict[str, Figures] = {
                "openvino": {"inference_images_per_second": fastest, "latency_ms": 0.2},
                "onnxruntime": {"refused": "it computes something else"},
            }
            timing(ledger, {"tome_ratio": ratio, "image_size": 32}, 100.0, engines=engines)

        def trial(ratio: float, phase: str = "search") -> Trial:
            params: dict[str, Any] = {"tome_ratio": ratio, "image_size": 32, "lr": 0.1, "train_size": 200}
            return Trial("t", Cell("vit_tome", (), phase), params, 0, epochs=3)

        def chosen(trial: Trial) -> str | None:
            return deployed(ledger, "vit_tome", ledger.settings(trial), trial.cell.phase)[0]

        costs = trial_costs(ledger, trial(0.0), data)
        assert chosen(trial(0.0)) == "openvino" and costs["inference_images_per_second"] == 400
        assert costs["latency_ms"] == 0.2 and costs["eval_seconds"] == pytest.approx(100 / 100 * 3)
        assert chosen(trial(0.4)) == "torch"  # openvino is slower there
        assert trial_costs(ledger, trial(0.4), data)["inference_images_per_second"] == 100
        between = trial_costs(ledger, trial(0.2), data)
        assert chosen(trial(0.2)) == "openvino" and between["inference_images_per_second"] == pytest.approx(245)
        confirmed = trial(0.0, "confirm")
        assert chosen(confirmed) == "torch"
        assert trial_costs(ledger, confirmed, data)["inference_images_per_second"] == 100
        assert deployed(ledger, "resnet18", {}, "search") == (None, {})


def test_timings_of_engines_are_kept_and_those_without_are_eager(tmp_path: Path) -> None:
    point = {"tome_ratio": 0.0, "image_size": 32}
    with Ledger(tmp_path, resolve(SPACE, "test")) as ledger:
        timing(ledger, point, 100.0)
        timing(ledger, point, 90.0, "confirm", engines={"openvino": {"refused": "no"}})
    with Ledger(tmp_path, resolve(SPACE, "test")) as ledger:
        old, new = ledger.timings
    assert "engines" not in old.attributes() and old.by_engine().keys() == {"torch"}
    assert new.by_engine()["openvino"] == {"refused": "no"} and "engines" not in new.figures


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=8))
def test_interpolated_speeds_never_turn_back(values: list[float]) -> None:
    steps = np.diff(monotone(values)) * (1 if values[-1] >= values[0] else -1)
    assert (steps >= -1e-9 * max(values)).all()


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=8))
def test_monotone_values_stay_as_they_are(values: list[float]) -> None:
    assert monotone(sorted(values)).tolist() == pytest.approx(sorted(values))
