"""Pictures of attention: a translation's heat maps with the tokens on both axes, a ViT's class token over its image.

python -m analysis attention results/translation_small --sentence "Eine Frau steht im Garten."
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.use.translator import Attended

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = {
    "encoder_self": ("encoder self-attention", "encoder.", "attention"),
    "decoder_self": ("decoder self-attention", "decoder.", "self_attention"),
    "decoder_to_encoder": ("decoder-to-encoder attention", "decoder.", "source_attention"),
}
INCHES_A_TOKEN = 0.17  # room for a line of small print
MOST_TOKENS = 40  # in longer sentences a layer's heads are drawn as one map, or the pictures could not be opened
_FEWEST = 6  # tokens that a map is drawn as wide as, so that its title has room


@dataclass(frozen=True)
class Grid:
    """What one picture shows: maps[layer][column], each (queries, keys), with the tokens of both axes."""

    title: str
    maps: list[list[np.ndarray]]
    columns: list[str]
    queries: list[str]
    keys: list[str]


def grids(found: Attended) -> dict[str, Grid]:
    """The three pictures of a translation by name: a row for each layer, a column for each head."""
    axes = {
        "encoder_self": (found.source, found.source),
        "decoder_self": (found.target, found.target),
        "decoder_to_encoder": (found.target, found.source),
    }
    result = {}
    for kind, (title, stack, layer) in KINDS.items():
        queries, keys = axes[kind]
        maps = [w.numpy() for name, w in found.maps.items() if name.startswith(stack) and name.split(".")[-1] == layer]
        columns = [f"head {head + 1}" for head in range(len(maps[0]))]
        if max(len(queries), len(keys)) > MOST_TOKENS:
            maps, columns = [weights.mean(0, keepdims=True) for weights in maps], ["mean of the heads"]
        result[kind] = Grid(title, [list(weights) for weights in maps], columns, queries, keys)
    return result


def write_attention(found: Attended, source: str, trial: str, folder: Path) -> list[Path]:
    """Draw a translation's attention into `folder`: a PNG for each kind, and attention.html that holds them all."""
    lines = [f"source: {source}", f"reference: {found.reference or 'not known'}", f"{trial}: {found.translation}"]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, grid in grids(found).items():
        path = folder / f"attention_{kind}.png"
        heat_maps(grid, lines).savefig(path)
        written.append(path)
    page = folder / "attention.html"
    page.write_text(_page([KINDS[kind][0] for kind in KINDS], written, lines), encoding="utf-8")
    return [*written, page]


def heat_maps(grid: Grid, lines: list[str]) -> Figure:
    """A row for each layer, a column for each head, the tokens on both axes; `lines` stand above."""
    from matplotlib.figure import Figure

    rows, columns = len(grid.maps), len(grid.columns)
    longest = [max(map(len, tokens)) * 0.07 + 0.15 for tokens in (grid.queries, grid.keys)]
    width = max(len(grid.keys), _FEWEST) * INCHES_A_TOKEN + longest[0]
    height = max(len(grid.queries), _FEWEST) * INCHES_A_TOKEN + longest[1] + 0.3
    size = max(columns * width, 7.0), rows * height + 1.0
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    figure.suptitle("\n".join([grid.title, *_wrapped(lines, int(size[0] * 12))]), fontsize=10, x=0.01, ha="left")
    axes = figure.subplots(rows, columns, squeeze=False)
    for layer, (cells, maps) in enumerate(zip(axes, grid.maps, strict=True), 1):
        for cell, weights, column in zip(cells, maps, grid.columns, strict=True):
            _heat_map(cell, weights, grid, f"layer {layer}, {column}")
    return figure


def _heat_map(axes: Axes, weights: np.ndarray, grid: Grid, title: str) -> None:
    axes.imshow(weights, cmap="viridis", vmin=0, vmax=1, aspect="equal")
    # A dollar sign would begin a formula.
    axes.set_xticks(range(len(grid.keys)), [key.replace("$", r"\$") for key in grid.keys], rotation=90, fontsize=7)
    axes.set_yticks(range(len(grid.queries)), [q.replace("$", r"\$") for q in grid.queries], fontsize=7)
    axes.tick_params(length=0, pad=2)
    axes.set_title(title, fontsize=8)


def _wrapped(lines: list[str], width: int) -> list[str]:
    import textwrap

    return [part.replace("$", r"\$") for line in lines for part in textwrap.wrap(line, max(width, 40))]


def _page(titles: list[str], pictures: list[Path], lines: list[str]) -> str:
    """One page with the pictures inside it, each in its own frame that scrolls."""
    head = "".join(f"<p>{escape(line)}</p>" for line in lines)
    parts = []
    for title, picture in zip(titles, pictures, strict=True):
        data = base64.b64encode(picture.read_bytes()).decode()
        image = f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
        parts.append(f"<h2>{escape(title)}</h2><div>{image}</div>")
    style = "body{font:15px sans-serif;margin:2em}p{margin:.2em 0}div{overflow-x:auto;border:1px solid #ccc}"
    note = "Rows are queries, columns what they attend to; each row sums to 1, yellow is 1."
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Attention</title><style>{style}</style>"
        f"<h1>Attention</h1>{head}<p>{note}</p>{''.join(parts)}</html>\n"
    )


def image_attention(network: Any, pixels: Any) -> list[np.ndarray]:
    """For each layer the class token's attention to the patches, (heads, side, side), each map divided by its largest.

    pixels: one prepared image (1, 3, H, W), square. Raises ValueError for a model without a class token.
    """
    import torch

    from models.outputs.attention_maps import captured

    with captured(network) as maps, torch.inference_mode():
        network(pixels)
    prefix = getattr(network, "num_prefix_tokens", None)
    if not maps or (prefix is not None and getattr(network, "cls_token", None) is None):
        raise ValueError("this model has no class token whose attention could be drawn")
    result = []
    for weights in maps.values():
        # timm's class token comes first, then other prefix tokens; the scratch ViT's class row is the last one.
        row = weights[0, :, -1, :-1] if prefix is None else weights[0, :, 0, prefix:]
        scaled = row / row.amax(1, keepdim=True)
        side = math.isqrt(row.shape[1])
        result.append(scaled.unflatten(1, (side, side)).float().cpu().numpy())
    return result


def draw_image_attention(maps: list[np.ndarray], image: np.ndarray, title: str, path: Path) -> Path:
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
