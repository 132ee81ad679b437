"""A space for data that come without one: models, sizes and budgets that suit the images and the hardware."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from record.errors import UserError

STEPS = 400  # of the optimiser in a trial, at which small networks from random weights tell a few classes apart
EPOCHS = (3, 40)
PATCHES = 8  # along each side of an image: 64 tokens, of which merging can take some
PRETRAINED_SIZE = 224
CPU_LIMITS = {"size": 64, "images": 5000}  # the largest images and training set that two cores can search in an hour
GPU_LIMITS = {"size": 128, "images": 50_000}
EVALUATED = 2000  # images of the validation and of the test split at most


def choose(data: str, data_dir: Path, weights: str | None, gpu: bool) -> dict[str, Any]:
    """The raw mapping of a space that compares a scratch ViT, a ResNet18, a ViT and a ViT with merging on these images.

    weights: those of the ViTs, `timm` or none. gpu: whether trials have one. Raises UserError where the data cannot be read, or
    the weights are a file, which does not say of which network.
    """
    from trainables.data.images.loading import load_images

    if weights not in (None, "none", "timm"):
        raise UserError(f"--weights {weights}: whose weights a file holds, only a --space can say (architecture)")
    limits = GPU_LIMITS if gpu else CPU_LIMITS
    images = load_images(data, data_dir, limits["size"])
    size = min(limits["size"], max(2, math.ceil(images.train.images.shape[1] / PATCHES)) * PATCHES)
    validation = min(round(0.2 * len(images.train)), EVALUATED)
    train = min(len(images.train) - validation, limits["images"])
    batch = 16 if train < 500 else 32 if train < 5000 else 64
    epochs = min(max(math.ceil(STEPS * batch / train), EPOCHS[0]), EPOCHS[1])
    pretrained = weights == "timm"
    fine_tuned = {
        "architecture": "vit_small_patch16_224",
        "image_size": PRETRAINED_SIZE,
        "weights": "timm",
        "epochs": 5,
    }
    small = {"architecture": "vit_tiny_patch16_224", "patch_size": size // PATCHES, "embed_dim": 96, "depth": 4}
    vit = fine_tuned if pretrained else small | {"num_heads": 3, "weight_init": "moco"}
    rate = {"low": 2e-5, "high": 3e-4, "log": True} if pretrained else {"low": 5e-4, "high": 5e-3, "log": True}
    return {
        "description": f"Four image classifiers on {Path(data).name}; models, sizes and budgets were chosen for these images.",
        "task": "image_classification",
        "data": {"name": data, "validation": validation, "test": min(EVALUATED, len(images.test))},
        "objectives": ["val_accuracy", "inference_images_per_second"],
        "trials": 4,
        "confirm": {"seeds": 3, "candidates": 5},
        "all_models": {
            "image_size": size,
            "epochs": epochs,
            "batch_size": batch,
            "train_size": train,
            "resources": {"cpus": 1, "gpus": 0.25 if gpu else 0},
            "search": {"lr": {"low": 5e-4, "high": 5e-3, "log": True}},
        },
        "models": {
            "scratch_vit": {
                "patch_size": size // PATCHES, "width": 96, "depth": 4, "heads": 4, "feed_forward": 192, "norm": "pre",
            },
            "resnet18": {"width": 32},
            "vit": {**vit, "search": {"lr": rate}},
            "vit_tome": {**vit, "search": {"lr": rate, "tome_ratio": [0.3, 0.6]}},
        },
    }  # fmt: skip


def summary(space: dict[str, Any]) -> str:
    """What was chosen, in a line."""
    shared, models = space["all_models"], space["models"]
    start = "pretrained" if models["vit"].get("weights") == "timm" else "from random weights, as all"
    return (
        f"Chosen for these images and this hardware, since no --space is named: {', '.join(models)}, the ViTs {start}; "
        f"{shared['image_size']} px, {shared['train_size']:,} training images, {shared['epochs']} epochs, "
        f"{space['trials']} trials per model; --set changes any of it"
    )
