"""A frame as text for a terminal, a README, another program or a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.tell.formats import Format


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
            (console or Console()).print(_text(frame))


def grid(columns: Mapping[str, Sequence[str]], text: Sequence[str], title: str = "") -> Table:
    """A table for narrow terminals: headers stacked word by word, only the `text` columns fold."""
    table = Table(title=title or None, title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        is_text = name in text
        header = name.replace("_", " ").replace(" ", "\n")
        table.add_column(escape(header), justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, cells))
    return table


def _text(frame: pd.DataFrame) -> Table:
    cells = frame.map(_short)
    words = [name for name in frame if frame[name].dtype == "str"]
    return grid({str(name): cells[name].to_list() for name in cells}, text=[str(name) for name in words])


def _markdown(cells: pd.DataFrame) -> str:
    lines = [list(cells.columns), ["---"] * cells.shape[1], *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)


def _short(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)
