"""The task's module: the names of `trainables.task.Task`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from record.tasks import TRANSLATION
from trainables.translation.batching import padded_lengths
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
    "model_options", "profile", "shape", "steps",
]  # fmt: skip


def steps(config: Config, data: Data) -> tuple[int, int]:
    """Steps of the optimiser in one epoch, and in the warm-up of the learning rate. Padding depends on the shuffling and is
    not counted: a few steps more are made."""
    pairs = config.train_size or len(data.train)
    tokens = pairs * float(np.mean(padded_lengths(data.train)))
    batches = math.ceil(pairs / config.batch_size if config.batch_size else tokens / config.batch_tokens)
    return math.ceil(batches / config.accumulation), math.ceil(config.warmup / config.accumulation)


def epoch_seconds(config: Config, figures: Mapping[str, float], train: int, validation: int) -> tuple[float, float]:
    """(training, evaluation) seconds of one epoch, from the isolated figures and the numbers of pairs."""
    return (config.train_size or train) / figures["train_pairs_per_second"], validation / figures[TRANSLATION.speed]
