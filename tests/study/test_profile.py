"""The profile's grid, interpolation between its points, and who may use which timing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from record.errors import UserError
from study.ledger import Cell, Ledger, Trial
from study.profile import check_grid, costs, grid, interpolated_speed, isolated, monotone, speed_dimensions, undisturbed
from study.space.reading import resolve

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


def timing(ledger: Ledger, point: dict[str, Any], speed: float, phase: str = "profile") -> None:
    ledger.add_profile(
        {
            "model": "vit_tome",
            "phase": phase,
            "point": point,
            "settings": point,
            "inference_images_per_second": speed,
            "latency_ms": 1.0,
            "train_step_seconds": 1 / speed,
            "train_images_per_second": speed / 3,
            "parameters": 10,
            "gflops_per_image": 1.0,
            "peak_memory_mb": 5.0,
        }
    )


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
        return costs(ledger, "vit_tome", settings, phase)["inference_images_per_second"]

    assert speed(0.2, 32) == pytest.approx(150) and speed(0.2, 64) == pytest.approx(37.5)
    assert speed(0.4, 32) == 200 and speed(0.6, 32) == pytest.approx(210)
    # What the confirm phase times is its own: the search's figures, told to Optuna, do not move under it.
    timing(ledger, {"tome_ratio": 0.2, "image_size": 32}, 170.0, phase="confirm")
    assert speed(0.2, 32) == pytest.approx(150) and speed(0.2, 32, "confirm") == 170
    assert costs(ledger, "resnet18", {}, "search") == {}


def test_a_confirmed_setting_knows_what_was_interpolated_for_it(ledger: Ledger) -> None:
    for ratio, speed in ((0.0, 100.0), (0.4, 200.0)):
        timing(ledger, {"tome_ratio": ratio, "image_size": 32}, speed)
    timing(ledger, {"tome_ratio": 0.2, "image_size": 32}, 160.0, phase="confirm")
    timing(ledger, {"tome_ratio": 0.4, "image_size": 32}, 190.0, phase="confirm")
    # Between two points: 150, whatever was timed since. At a point of the grid nothing is interpolated.
    assert [interpolated_speed(ledger, row) for row in ledger.profile] == [None, None, pytest.approx(150.0), None]


@pytest.mark.parametrize(
    ("attempts", "median", "busy"),
    [
        ([(1.0, 0.02, 0.0, 0)], 1.0, None),  # undisturbed: timed once
        ([(1.0, 0.02, 0.5, 0), (2.0, 0.02, 0.05, 0)], 2.0, None),
        ([(1.0, 0.02, 0.5, 0), (2.0, 0.02, 0.3, 0), (3.0, 0.02, 0.4, 0)], 2.0, "other processes took 30%"),
        ([(1.0, 0.02, 0.0, 2), (2.0, 0.02, 0.0, 0)], 2.0, None),
        ([(1.0, 0.02, 0.0, 1), (2.0, 0.02, 0.0, 2), (3.0, 0.02, 0.2, 1)], 1.0, "1 other processes were on the GPU"),
        ([(1.0, 0.15, 0.0, 0)], 1.0, "quartiles are 15% apart"),
    ],
)
def test_a_timing_beside_which_something_ran_is_repeated_and_says_so_if_that_did_not_help(
    attempts: list[tuple[float, float, float, int]], median: float, busy: str | None
) -> None:
    left = iter(attempts)

    def attempt() -> tuple[dict[str, Any], float, int]:
        median, spread, share, on_gpu = next(left)
        return {"median": median, "spread": spread}, share, on_gpu

    row = undisturbed(attempt)
    assert list(left) == []
    assert row["median"] == median
    assert row["busy"] is None if busy is None else busy in row["busy"]


def test_training_costs_follow_from_the_step_the_size_and_the_epochs(ledger: Ledger) -> None:
    for size in (32, 64):
        timing(ledger, {"tome_ratio": 0.0, "image_size": size}, 50.0)
    settings = {"tome_ratio": 0.0, "image_size": 32, "lr": 0.1, "train_size": 200}
    trial = Trial("t", Cell("vit_tome"), settings, 0, epochs=3)
    figures = isolated(ledger, trial, train_images=1000, validation_images=100)
    assert figures["train_seconds"] == pytest.approx(0.02 * 4 * 3)  # 4 steps of 64 images, 3 epochs
    assert figures["eval_seconds"] == pytest.approx(100 / 50 * 3)
    trial.rows = [{"epoch": 1}]
    assert isolated(ledger, trial, 1000, 100)["train_seconds"] == pytest.approx(0.02 * 4)  # it ran one epoch only


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=8))
def test_interpolated_speeds_never_turn_back(values: list[float]) -> None:
    steps = np.diff(monotone(values)) * (1 if values[-1] >= values[0] else -1)
    assert (steps >= -1e-9 * max(values)).all()


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=8))
def test_what_is_monotone_already_is_left_alone(values: list[float]) -> None:
    assert monotone(sorted(values)).tolist() == pytest.approx(sorted(values))
