"""What an image classifier costs: training step, inference and memory, timed on random images.

The caller ensures that nothing else runs meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables import device as hardware
from trainables import latency, timing
from trainables.data.images import Images
from trainables.image_classification.config import Config
from trainables.image_classification.data import Data
from trainables.image_classification.loop import Loop
from trainables.latency import Latency
from trainables.pace import Yardstick
from trainables.task import Figures, Settings
from trainables.timing import Throughput, Timing

INFERENCE_BATCHES = (1, 4, 16, 64, 256, 1024, 4096)


def profile(
    config: Config,
    model: str,
    options: Settings,
    device: torch.device,
    shape: Mapping[str, int],
    train_threads: int,
    yardstick: Yardstick,
    latency_seconds: float = latency.SECONDS,
) -> Figures:
    """Time one model on random images of the data's shape (`shape` of data.py), all at the yardstick's usual pace."""
    return measure(loop_on_noise(config, model, options, device, shape), train_threads, yardstick, latency_seconds)


def profile_training(
    config: Config,
    model: str,
    options: Settings,
    device: torch.device,
    shape: Mapping[str, int],
    train_threads: int,
    yardstick: Yardstick,
) -> Figures:
    """`profile` without the times of inference."""
    figures, step = _training(loop_on_noise(config, model, options, device, shape), train_threads, yardstick)
    return figures | timing.noise(step)


def loop_on_noise(
    config: Config, model: str, options: Settings, device: torch.device, shape: Mapping[str, int]
) -> Loop:
    return Loop(replace(config, train_size=None), model, options, "none", noise(config, **shape), device)


def noise(config: Config, height: int, width: int, classes: int) -> Data:
    """Random images: as many as a batch of this config has, but at least one per class."""
    count = max(config.batch_size, classes)
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    images = Images(pixels, np.arange(count, dtype=np.int64) % classes)
    return Data(tuple(map(str, range(classes))), images, images)


def measure(loop: Loop, train_threads: int, yardstick: Yardstick, latency_seconds: float = latency.SECONDS) -> Figures:
    """The isolated figures of a `Loop` on `noise` data.

    Inference goes from uint8 images on the device to logits, at batch 1 and at the batch with the best throughput;
    the training step is the one of `Loop`, at the config's batch, with `train_threads` threads.
    """
    training, step = _training(loop, train_threads, yardstick)
    single, inference = time_inference(loop, yardstick, latency_seconds)
    return training | inference.figures("images") | single.figures() | timing.noise(inference.timing, step)


def _training(loop: Loop, train_threads: int, yardstick: Yardstick) -> tuple[Figures, Timing]:
    """What the training step takes, and what else is known of the model and its timing; the step alone."""
    config, batch, generator = loop.config, np.arange(loop.config.batch_size), torch.Generator()
    loop.model.train()
    with hardware.threads(train_threads):
        step = timing.measure(lambda: loop.train_step(batch, config.lr, generator), loop.device, yardstick)
    return {
        "batch": config.batch_size,
        "dtype": "bfloat16" if loop.uses_bfloat16 else "float32",
        "device": loop.device.type,
        "threads": torch.get_num_threads(),
        "train_threads": train_threads,
        "train_step_seconds": step.median,
        "train_step_seconds_q1": step.q1,
        "train_step_seconds_q3": step.q3,
        "train_images_per_second": config.batch_size / step.median,
        "parameters": sum(p.numel() for p in loop.model.parameters()),
        "peak_memory_mb": hardware.peak_memory_mb(loop.device),
        "gflops_per_image": _operations(loop) / 1e9,
    }, step


def _operations(loop: Loop) -> int:
    """Floating point operations of the inference of one image."""
    forward, loop.forward = loop.forward, loop.model  # a compiled model has no operators to count
    trained = [parameter for parameter in loop.model.parameters() if parameter.requires_grad]
    loop.model.requires_grad_(False)  # the counter awaits gradients of layers that get a view of a parameter (PiT)
    with loop.inference(), FlopCounterMode(display=False) as flops:
        _classifying(loop, 1)()
    loop.forward = forward
    for parameter in trained:
        parameter.requires_grad_()
    return flops.get_total_flops()


def time_inference(loop: Loop, yardstick: Yardstick, latency_seconds: float) -> tuple[Latency, Throughput]:
    """(latency at batch 1, throughput at the best batch)."""
    classify = partial(_classifying, loop)
    with loop.inference():
        single = latency.measure(classify(1), loop.device, latency_seconds, yardstick)
        return single, timing.best_batch(classify, INFERENCE_BATCHES, loop.device, yardstick)


def _classifying(loop: Loop, size: int) -> Callable[[], object]:
    """The call that classifies so many images on the device."""
    pixels = loop.data.train.images
    images = torch.from_numpy(np.resize(pixels, (size, *pixels.shape[1:]))).to(loop.device)
    return lambda: loop.logits(images)
