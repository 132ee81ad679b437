"""Which patches a trained model merges, drawn over images: regions filled with their mean colour, with borders."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from analysis.use.merging_model import MergingModel
from analysis.use.samples import UNKNOWN
from record.contents import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIOS = (0.3, 0.6, 0.8, 0.9)
Borders = list[tuple[tuple[float, float], tuple[float, float]]]


@dataclass(frozen=True)
class Merged:
    """What the model does with the images at one ratio: each patch's token (B, rows, columns), each image's class."""

    ratio: float
    tokens_left: int
    regions: np.ndarray
    predicted: np.ndarray


def merged(model: MergingModel, images: np.ndarray, ratios: tuple[float, ...]) -> list[Merged]:
    """Trace and classify the images (B, H, W, 3) uint8 at each ratio."""
    results = []
    for ratio in ratios:
        left = model.merge(ratio)
        results.append(Merged(ratio, left, model.regions(images), model.classify(images)))
    return results


def mean_colours(image: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) uint8 with each pixel in its region's mean colour; regions: (rows, columns), one per patch."""
    height, width = (size // parts for size, parts in zip(image.shape[:2], regions.shape, strict=True))
    where = regions.repeat(height, axis=0).repeat(width, axis=1)  # (H, W)
    count = np.bincount(where.ravel())
    sums = [np.bincount(where.ravel(), weights=image[..., channel].ravel()) for channel in range(3)]
    means = np.stack(sums, axis=1) / np.maximum(count, 1)[:, None]  # (tokens, 3)
    return means[where].round().astype(np.uint8)


def borders(regions: np.ndarray) -> Borders:
    """The lines between patches of different regions, each ((x, y), (x, y)) in units of patches."""
    rows, columns = regions.shape
    lines: Borders = []
    for y, x in np.argwhere(regions[:, 1:] != regions[:, :-1]).tolist():
        lines.append(((x + 1, y), (x + 1, y + 1)))
    for y, x in np.argwhere(regions[1:] != regions[:-1]).tolist():
        lines.append(((x, y + 1), (x + 1, y + 1)))
    corners = [(0, 0), (columns, 0), (columns, rows), (0, rows), (0, 0)]
    return lines + list(pairwise(corners))


def draw(model: MergingModel, sample: Sample, ratios: tuple[float, ...], path: Path) -> Path:
    """Draw a row per image and a column per ratio to `path` (PNG); a missing folder is made."""
    from matplotlib.figure import Figure

    side = model.exported.preprocessing.image_size
    resized = np.stack([_resized(image, side) for image in sample.images])
    results = merged(model, sample.images, ratios)
    rows, columns = len(resized), 1 + len(results)
    figure = Figure(figsize=(2.3 * columns, 2.5 * rows + 0.8), dpi=150, layout="constrained")
    figure.suptitle(f"Tokens merged by {model.trial} (trained at ratio {model.trained_at:g})", fontweight="bold")
    cells = figure.subplots(rows, columns, squeeze=False)
    classes = model.exported.classes
    for i, (image, label) in enumerate(zip(resized, sample.labels.tolist(), strict=True)):
        is_known = label != UNKNOWN
        _cell(cells[i, 0], image, f"truth: {classes[label]}" if is_known else "", "0.1")
        for column, at in enumerate(results, 1):
            guess = int(at.predicted[i])
            colour = "0.1" if guess == label or not is_known else "#D55E00"
            _cell(cells[i, column], mean_colours(image, at.regions[i]), f"model: {classes[guess]}", colour)
            _lines(cells[i, column], borders(at.regions[i]), side / at.regions.shape[2], side / at.regions.shape[1])
    cells[0, 0].set_title(f"image\n{model.patches} patches", fontsize=10)
    for column, at in enumerate(results, 1):
        cells[0, column].set_title(f"ratio {at.ratio:g}\n{at.tokens_left} tokens left", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def _cell(axes: Axes, image: np.ndarray, text: str, colour: str) -> None:
    side = len(image)
    axes.imshow(image, extent=(0, side, side, 0), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(text, fontsize=9, color=colour)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _lines(axes: Axes, lines: Borders, width: float, height: float) -> None:
    """White on black, so that a border shows on any colour."""
    from matplotlib.collections import LineCollection

    scaled = [[(x * width, y * height) for x, y in line] for line in lines]
    axes.add_collection(LineCollection(scaled, colors="black", linewidths=1.8, capstyle="round"))
    axes.add_collection(LineCollection(scaled, colors="white", linewidths=0.7, capstyle="round"))
