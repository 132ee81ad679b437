"""A frame as text for a terminal, a README, another program or a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.tell.formats import Format

MAX_NAME = 40  # characters: a longer one may be broken


def print_frame(frame: pd.DataFrame, format: Format, console: Console | None = None) -> None:
    """Print `frame`: CSV with every digit, JSON with 15 decimals, the formats for readers with four digits."""
    match format:
        case Format.CSV:
            print(frame.to_csv(index=False), end="")
        case Format.JSON:
            print(frame.to_json(orient="records", indent=2, double_precision=15))
        case Format.MARKDOWN:
            print(_markdown(frame.map(_short)))
        case Format.LATEX:
            print(frame.map(_short).astype("str").to_latex(index=False, escape=True), end="")
        case Format.TEXT:
            console = console or Console()
            console.print(_text(frame, console.width))


def grid(columns: Mapping[str, Sequence[str]], text: Sequence[str]) -> Table:
    """A table for narrow terminals: headers stacked word by word, only the `text` columns fold."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        is_text = name in text
        header = name.replace("_", " ").replace(" ", "\n")
        folds = is_text and any(" " in cell or len(cell) > MAX_NAME for cell in columns[name])  # a name is not broken
        table.add_column(escape(header), justify="left" if is_text else "right", overflow="fold", no_wrap=not folds)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, cells))
    return table


def _text(frame: pd.DataFrame, width: int) -> Table:
    """A row a line, or where that would break a word, a block of lines for each row."""
    cells = {str(name): column.to_list() for name, column in frame.map(_short).items()}
    text = [str(name) for name in frame if frame[name].dtype == "str"]
    narrowest = [
        max(cell_len(part) for cell in (name.replace("_", " "), *column) for part in cell.split() or [""])
        for name, column in cells.items()
    ]
    if sum(narrowest) + len(narrowest) <= width:
        return grid(cells, text)
    blocks = [zip(cells, row, strict=True) for row in zip(*cells.values(), strict=True)]
    stacked = [pair for block in blocks for pair in (*block, ("", ""))][:-1]
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, cell in stacked:
        table.add_row(escape(name.replace("_", " ")), escape(cell))
    return table


def _markdown(cells: pd.DataFrame) -> str:
    lines = [list(cells.columns), ["---"] * cells.shape[1], *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)


def _short(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)
