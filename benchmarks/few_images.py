"""Accuracy on 500 CIFAR-10 images: a ViT from scratch, and fine-tuning against random weights.

Not part of `make bench`: it takes half an hour on 2 cores. python -m benchmarks.few_images [scratch|pretrained|random]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from benchmarks.figure import Figure, show
from trainables.image_classification.task import Config, DataOptions, Loop, load_data
from trainables.task import Scalar

SHARED = Path(__file__).parents[2] / "shared"
WEIGHTS = SHARED / "weights" / "vit_small_patch14_saliency.safetensors"
VALIDATION = 500

SCRATCH: dict[str, Scalar] = {
    "image_size": 32, "patch_size": 4, "width": 192, "depth": 6, "heads": 8, "feed_forward": 384, "norm": "pre",
}  # fmt: skip
FINE_TUNED: dict[str, Scalar] = {"architecture": "vit_small_patch14_dinov2", "image_size": 112}
RUNS: dict[str, tuple[str, dict[str, Scalar], str, Config, float | None]] = {
    "scratch": ("scratch_vit", SCRATCH, "none", Config(lr=1e-3, epochs=30, warmup_epochs=3.0), 0.33),
    "pretrained": ("vit", FINE_TUNED, str(WEIGHTS), Config(lr=1e-4, epochs=10), 0.60),
    "random": ("vit", FINE_TUNED, "none", Config(lr=1e-4, epochs=10), None),
}


def run(names: list[str]) -> Iterator[Figure]:
    for name in names:
        model, options, weights, config, target = RUNS[name]
        config = replace(config, train_size=500, batch_size=32)
        data, _, _ = load_data(
            str(SHARED / "data" / "cifar10"), Path("data"), DataOptions(VALIDATION), [int(options["image_size"])], 0
        )
        loop = Loop(config, model, options, weights, data, torch.device("cpu"))
        for _ in range(config.epochs):
            row = cast("dict[str, float]", loop.run_epoch())
            print(f"{name}: epoch {row['epoch']}: validation accuracy {row['val_accuracy']:.3f}", flush=True)
        accuracy, figure = row["val_accuracy"], f"{name}: {model}, 500 images, {config.epochs} epochs"
        if target is None:
            yield Figure(figure, f"{accuracy:.3f}")
        else:
            yield Figure(figure, f"{accuracy:.3f}", f"{target} or more", accuracy >= target)


if __name__ == "__main__":
    show(run(sys.argv[1:] or list(RUNS)))
