"""The attention of a ViT's class token, laid over an image.

python -m analysis attention results/digits_compare --image digit.png
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from analysis.read.errors import StudyError
from analysis.use.export import trained
from models.inputs.image_files import decode
from models.inputs.preprocessing import prepare
from models.outputs.attention_maps import captured


def write_image_attention(study_folder: Path, trial: str, image: Path, to: Path) -> Path:
    """Classify an image with the model of a trial and draw its attention to `to`/attention_<image>.png.

    Raises `UserError` where the image cannot be read or the model has no class token.
    """
    classifier = trained(study_folder, trial)
    name, exported = classifier.row["trial"], classifier.exported
    network: Any = exported.build()
    network.load_state_dict(classifier.state)
    note = ""
    if exported.options.get("tome_ratio"):
        from models.vit_tome import set_ratio

        set_ratio(network, 0.0)
        note = ", drawn without merging"
    steps = exported.preprocessing
    try:
        pixels = decode(image, steps.decoded_size or steps.image_size, pixel_range=steps.pixel_range)
    except Exception as error:  # decoders raise nearly anything
        raise StudyError(f"--image {image}: not a readable image ({type(error).__name__}); name another") from error
    ready = prepare(torch.from_numpy(pixels)[None], steps.image_size, torch.tensor(steps.mean), torch.tensor(steps.std))
    try:
        maps = image_attention(network, ready)
    except ValueError as error:
        raise StudyError(f"trial {name} ({exported.model}): {error}; name another trial") from error
    with torch.inference_mode():
        predicted = exported.classes[int(network(ready).argmax())]
    title = f"{name}: class-token attention, {image.name}, classified as {predicted}{note}"
    return _draw(maps, pixels, title, to / f"attention_{image.stem}.png")


def image_attention(network: nn.Module, pixels: Tensor) -> list[np.ndarray]:
    """For each layer the class token's attention to the patches, (heads, side, side), each map divided by its maximum.

    pixels: one prepared image (1, 3, H, W), square. Raises ValueError for a model without a class token.
    """
    with captured(network) as maps, torch.inference_mode():
        network(pixels)
    is_timm = isinstance(network, VisionTransformer)
    if not maps or (is_timm and network.cls_token is None):
        raise ValueError("this model has no class token whose attention could be drawn")
    result = []
    for weights in maps.values():
        # timm's class token comes first, then other prefix tokens; the class token of the scratch ViT comes last.
        row = weights[0, :, 0, network.num_prefix_tokens :] if is_timm else weights[0, :, -1, :-1]
        scaled = row / row.amax(1, keepdim=True)
        side = math.isqrt(row.shape[1])
        result.append(scaled.unflatten(1, (side, side)).float().cpu().numpy())
    return result


def _draw(maps: list[np.ndarray], image: np.ndarray, title: str, path: Path) -> Path:
    """Lay each layer's and head's map over the image (H, W, 3) uint8, beside the image itself."""
    from matplotlib.figure import Figure

    heads = len(maps[0])
    figure = Figure(figsize=(1.4 * (heads + 1) + 0.4, 1.5 * len(maps) + 0.7), dpi=130, layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(maps), heads + 1, squeeze=False)
    for layer, (cells, weights) in enumerate(zip(axes, maps, strict=True), 1):
        for head, cell in enumerate(cells):
            cell.imshow(image, extent=(0, 1, 1, 0))
            if head:
                cell.imshow(weights[head - 1], extent=(0, 1, 1, 0), cmap="inferno", alpha=0.65, vmin=0, vmax=1)
            cell.set_title(f"layer {layer}, head {head}" if head else "image", fontsize=6)
            cell.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
