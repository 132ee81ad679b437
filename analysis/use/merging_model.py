"""A trained ViT of a study, plain or with token merging, that can be set to any merging ratio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import models
from analysis.read.errors import StudyError
from analysis.read.study_folder import load
from analysis.use.export import Trained, trained
from models.inputs.preprocessing import prepare
from models.layers.precision import has_bfloat16
from models.layers.token_merging import token_counts
from models.vit_tome import set_ratio, trace

BATCH = 256
MERGEABLE = ("vit", "vit_tome")


class MergingModel:
    """The network of a trial as `vit_tome` builds it, in evaluation mode; the state of a plain `vit` fits it too."""

    def __init__(self, source: Trained, device: torch.device) -> None:
        self.trial, self.exported, self.device = str(source.row["trial"]), source.exported, device
        self.study = source.study
        options = dict(source.exported.options)
        self.trained_at = float(options.get("tome_ratio", 0.0))
        self.schedule = str(options.get("tome_schedule", "constant"))
        network: Any = models.build("vit_tome", **options).eval()
        network.load_state_dict(source.state)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.patches: int = network.patch_embed.num_patches
        self.grid: tuple[int, int] = network.patch_embed.grid_size
        steps = source.exported.preprocessing
        self.mean, self.std = torch.tensor(steps.mean, device=device), torch.tensor(steps.std, device=device)
        self.bfloat16 = source.exported.bfloat16 and has_bfloat16(device)

    def merge(self, ratio: float) -> int:
        """Merge this share of the patch tokens from now on; returns the number of patch tokens left at the end."""
        try:
            merges = set_ratio(self.network, ratio, self.schedule)
        except ValueError as error:
            raise StudyError(f"--ratios: {error}") from error
        return token_counts(merges, self.patches)[-1]

    def pixels(self, images: np.ndarray | Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> the network's input."""
        on_device = torch.as_tensor(images).to(self.device)
        return prepare(on_device, self.exported.preprocessing.image_size, self.mean, self.std)

    @torch.inference_mode()
    def logits(self, images: np.ndarray | Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, classes), computed as in the study."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.network(self.pixels(images)).float()

    def classify(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) uint8 -> the most likely class of each image, (N,)."""
        parts = [self.logits(images[i : i + BATCH]).argmax(1) for i in range(0, len(images), BATCH)]
        return torch.cat(parts).cpu().numpy()

    @torch.inference_mode()
    def regions(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 -> for each patch the token that holds it after the last block, (B, rows, columns)."""
        return trace(self.network, self.pixels(images))[-1].cpu().numpy().reshape(-1, *self.grid)


def merging_model(study_folder: Path, trial: str, device: torch.device | None = None) -> MergingModel:
    """The trial's model; "best" and "knee" choose among the models that can merge. Raises `UserError`."""
    entries = load(study_folder).spec.get("models") or {}
    able = [name for name, entry in entries.items() if ((entry or {}).get("model") or name) in MERGEABLE]
    if not able:
        raise StudyError(f"{study_folder}: no model of this study can merge tokens ({', '.join(MERGEABLE)} can)")
    source = trained(study_folder, trial, among=able)
    model = source.exported.model
    if model not in MERGEABLE:
        raise StudyError(f"trial {source.row['trial']} is a {model}; tokens merge in {' and '.join(able)}")
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return MergingModel(source, device)
