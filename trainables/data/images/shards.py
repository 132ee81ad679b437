"""Whether the Parquet or Arrow files of a split are complete, and each of them there once, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from trainables.data import DataError

_COPY = re.compile(r"( ?\(\d+\)| - [Cc]opy| copy)( ?\d*)$")  # what browsers and desktops append
_SHARD = re.compile(r"^(.*?)-?(\d+)-of-(\d+)")


def check_shards(files: Sequence[Path]) -> None:
    """Raises DataError for a file downloaded twice, or a missing one of `train-00000-of-00002.parquet`."""
    originals = {file.with_stem(_COPY.sub("", file.stem)): file for file in files if not _COPY.search(file.stem)}
    for file in files:
        if _COPY.search(file.stem) and (original := originals.get(file.with_stem(_COPY.sub("", file.stem)))):
            raise DataError(f"{file}: a second copy of {original.name}, by its name; remove it")
    groups: dict[tuple[Path, str, str], dict[int, set[int]]] = {}
    for file in files:
        if match := _SHARD.match(file.stem):
            totals = groups.setdefault((file.parent, match[1], file.suffix), {})
            totals.setdefault(int(match[3]), set()).add(int(match[2]))
    for (folder, prefix, suffix), totals in groups.items():
        if len(totals) > 1:
            counts = " and ".join(f"-of-{total:05}" for total in sorted(totals))
            raise DataError(f"{folder}: {prefix} files of two downloads ({counts}); remove one of them")
        ((total, numbers),) = totals.items()
        if missing := sorted({*range(total)} - numbers):
            names = ", ".join(f"{prefix}-{number:05}-of-{total:05}{suffix}" for number in missing[:3])
            raise DataError(f"{folder}: {len(missing)} of {total} {prefix} files missing ({names}); download again")
