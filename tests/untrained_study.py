"""Writes a study folder whose models were built but not trained, so that exports and pictures need no study to run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from fake_study import trial_row, write_tables

import models
from record.folder import StudyFolder
from trainables.data.images import Images
from trainables.image_classification.data import Data, keep

OPTIONS = {
    "architecture": "vit_tiny_patch16_224", "image_size": 32, "patch_size": 4, "embed_dim": 32, "depth": 3,
    "num_heads": 2,
}  # fmt: skip
CLASSES = ["cat", "dog", "emu"]
ENTRIES = {
    "vit": OPTIONS,
    "small": {"model": "vit_tome", "search": {"tome_ratio": [0.25, 0.5]}} | OPTIONS,
    "resnet18": {"image_size": 32},
}


def write_untrained_study(study: Path) -> Path:
    """A finished study of a plain ViT, a merging one under a name of its own, and a ResNet, which is the best."""
    rows = [
        trial_row("vit-000", 0.5, 100.0, tome_ratio=None),
        trial_row("small-000", 0.6, 100.0, tome_ratio=0.5),
        trial_row("resnet18-000", 0.9, 100.0, tome_ratio=None),
    ]
    write_tables(study, rows)
    (study / "study.yaml").write_text(yaml.safe_dump({"models": ENTRIES}))
    (study / "environment.json").write_text(json.dumps({"data": {"classes": CLASSES, "decoded_size": 16}}))
    (study / "checkpoints").mkdir()
    for trial in ("vit-000", "small-000", "resnet18-000"):
        entry = ENTRIES[trial.split("-")[0]]
        options = {key: value for key, value in entry.items() if key not in ("model", "search")}
        torch.manual_seed(0)
        network = models.build(str(entry.get("model", trial.split("-")[0])), num_classes=3, **options)
        torch.save({"loop": {"model": network.state_dict()}, "rows": []}, study / "checkpoints" / f"{trial}.pt")
    keep(StudyFolder(study), Data(tuple(CLASSES), noise(6), noise(6)), noise(9))
    return study


def noise(count: int) -> Images:
    rng = np.random.default_rng(count)
    return Images(rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8), np.arange(count, dtype=np.int64) % 3)
