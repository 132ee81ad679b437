"""Accuracy on 500 CIFAR-10 images: a scratch ViT against the report's, and fine-tuning against random weights.

Not a part of `make bench`: it takes half an hour on 2 cores. python -m benchmarks.few_images [scratch|pretrained|random]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch

from benchmarks.figure import Figure, show
from trainables.image_classification.task import Config, DataOptions, Loop, load_data

SHARED = Path(__file__).parents[2] / "shared"
WEIGHTS = SHARED / "weights" / "vit_small_patch14_saliency.safetensors"
VALIDATION = 500

SCRATCH = {"image_size": 32, "patch_size": 4, "width": 192, "depth": 6, "heads": 8, "feed_forward": 384, "norm": "pre"}
FINE_TUNED = {"architecture": "vit_small_patch14_dinov2", "image_size": 112}
RUNS: dict[str, tuple[str, dict[str, Any], str, Config, float]] = {
    "scratch": ("scratch_vit", SCRATCH, "none", Config(lr=1e-3, epochs=30, warmup_epochs=3.0), 0.33),
    "pretrained": ("vit", FINE_TUNED, str(WEIGHTS), Config(lr=1e-4, epochs=10), 0.60),
    "random": ("vit", FINE_TUNED, "none", Config(lr=1e-4, epochs=10), 0.0),
}


def run(names: list[str]) -> Iterator[Figure]:
    for name in names:
        model, options, weights, config, least = RUNS[name]
        config = Config(**vars(config) | {"train_size": 500, "batch_size": 32})
        data, _, _ = load_data(
            str(SHARED / "data" / "cifar10"), Path("data"), DataOptions(VALIDATION), [options["image_size"]], 0
        )
        loop = Loop(config, model, options, weights, data, torch.device("cpu"))
        for _ in range(config.epochs):
            row = cast("dict[str, float]", loop.run_epoch())
            print(f"{name}: epoch {row['epoch']}: validation accuracy {row['val_accuracy']:.3f}", flush=True)
        asked = f"{least:.2f}" if least else "beside the pretrained one"
        reached = row["val_accuracy"] >= least if least else None
        what = f"{name}: {model}, 500 images, {config.epochs} epochs"
        yield Figure(what, f"{row['val_accuracy']:.3f}", asked, reached)


if __name__ == "__main__":
    show(run(sys.argv[1:] or list(RUNS)))
