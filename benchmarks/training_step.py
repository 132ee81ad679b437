"""The training step against that of most scripts: float32, contiguous, each image resized by PIL in a DataLoader.

python -m benchmarks.training_step

ResNet18 and ViT-S/16 at 224 px on scikit-learn's digits, so that there is something to learn. Both loops train on the
same batches from the same initial weights, in turns of one short epoch; the distance of their loss curves is compared
with that of two seeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from trainables.data.images import Images
from trainables.data.images.loading import load_images
from trainables.image_classification.task import Config, Data, Loop, model_options
from trainables.task import Scalar

SIZE = 224
RATE = 1e-4
WORKERS = 2
ROUNDS = 3
Options = Mapping[str, Scalar]
CONTESTS: tuple[tuple[str, Options, int, int, float], ...] = (
    # model, its options, images per batch, batches per epoch, minimum speed-up
    ("resnet18", {"image_size": SIZE}, 32, 2, 2.0),
    ("vit", {"image_size": SIZE, "architecture": "vit_small_patch16_224"}, 16, 2, 1.5),
)
Epoch = Callable[[], list[float]]  # trains one epoch; returns the loss of each of its steps


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    digits = load_images("digits", Path("data"), SIZE, 0)
    for model, options, batch, steps, target in CONTESTS:
        count = batch * steps
        train = Images(digits.train.images[:count], digits.train.labels[:count])
        data = Data(digits.classes, train, train)
        own, other = (
            Loop(
                Config(batch_size=batch, lr=RATE, flip=False, shift=0.0, gradient_clip=0, seed=seed),
                model, options, "none", data, device,
            )
            for seed in (0, 1)
        )  # fmt: skip
        # The other seed is not a contestant; it only shows the noise.
        plain, ours, reseeded = take_turns([plain_loop(own, model, options), our_loop(own), our_loop(other)])
        note = f", {dtype(own)}, batch {batch}, {count / ours.seconds:.1f} images/s"
        speed_up = plain.seconds / ours.seconds
        yield at_least(f"training step of {model} at {SIZE} px against the plain loop", speed_up, target, note=note)
        yield arithmetic(own, model, plain.seconds / steps, ours.seconds / steps)
        yield Figure(f"where the time of the {model} step goes", where_time_goes(own))
        apart, noise = distance(plain.losses, ours.losses), distance(reseeded.losses, ours.losses)
        yield Figure(
            f"loss curve of {model} ({len(ours.losses)} steps), mean distance from the plain loop's",
            f"{apart:.4f}, between two seeds {noise:.4f}", "no more than between two seeds", apart <= noise,
        )  # fmt: skip


@dataclass(frozen=True)
class Training:
    """What one contestant did: median seconds per epoch, and the losses of all steps."""

    seconds: float
    losses: list[float]


def take_turns(epochs: Sequence[Epoch]) -> list[Training]:
    """Train ROUNDS epochs with each contestant, in turns."""
    seconds: list[list[float]] = [[] for _ in epochs]
    losses: list[list[float]] = [[] for _ in epochs]
    for _ in range(ROUNDS):
        for epoch, own_seconds, own_losses in zip(epochs, seconds, losses, strict=True):
            start = time.perf_counter()
            own_losses += epoch()
            own_seconds.append(time.perf_counter() - start)
    return [Training(statistics.median(own), curve) for own, curve in zip(seconds, losses, strict=True)]


def arithmetic(loop: Loop, model: str, plain_seconds: float, seconds: float) -> Figure:
    """How close the step (of `seconds`) comes to the speed of a matrix product, which the hardware limits."""
    flops, max_rate = flops_of_step(loop), matrix_product_rate(loop)
    rate = flops / seconds
    return Figure(
        f"arithmetic of the {model} step: the limit that the hardware sets",
        f"{rate / 1e9:.0f} GFLOP/s, {rate / max_rate:.0%} of what a matrix product alone reaches; at that rate the step "
        f"would be {plain_seconds / (flops / max_rate):.2f} times as fast as the plain loop",
    )


def our_loop(loop: Loop) -> Epoch:
    """The training step of a study, on the images in their order."""
    batches = np.split(np.arange(len(loop.data.train.labels)), loop.steps_per_epoch)
    generator = torch.Generator()
    loop.model.train()

    def epoch() -> list[float]:
        losses = [loop.train_step(batch, RATE, generator) for batch in batches]
        return torch.stack(losses).tolist()

    return epoch


class Resized(Dataset):
    """The data set of a typical script: each image through PIL to a normalised tensor."""

    def __init__(self, images: Images, mean: models.Triple, std: models.Triple) -> None:
        self.images, self.mean, self.std = images, list(mean), list(std)

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images.images[index]).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        return vision.normalize(vision.to_tensor(image), self.mean, self.std), int(self.images.labels[index])


def plain_loop(ours: Loop, model: str, options: Options) -> Epoch:
    """The training of most scripts, from the initial weights of `ours`."""
    device, config = ours.device, ours.config
    network = models.build(model, "none", **options, **model_options(ours.data))
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
    """Floating point operations of one training step."""
    with FlopCounterMode(display=False) as counter:
        loop.train_step(np.arange(loop.config.batch_size), RATE, torch.Generator())
    return counter.get_total_flops()


def where_time_goes(loop: Loop, count: int = 5) -> str:
    """The operators that take most of a step's time, with their shares according to torch's profiler."""
    with torch.profiler.profile() as profiler:
        loop.train_step(np.arange(loop.config.batch_size), RATE, torch.Generator())
        hardware.synchronise(loop.device)
    on_gpu = loop.device.type == "cuda"
    times = {
        row.key.removeprefix("aten::"): row.self_device_time_total if on_gpu else row.self_cpu_time_total
        for row in profiler.key_averages()
    }
    total = sum(times.values())
    return ", ".join(f"{key} {times[key] / total:.0%}" for key in sorted(times, key=lambda k: -times[k])[:count])


def matrix_product_rate(loop: Loop, side: int = 2048) -> float:
    """Operations per second of one large matrix product in the number format of the loop."""
    dtype = torch.bfloat16 if loop.uses_bfloat16 else torch.float32
    matrix = torch.randn(side, side, device=loop.device, dtype=dtype)
    return 2 * side**3 / timing.measure(lambda: matrix @ matrix, loop.device, seconds=1).median


def distance(a: list[float], b: list[float]) -> float:
    """Mean distance of two loss curves."""
    return statistics.fmean(abs(x - y) for x, y in zip(a, b, strict=True))


if __name__ == "__main__":
    show(run())
