"""Data sets as numpy arrays, decoded or tokenised once; no torch. Images in images/, parallel text in text/.

A data set is a file of images/sets/ or text/sets/ that defines `load`; its name is the file's name. Any other name is a
folder of the user's.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from record.errors import UserError, nearest


class DataError(UserError):
    """Data that the user can fix: one line that says what is wrong, where, and what would be right."""


def data_sets(package: ModuleType) -> list[str]:
    """The names of the data sets in a package: its files."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find_folder(data: str, data_dir: Path) -> Path | None:
    """The folder of the user's that `data` names: one of `data_dir`, or a path.

    In this order, because a study records the whole path of what lay in the current folder, or beside its space, when it
    began: another folder of this name that is in the current one when the study is resumed must not replace it.
    """
    folders = (data_dir / data, Path(os.path.expanduser(data)))
    # pathlib raises for what no file can be called; os.path finds nothing there.
    return next((readable(folder) for folder in folders if data and os.path.isdir(folder)), None)


def readable(path: Path) -> Path:
    """The path, if its name can be written into tables. Raises DataError for one in another encoding than UTF-8."""
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise DataError(f"{shown}: the name is not UTF-8; rename it, for example with convmv") from None
    return path


def unknown_data(
    data: str, known: Iterable[str], places: Sequence[str], alternative: str, examples: Sequence[str] = ()
) -> DataError:
    """The error for a name that is neither a data set nor a folder.

    places: where a folder was looked for; alternative: what works besides the data sets; examples: those of the known
    names to list where none is similar, all if empty.
    """
    if data and os.path.isfile(data):
        return DataError(f"data {data!r} is a file; name the folder that holds it")
    looked = "" if not data or os.path.isabs(data) else f" in {', '.join(places[:-1])} or {places[-1]}"
    hint = nearest(data, known, examples)
    hint += "" if hint.endswith("?") else ";"
    return DataError(f"data {data!r} is neither a data set nor a folder{looked}; {hint} {alternative}")
