"""Which trials are confirmed: worked by hand for studies of a few trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.candidates import candidates, room
from study.cells import Cell
from study.ledger import Ledger
from study.proposals import build_sampler
from study.space.reading import resolve
from study.space.schema import StudySpec


def a_space(objectives: list[str], **confirm: int) -> StudySpec:
    searched = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    models = {"scratch_vit": {"factors": {"train_size": [100, 200]}}, "resnet18": {"train_size": 100}}
    settings = {"epochs": 1, "search": searched}
    space = {
        "description": "x", "data": {"name": "digits"}, "objectives": objectives, "trials": 5, "confirm": confirm,
        "all_models": settings, "models": models,
    }  # fmt: skip
    return resolve(space, "test")


SMALL, LARGE, RESNET = (
    Cell("scratch_vit", (("train_size", 100),)),
    Cell("scratch_vit", (("train_size", 200),)),
    Cell("resnet18"),
)
BY_SPEED = ["val_accuracy", "inference_images_per_second", "train_seconds"]
# (cell, accuracy, images/s, seconds): the sixth is on the front of three objectives alone, the last one repeats a point.
TRIALS = [
    (SMALL, 0.70, 100.0, 5.0), (SMALL, 0.60, 100.0, 4.0), (LARGE, 0.90, 100.0, 9.0), (LARGE, 0.85, 150.0, 9.0),
    (RESNET, 0.50, 100.0, 9.0), (LARGE, 0.40, 100.0, 1.0), (LARGE, 0.80, 200.0, 9.0), (LARGE, 0.90, 100.0, 8.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("confirm", "expected"),
    [
        ({"candidates": 1}, [0.9, 0.5]),  # each model has one, whatever the room
        ({"candidates": 3}, [0.9, 0.5, 0.7]),  # then each cell
        ({"candidates": 4}, [0.9, 0.5, 0.7, 0.85]),  # then the front of accuracy and speed
        ({"candidates": 5}, [0.9, 0.5, 0.7, 0.85, 0.8]),
        ({}, [0.9, 0.5, 0.7, 0.85, 0.8]),  # room for seven, but no other trial is worth it
    ],
)
def test_the_best_of_each_cell_and_the_front_by_speed_are_confirmed(
    tmp_path: Path, confirm: dict[str, int], expected: list[float]
) -> None:
    with Ledger(tmp_path, a_space(BY_SPEED, **confirm)) as ledger:
        for cell, *values in TRIALS:
            trial = ledger.ask(cell, build_sampler(ledger, cell))
            ledger.record(trial, {"epoch": 1, "val_accuracy": values[0]})
            ledger.finish(trial, "complete", values)
        assert [trial.values[0] for trial in candidates(ledger)] == expected


def test_the_room_is_the_spaces_or_one_a_cell_and_four_more() -> None:
    assert [room(a_space(BY_SPEED, **confirm)) for confirm in ({}, {"candidates": 1}, {"candidates": 9})] == [7, 2, 9]
