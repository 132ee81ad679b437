"""A full grid of small models that were really trained on digits: data/trained_table.csv, which search_designs.py searches.

python -m benchmarks.trained_table     # adds the rows that are missing; about 6 minutes on one core from nothing

One row per training: settings, floating point operations per image, and the validation accuracy of each epoch. The
operations stand for the time: they are the same on every machine.
"""

from __future__ import annotations

import csv
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from study.ledger import number
from trainables.image_classification.task import Config, DataOptions, Loop, load_data
from trainables.task import Scalar
from trainables.training import Diverged

TABLE = Path(__file__).parent / "data" / "trained_table.csv"
EPOCHS = 9
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
TRAIN_SIZES = (250, 500, 1000)
RATIOS = (0.0, 0.25, 0.5, 0.75)
VALIDATION_IMAGES = 431
CHANCE = 0.1
MODELS: dict[str, dict[str, Scalar]] = {
    "scratch_vit": {
        "image_size": 8, "patch_size": 2, "width": 32, "depth": 2, "heads": 2, "feed_forward": 64, "norm": "pre",
    },
    "resnet18": {"image_size": 8, "width": 8},
    "vit_tome": {
        "architecture": "vit_tiny_patch16_224", "image_size": 8, "patch_size": 2, "embed_dim": 32, "depth": 3, "num_heads": 2,
    },
}  # fmt: skip
SETTINGS = ("model", "lr", "train_size", "tome_ratio")
COLUMNS = (*SETTINGS, "megaflops_per_image", *(f"epoch_{epoch}" for epoch in range(1, EPOCHS + 1)))


class Run(NamedTuple):
    """One training of the grid."""

    model: str
    lr: float
    train_size: int
    tome_ratio: float  # 0 for a model that does not merge


def grid() -> Iterator[Run]:
    """Every training."""
    for model in MODELS:
        for lr, size, ratio in itertools.product(RATES, TRAIN_SIZES, RATIOS if model == "vit_tome" else (0.0,)):
            yield Run(model, lr, size, ratio)


@functools.cache
def read(path: Path = TABLE) -> dict[Run, tuple[float, tuple[float, ...]]]:
    """(megaflops per image, validation accuracy of each epoch) of each training."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        Run(row["model"], float(row["lr"]), int(row["train_size"]), float(row["tome_ratio"])): (
            float(row["megaflops_per_image"]),
            tuple(float(row[f"epoch_{epoch}"]) for epoch in range(1, EPOCHS + 1)),
        )
        for row in rows
    }


def main(path: Path = TABLE) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    known = read(path)
    for run in grid():
        if run not in known:
            row = [*run, *train(run)]
            with path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
            print(*row, flush=True)


def train(run: Run) -> list[float]:
    """(megaflops per image, validation accuracy of each epoch); chance from the epoch on in which it diverged."""
    torch.set_num_threads(1)
    data, _, _ = load_data("digits", Path("data"), DataOptions(VALIDATION_IMAGES), [8], 0)
    config = Config(lr=run.lr, train_size=run.train_size, epochs=EPOCHS, batch_size=16, flip=False, shift=0.0)
    options = MODELS[run.model] | ({"tome_ratio": run.tome_ratio} if run.model == "vit_tome" else {})
    loop = Loop(config, run.model, options, "none", data, torch.device("cpu"))
    accuracies: list[float] = []
    try:
        while loop.epoch < EPOCHS:
            accuracies.append(round(number(loop.run_epoch(), "val_accuracy"), 4))
    except Diverged:
        accuracies += [CHANCE] * (EPOCHS - len(accuracies))
    return [megaflops(loop), *accuracies]


def megaflops(loop: Loop) -> float:
    pixels = torch.tensor(loop.data.validation.images[:1])
    with loop.inference(), FlopCounterMode(display=False) as flops:
        loop.logits(pixels)
    return round(flops.get_total_flops() / 1e6, 4)


if __name__ == "__main__":
    main()
