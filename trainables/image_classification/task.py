"""The task's module: the names of `trainables.task.Task`."""

from __future__ import annotations

from collections.abc import Mapping

from record.tasks import IMAGE_CLASSIFICATION
from trainables.image_classification.config import Config, DataOptions
from trainables.image_classification.data import (
    Data,
    check_train_size,
    describe,
    keep,
    load_data,
    model_options,
    shape,
)
from trainables.image_classification.engines import evaluate_engines, time_engines
from trainables.image_classification.loop import Loop, number_of_batches
from trainables.image_classification.profile import profile, profile_training

__all__ = [
    "Config", "Data", "DataOptions", "Loop", "check_train_size", "describe", "epoch_seconds", "evaluate_engines", "keep",
    "load_data", "model_options", "profile", "profile_training", "shape", "steps", "time_engines",
]  # fmt: skip


def steps(config: Config, data: Data) -> tuple[int, int]:
    """Steps of the optimiser in one epoch, and in the warm-up of the learning rate."""
    per_epoch = number_of_batches(config.train_size or len(data.train), config.batch_size)
    return per_epoch, round(config.warmup_epochs * per_epoch)


def epoch_seconds(config: Config, figures: Mapping[str, float], train: int, validation: int) -> tuple[float, float]:
    """(training, evaluation) seconds of one epoch, from the isolated figures and the numbers of images."""
    steps = number_of_batches(config.train_size or train, config.batch_size)
    return figures["train_step_seconds"] * steps, validation / figures[IMAGE_CLASSIFICATION.speed]
