"""Why speed is profiled alone: images/s of one trial by itself, and beside another trial.

python -m benchmarks.contention
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event

import numpy as np
import torch

from benchmarks.figure import Figure, show
from trainables import device as hardware
from trainables import timing
from trainables.data.images import Images
from trainables.image_classification.task import Config, Data, Loop

BATCH = 64
ROUNDS = 4


def run() -> Iterator[Figure]:
    cores = os.cpu_count() or 1
    for threads, share in ((max(1, cores // 2), "half of the cores"), (cores, "all cores")):
        alone, beside = contest(threads)
        yield Figure(
            f"ResNet18, 32 px, batch {BATCH}, on {share} ({threads} thread{'s' * (threads > 1)})",
            f"{alone:.0f} images/s alone, {beside:.0f} beside another trial: {beside / alone:.2f}x",
        )


def contest(threads: int) -> tuple[float, float]:
    """Images/s (alone, beside a neighbour), measured in turns."""
    context = multiprocessing.get_context("spawn")
    running, ready = context.Event(), context.Event()
    neighbour = context.Process(target=train_while, args=(running, ready, threads), daemon=True)
    neighbour.start()
    ready.wait()
    step, device = prepare(threads)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    try:
        for _ in range(ROUNDS):
            for busy, own in seconds.items():
                running.set() if busy else running.clear()
                own.append(timing.measure(step, device).median)
    finally:
        neighbour.terminate()
        neighbour.join()
    alone, beside = (BATCH / statistics.median(own) for own in seconds.values())
    return alone, beside


def train_while(running: Event, ready: Event, threads: int) -> None:
    """The other trial: trains while `running` is set."""
    step, _ = prepare(threads)
    step()
    ready.set()
    while running.wait():
        step()


def prepare(threads: int) -> tuple[Callable[[], object], torch.device]:
    """(a training step, its device)."""
    torch.set_num_threads(threads)
    device = hardware.pick(1)
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8), np.arange(BATCH, dtype=np.int64) % 10)
    data = Data(tuple(map(str, range(10))), images, images)
    loop = Loop(Config(batch_size=BATCH), "resnet18", {"image_size": 32}, "none", data, device)
    loop.model.train()
    generator = torch.Generator()
    return lambda: loop.train_step(np.arange(BATCH), 1e-3, generator), device


if __name__ == "__main__":
    show(run())
