"""Data sets as numpy arrays, decoded or tokenised once; no torch. Images in images/, parallel text in text/.

A data set is a file in one of these folders that defines `load`; its name is the file's name. Any other name is a folder
of the user's.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import stat
from pathlib import Path
from types import ModuleType

from record.errors import UserError, nearest


class DataError(UserError):
    """Data that the user can fix: one line that says what is wrong, where, and what would be right."""


def data_sets(package: ModuleType) -> dict[str, ModuleType]:
    """The data sets of a package by name: its modules that define `load`."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    modules = {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}
    return {name: module for name, module in sorted(modules.items()) if hasattr(module, "load")}


def unknown(data: str, known: dict[str, ModuleType], alternative: str) -> DataError:
    """The error for a name that is neither a data set nor a folder; alternative: what works beside the data sets."""
    if data and Path(data).is_file():
        return DataError(f"data {data!r} is a file; name the folder that it lies in")
    return DataError(f"data {data!r} is neither a data set nor a folder; {nearest(data, known)} {alternative}")


def cache_folders(folder: Path) -> list[Path]:
    """Where what is made from a folder's data may be kept, the best place first."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vision-study"
    # root may write anywhere, but a folder that is marked read-only is meant to stay as it is
    read_only = not folder.stat().st_mode & stat.S_IWUSR
    return [user] if read_only else [folder / ".cache", user]
