"""Heat maps of a translation's attention, with the tokens on both axes.

python -m analysis attention results/translation_small --sentence "Eine Frau steht im Garten."
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.use.translator import Attended

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = {  # name -> (title, stack of layers, attention in each layer)
    "encoder_self": ("encoder self-attention", "encoder.", "attention"),
    "decoder_self": ("decoder self-attention", "decoder.", "self_attention"),
    "decoder_to_encoder": ("decoder-to-encoder attention", "decoder.", "source_attention"),
}
INCHES_PER_TOKEN = 0.17  # room for a line of small print
MAX_TOKENS = 40  # a longer sentence gets one map per layer, the mean of its heads: the pictures would be too large
_MIN_TOKENS = 6  # a map is drawn at least this wide, so that its title has room


@dataclass(frozen=True)
class Grid:
    """What one picture shows: maps[layer][column], each (queries, keys), with the tokens of both axes."""

    title: str
    maps: list[list[np.ndarray]]
    columns: list[str]
    queries: list[str]
    keys: list[str]


def grids(attended: Attended) -> dict[str, Grid]:
    """The three pictures of a translation by name: a row for each layer, a column for each head."""
    axes = {
        "encoder_self": (attended.source, attended.source),
        "decoder_self": (attended.target, attended.target),
        "decoder_to_encoder": (attended.target, attended.source),
    }
    result = {}
    for kind, (title, stack, layer) in KINDS.items():
        queries, keys = axes[kind]
        names = [name for name in attended.maps if name.startswith(stack) and name.split(".")[-1] == layer]
        maps = [attended.maps[name].numpy() for name in names]
        columns = [f"head {head + 1}" for head in range(len(maps[0]))]
        if max(len(queries), len(keys)) > MAX_TOKENS:
            maps, columns = [weights.mean(0, keepdims=True) for weights in maps], ["mean of the heads"]
        result[kind] = Grid(title, [list(weights) for weights in maps], columns, queries, keys)
    return result


def write_attention(attended: Attended, sentence: str, trial: str, folder: Path) -> list[Path]:
    """Draw a translation's attention into `folder`: a PNG for each kind, and attention.html that holds them all."""
    reference = attended.reference or "not known"
    lines = [f"source: {sentence}", f"reference: {reference}", f"{trial}: {attended.translation}"]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, grid in grids(attended).items():
        path = folder / f"attention_{kind}.png"
        heat_maps(grid, lines).savefig(path)
        paths.append(path)
    page = folder / "attention.html"
    page.write_text(_page([KINDS[kind][0] for kind in KINDS], paths, lines), encoding="utf-8")
    return [*paths, page]


def heat_maps(grid: Grid, lines: list[str]) -> Figure:
    """A row for each layer, a column for each head, the tokens on both axes; `lines` stand above."""
    from matplotlib.figure import Figure

    rows, columns = len(grid.maps), len(grid.columns)
    longest = [max(map(len, tokens)) * 0.07 + 0.15 for tokens in (grid.queries, grid.keys)]
    width = max(len(grid.keys), _MIN_TOKENS) * INCHES_PER_TOKEN + longest[0]
    height = max(len(grid.queries), _MIN_TOKENS) * INCHES_PER_TOKEN + longest[1] + 0.3
    size = max(columns * width, 7.0), rows * height + 1.0
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    figure.suptitle("\n".join([grid.title, *_wrapped(lines, int(size[0] * 12))]), fontsize=10, x=0.01, ha="left")
    axes = figure.subplots(rows, columns, squeeze=False)
    for layer, (cells, maps) in enumerate(zip(axes, grid.maps, strict=True), 1):
        for cell, weights, column in zip(cells, maps, grid.columns, strict=True):
            _draw(cell, weights, grid, f"layer {layer}, {column}")
    return figure


def _draw(axes: Axes, weights: np.ndarray, grid: Grid, title: str) -> None:
    axes.imshow(weights, cmap="viridis", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(len(grid.keys)), [_literal(token) for token in grid.keys], rotation=90, fontsize=7)
    axes.set_yticks(range(len(grid.queries)), [_literal(token) for token in grid.queries], fontsize=7)
    axes.tick_params(length=0, pad=2)
    axes.set_title(title, fontsize=8)


def _wrapped(lines: list[str], width: int) -> list[str]:
    return [_literal(part) for line in lines for part in textwrap.wrap(line, max(width, 40))]


def _literal(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")


def _page(titles: list[str], pictures: list[Path], lines: list[str]) -> str:
    """One page with the pictures embedded, each in a frame of its own that scrolls."""
    head = "".join(f"<p>{escape(line)}</p>" for line in lines)
    parts = []
    for title, picture in zip(titles, pictures, strict=True):
        data = base64.b64encode(picture.read_bytes()).decode()
        image = f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
        parts.append(f"<h2>{escape(title)}</h2><div>{image}</div>")
    style = "body{font:15px sans-serif;margin:2em}p{margin:.2em 0}div{overflow-x:auto;border:1px solid #ccc}"
    note = "Rows are queries, columns are the keys they attend to; each row sums to 1, yellow is 1."
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Attention</title><style>{style}</style>"
        f"<h1>Attention</h1>{head}<p>{note}</p>{''.join(parts)}</html>\n"
    )
