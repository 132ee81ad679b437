"""The steps of each model's trials, worked by hand, and the warnings where they cannot suffice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_space import models

from study import steps
from study.space.reading import resolve
from study.steps import Steps, possible_steps
from trainables import task as tasks
from trainables.translation.batching import buckets

VIT = {"image_size": 32, "patch_size": 4, "width": 16, "heads": 2, "depth": 1}


@pytest.fixture(scope="module")
def digits() -> Any:
    """1,438 training images without a test split, a fifth of which validate: 1,150 to train on."""
    task = tasks.named("image_classification")
    data, _, _ = task.load_data("digits", Path("data"), task.DataOptions(), [16], seed=0)
    assert len(data.train) == 1150
    return data


def lines(digits: Any, **entry: object) -> list[str]:
    spec = resolve(models(scratch_vit=VIT | entry), "test")
    return steps.lines(spec, tasks.named(spec.task), digits)


def test_steps_follow_from_images_batches_and_epochs(digits: Any) -> None:
    assert lines(digits, epochs=20, batch_size=100) == ["scratch_vit: 12 steps per epoch, 240 in all"]
    several = {"epochs": 10, "batch_size": 100, "factors": {"train_size": [500, 1150]}}
    assert lines(digits, **several) == ["scratch_vit: 5 to 12 steps per epoch, 50 to 120 in all"]


def test_all_combinations_count(digits: Any) -> None:
    entry = {"epochs": 2, "factors": {"train_size": [100, 1000]}, "batch_size": 50}
    spec = resolve(models(scratch_vit=VIT | entry | {"search": {"warmup_epochs": {"low": 0.0, "high": 3.0}}}), "test")
    found = possible_steps(spec, spec.models["scratch_vit"], tasks.named(spec.task), digits)
    assert set(found) == {Steps(2, 4, 0), Steps(2, 4, 6), Steps(20, 40, 0), Steps(20, 40, 60)}


@pytest.mark.parametrize(("epochs", "is_warned"), [(5, False), (4, True)])
def test_too_few_steps_are_warned_about(digits: Any, epochs: int, is_warned: bool) -> None:
    _, *warned = lines(digits, epochs=epochs, batch_size=100, train_size=1000)
    assert [
        f"scratch_vit: {10 * epochs} steps in all are too few to learn from random weights" in line for line in warned
    ] == [True] * is_warned


@pytest.mark.parametrize(("warmup", "is_warned"), [(9.9, False), (10.0, True), (20.0, True)])
def test_a_warm_up_as_long_as_the_training_is_warned_about(digits: Any, warmup: float, is_warned: bool) -> None:
    _, *warned = lines(digits, epochs=10, batch_size=100, train_size=1000, warmup_epochs=warmup)
    text = f"the warm-up of {10 * warmup:.0f} steps is as long as the training (100 steps)"
    assert [text in line and "lower warmup_epochs" in line for line in warned] == [True] * is_warned


def test_steps_of_a_translation(tmp_path: Path) -> None:
    task = tasks.named("translation")
    data, _, _ = task.load_data("reversal", Path("data"), task.DataOptions(), [], seed=0)
    config = task.Config(batch_size=100, accumulation=4, train_size=1000, warmup=400)  # type: ignore[call-arg]
    assert task.steps(config, data) == (3, 100)
    by_tokens = task.Config(batch_tokens=1000)  # type: ignore[call-arg]
    made = buckets(data.train, np.arange(8000), 1000, np.random.default_rng(0))  # type: ignore[attr-defined]
    assert task.steps(by_tokens, data)[0] == pytest.approx(len(made), rel=0.1)
