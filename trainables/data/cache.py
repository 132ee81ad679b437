"""Where decoded and tokenised data are cached. Deleting a cache is always safe."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def cached(
    folder: Path, name: str, read: Callable[[], T], load: Callable[[Path], T | None], save: Callable[[T, Path], None]
) -> T:
    """What `read()` returns, or returned when it was saved under this name.

    folder: of the input; the cache lies in it, or in the user's cache folder where it cannot be written. load: the
    content of a path, None if it is absent or damaged. save: raises OSError where it cannot write.
    """
    places = [root / name for root in _roots(folder)]
    for place in places:
        if (data := load(place)) is not None:
            return data
    data = read()
    for place in places:
        with suppress(OSError):  # not writable, or full: try the next place, or do without a cache
            save(data, place)
            return load(place) or data  # what is loaded may be mapped from disk instead of held in memory
    return data


def _roots(folder: Path) -> list[Path]:
    """The folders that may hold caches of this input, best first."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vision-study"
    # root may write anywhere, but a folder that is marked read-only is meant to stay as it is
    read_only = not folder.stat().st_mode & stat.S_IWUSR
    return [user] if read_only else [folder / ".cache", user]
