"""The task's module: the names of `trainables.task.Task`."""

from __future__ import annotations

from collections.abc import Mapping

from record.tasks import TRANSLATION
from trainables.translation.config import Config, DataOptions
from trainables.translation.data import (
    Data,
    check_train_size,
    describe,
    keep,
    load_data,
    model_options,
    shape,
)
from trainables.translation.loop import Loop
from trainables.translation.profile import profile

__all__ = [
    "Config", "Data", "DataOptions", "Loop", "check_train_size", "describe", "epoch_seconds", "keep", "load_data",
    "model_options", "profile", "shape",
]  # fmt: skip


def epoch_seconds(config: Config, figures: Mapping[str, float], train: int, validation: int) -> tuple[float, float]:
    """(training, evaluation) seconds of one epoch, from the isolated figures and the numbers of pairs."""
    return (config.train_size or train) / figures["train_pairs_per_second"], validation / figures[TRANSLATION.speed]
