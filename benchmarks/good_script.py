"""The training step against a good plain script: bfloat16, channels_last, fused AdamW, images in memory.

python -m benchmarks.good_script

Both do the same work: the same network, batches of uint8 images in their order, no augmentation, no clipping of
gradients. They take turns of a few steps in one process. The script is written for these sizes and nothing else: it does
not report, resume, or recover from a lack of memory.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from torch.nn import functional as F

from benchmarks.figure import Figure, at_least, show
from benchmarks.tome_speed import dtype
from models.layers.precision import has_bfloat16
from trainables import device as hardware
from trainables.data.images import Images
from trainables.image_classification.task import Config, Data, Loop
from trainables.task import Scalar

RATE = 1e-3
MIN_RATIO = 1.0


class Contest(NamedTuple):
    name: str
    model: str  # a file of models/
    options: dict[str, Scalar]
    timm_name: str
    timm_options: dict[str, Any]
    size: int
    batch: int
    steps: int  # per turn
    turns: int


SMALL_VIT: dict[str, Any] = {"patch_size": 4, "embed_dim": 192, "depth": 6, "num_heads": 3}
VIT = "vit_small_patch16_224"
CONTESTS = (
    Contest("ResNet18", "resnet18", {"image_size": 32}, "resnet18", {}, 32, 128, 4, 25),
    Contest(
        "small ViT", "vit", {"image_size": 32, "architecture": VIT, **SMALL_VIT}, VIT, {"img_size": 32, **SMALL_VIT},
        32, 128, 4, 25,
    ),
    Contest("ResNet18", "resnet18", {"image_size": 224}, "resnet18", {}, 224, 32, 1, 9),
    Contest("ViT-S", "vit", {"image_size": 224, "architecture": VIT}, VIT, {}, 224, 16, 1, 9),
)  # fmt: skip


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    for contest in CONTESTS:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (4 * contest.batch, contest.size, contest.size, 3), dtype=np.uint8)
        images = Images(pixels, rng.integers(0, 10, len(pixels)))
        config = Config(batch_size=contest.batch, lr=RATE, flip=False, shift=0.0, gradient_clip=0)
        loop = Loop(config, contest.model, contest.options, "none", Data(tuple("0123456789"), images, images), device)
        script, ours = take_turns([plain_script(contest, images, device), our_steps(contest, loop)], contest)
        q1, ratio, q3 = statistics.quantiles([one / other for one, other in zip(script, ours, strict=True)], n=4)
        yield at_least(
            f"training step of {contest.name} at {contest.size} px against a good plain script", ratio, MIN_RATIO,
            note=f", quartiles {q1:.2f} and {q3:.2f}, {dtype(loop)}, batch {contest.batch}, "
            f"{contest.batch * contest.steps / statistics.median(ours):.0f} images/s",
        )  # fmt: skip
        del loop, script, ours
        gc.collect()


def take_turns(contestants: list[Callable[[], None]], contest: Contest) -> list[list[float]]:
    """Seconds of each turn of each contestant; an untimed turn comes first."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for turn in range(contest.turns + 1):
        for steps, own in zip(contestants, seconds, strict=True):
            start = time.perf_counter()
            steps()
            if turn:
                own.append(time.perf_counter() - start)
    return seconds


def plain_script(contest: Contest, images: Images, device: torch.device) -> Callable[[], None]:
    """What someone writes who knows PyTorch well; a turn of `contest.steps` steps."""
    torch.manual_seed(0)
    network = timm.create_model(contest.timm_name, num_classes=10, **contest.timm_options)
    network.to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05, fused=True)
    pixels = torch.from_numpy(images.images).to(device).permute(0, 3, 1, 2)  # channels_last
    labels = torch.from_numpy(images.labels).to(device)
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))
    )
    batches = [slice(start, start + contest.batch) for start in range(0, len(labels), contest.batch)]

    def turn() -> None:
        for step in range(contest.steps):
            batch = batches[step % len(batches)]
            inputs = (pixels[batch].float() - mean) / std
            with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
                logits = network(inputs)
            loss = F.cross_entropy(logits.float(), labels[batch], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        loss.item()

    return turn


def our_steps(contest: Contest, loop: Loop) -> Callable[[], None]:
    """A turn of as many steps of a study's training."""
    generator = torch.Generator()
    batches = np.split(np.arange(len(loop.data.train.labels)), loop.steps_per_epoch)
    loop.model.train()

    def turn() -> None:
        for step in range(contest.steps):
            loss = loop.train_step(batches[step % len(batches)], RATE, generator)
        loss.item()

    return turn


if __name__ == "__main__":
    show(run())
