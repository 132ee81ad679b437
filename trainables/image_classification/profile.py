"""What an image classifier costs, whatever it has learnt: training step, inference and memory, timed on made-up images.

Nothing else may run meanwhile: that is the caller's part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables import device as hardware
from trainables import timing
from trainables.data.images import Images
from trainables.image_classification.config import Config
from trainables.image_classification.data import Data
from trainables.image_classification.loop import Loop
from trainables.task import Figures, Settings


def profile(config: Config, model: str, options: Settings, device: torch.device, shape: Mapping[str, Any]) -> Figures:
    """Time one model on made-up images of the data's shape (`shape` of data.py)."""
    data = noise(config, **shape)
    return measure(Loop(replace(config, train_size=None), model, options, "none", data, device))


def noise(config: Config, image_shape: tuple[int, ...], classes: int) -> Data:
    """Data whose training split is one batch of the config's (or an image of each class) of random (H, W, 3) images."""
    count = max(config.batch_size, classes)
    pixels = np.random.default_rng(0).integers(0, 256, (count, *image_shape), dtype=np.uint8)
    images = Images(pixels, np.arange(count, dtype=np.int64) % classes)
    return Data(tuple(map(str, range(classes))), images, images)


def measure(loop: Loop) -> Figures:
    """The isolated figures of a `Loop` on `noise` data.

    Inference goes from uint8 images on the device to logits, at batch 1 and at the batch with the best throughput;
    the training step is the real one, at the config's batch.
    """
    config, device = loop.config, loop.device
    batch, generator = np.arange(config.batch_size), torch.Generator()

    loop.model.train()
    step = timing.measure(lambda: loop.train_step(batch, config.lr, generator), device)
    memory = hardware.peak_memory_mb(device)

    with loop.inference():

        def classify(size: int) -> Callable[[], object]:
            pixels = np.resize(loop.data.train.images, (size, *loop.data.train.images.shape[1:]))
            images = torch.from_numpy(pixels).to(device)
            return lambda: loop.logits(images)

        one, best, best_batch = timing.best_batch(classify, (1, 4, 16, 64, 256), device)
        loop.forward = loop.model  # a compiled model has no operators to count
        with FlopCounterMode(display=False) as flops:
            classify(1)()
    return {
        "batch": config.batch_size,
        "dtype": "bfloat16" if loop.uses_bfloat16 else "float32",
        "device": device.type,
        "threads": torch.get_num_threads(),
        **timing.inference_figures("images", one, best, best_batch),
        "train_step_seconds": step.median,
        "train_step_seconds_q1": step.q1,
        "train_step_seconds_q3": step.q3,
        "train_images_per_second": config.batch_size / step.median,
        "parameters": sum(p.numel() for p in loop.model.parameters()),
        "gflops_per_image": flops.get_total_flops() / 1e9,
        "peak_memory_mb": memory,
        "spread": max(best.spread, step.spread),
    }
