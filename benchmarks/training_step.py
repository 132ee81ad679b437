"""The training step against what most scripts do: float32, contiguous, each image resized by PIL in a DataLoader.

python -m benchmarks.training_step

ResNet18 and ViT-S/16 at 224 px, on scikit-learn's digits, so that there is something to learn. Both train on the same
batches from the same initial weights, in turns of one short epoch; the distance of their loss curves is compared with
that of two seeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import functional as vision

import models
from benchmarks.figure import Figure, at_least, show
from benchmarks.tome_speed import dtype
from trainables import device as hardware
from trainables import timing
from trainables.data.images import Images, load
from trainables.image_classification.task import Config, Data, Loop

SIZE = 224
RATE = 1e-4
WORKERS = 2
ROUNDS = 3
CONTESTS: tuple[tuple[str, dict[str, Any], int, int, float], ...] = (
    # model, its options, images a batch, batches an epoch, times as fast
    ("resnet18", {}, 32, 2, 2.0),
    ("vit", {"architecture": "vit_small_patch16_224"}, 16, 2, 1.5),
)
Epoch = Callable[[], list[float]]  # trains one epoch; the loss of each of its steps


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    whole = load("digits", Path("data"), SIZE, 0)
    for model, options, batch, steps, least in CONTESTS:
        count = batch * steps
        train = Images(whole.train.images[:count], whole.train.labels[:count])
        data = Data(whole.classes, train, train)
        own, other = (
            Loop(
                Config(batch_size=batch, lr=RATE, flip=False, shift=0.0, gradient_clip=0, seed=seed),
                model, {"image_size": SIZE} | options, "none", data, device,
            )
            for seed in (0, 1)
        )  # fmt: skip
        plain = plain_loop(own, model, options)
        # Each contestant: its epoch, seconds an epoch, losses. The other seed is no contestant; it only shows the noise.
        runs: list[tuple[Epoch, list[float], list[float]]] = [
            (epoch, [], []) for epoch in (plain, our_loop(own), our_loop(other))
        ]
        for _ in range(ROUNDS):
            for epoch, seconds, losses in runs:
                begin = time.perf_counter()
                losses += epoch()
                seconds.append(time.perf_counter() - begin)
        (_, plain_seconds, plain_losses), (_, our_seconds, our_losses), (_, _, other_losses) = runs
        speed = count / statistics.median(our_seconds)
        ratio = statistics.median(plain_seconds) / statistics.median(our_seconds)
        note = f", {dtype(own)}, batch {batch}, {speed:.1f} images/s"
        yield at_least(f"training step of {model} at {SIZE} px against the plain loop", ratio, least, note=note)
        flops, fastest = flops_of_step(own) * steps, matrix_product_rate(own)
        floor, rate = flops / fastest, flops / statistics.median(our_seconds)
        yield Figure(
            f"arithmetic of the {model} step: the floor that the hardware sets",
            f"{rate / 1e9:.0f} GFLOP/s, {rate / fastest:.0%} of what a matrix product alone reaches; at that rate the step "
            f"would be {statistics.median(plain_seconds) / floor:.2f} times as fast as the plain loop",
        )
        yield Figure(f"where the time of the {model} step goes", where_time_goes(own))
        apart, noise = distance(plain_losses, our_losses), distance(other_losses, our_losses)
        yield Figure(
            f"loss curve of {model} ({len(our_losses)} steps), mean distance from the plain loop's",
            f"{apart:.4f}, between two seeds {noise:.4f}", "no more than between two seeds", apart <= noise,
        )  # fmt: skip


def our_loop(loop: Loop) -> Epoch:
    """The study's own training step, on the images in their order."""
    batches = np.split(np.arange(len(loop.data.train.labels)), loop.steps_per_epoch)
    generator = torch.Generator()
    loop.model.train()

    def epoch() -> list[float]:
        losses = [loop.train_step(batch, RATE, generator) for batch in batches]
        return torch.stack(losses).tolist()

    return epoch


class Resized(Dataset):
    """A script's data set: each image through PIL, to a normalised tensor."""

    def __init__(self, images: Images, mean: models.Triple, std: models.Triple) -> None:
        self.images, self.mean, self.std = images, list(mean), list(std)

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images.images[index]).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        return vision.normalize(vision.to_tensor(image), self.mean, self.std), int(self.images.labels[index])


def plain_loop(ours: Loop, model: str, options: dict[str, Any]) -> Epoch:
    """What most scripts do, from the initial weights of `ours`."""
    device, config = ours.device, ours.config
    options = options | {"image_size": SIZE, "num_classes": len(ours.data.classes)}
    network = models.build(model, **options)
    network.load_state_dict({name: value.contiguous() for name, value in ours.model.state_dict().items()})
    network.to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=config.weight_decay)
    criterion = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    batches: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        Resized(ours.data.train, *models.normalisation(network)),
        batch_size=config.batch_size, num_workers=WORKERS, persistent_workers=True,
    )  # fmt: skip

    def epoch() -> list[float]:
        losses = []
        for images, labels in batches:
            images, labels = images.to(device), labels.to(device)
            optimiser.zero_grad()
            loss = criterion(network(images), labels)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses

    return epoch


def flops_of_step(loop: Loop) -> int:
    with FlopCounterMode(display=False) as counter:
        loop.train_step(np.arange(loop.config.batch_size), RATE, torch.Generator())
    return counter.get_total_flops()


def where_time_goes(loop: Loop, shown: int = 5) -> str:
    """The operators that take most of a step's time, with their shares, as torch's profiler sees them."""
    with torch.profiler.profile() as profiler:
        loop.train_step(np.arange(loop.config.batch_size), RATE, torch.Generator())
        hardware.synchronise(loop.device)
    spent = "self_device_time_total" if loop.device.type == "cuda" else "self_cpu_time_total"
    times = {row.key.removeprefix("aten::"): getattr(row, spent) for row in profiler.key_averages()}
    total = sum(times.values())
    return ", ".join(f"{key} {times[key] / total:.0%}" for key in sorted(times, key=lambda k: -times[k])[:shown])


def matrix_product_rate(loop: Loop, side: int = 2048) -> float:
    """Operations a second of one large matrix product in the format that the loop computes in."""
    kind = torch.bfloat16 if loop.uses_bfloat16 else torch.float32
    matrix = torch.randn(side, side, device=loop.device, dtype=kind)
    return 2 * side**3 / timing.measure(lambda: matrix @ matrix, loop.device, seconds=1).median


def distance(a: list[float], b: list[float]) -> float:
    return statistics.fmean(abs(x - y) for x, y in zip(a, b, strict=True))


if __name__ == "__main__":
    show(run())
