"""A text data set by its name, or from a folder of the user's."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from trainables.data import DataError, data_sets, find_folder, unknown_data
from trainables.data.text import sets
from trainables.data.text.files import FORM, find_files, read_files
from trainables.data.text.options import TextOptions
from trainables.data.text.text_data import TextData, TextDataSet


def names() -> list[str]:
    """The data sets that have a name."""
    return data_sets(sets)


def unknown(data: str, places: Sequence[str]) -> DataError:
    """The error for what is neither a data set nor a folder in one of the places."""
    return unknown_data(data, names(), places, f"a folder of {FORM} works too")


def load_text(data: str, data_dir: Path, options: TextOptions) -> TextData:
    """Read a data set by name, or a folder of parallel files (a folder of `data_dir`, or a path). Raises DataError."""
    data_dir = Path(os.path.expanduser(data_dir))
    if data in names():
        module = cast(TextDataSet, importlib.import_module(f"{sets.__name__}.{data}"))
        return module.load(data_dir, options)
    folder = find_folder(data, data_dir)
    if folder is None:
        raise unknown(data, ("the current folder", str(data_dir)))
    endings = options.source or "src", options.target or "tgt"
    return read_files(folder, find_files(folder, endings), endings, options, folder.resolve().name)
