"""Sequences of digits to be reversed: "3 1 4" -> "4 1 3". A translation task that needs no download and has an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainables.data.text import text_data as text

SIZES = {"train": 8000, "val": 500, "test": 500}
SHORTEST, LONGEST = 3, 10  # digits


def load(data_dir: Path, options: text.TextOptions) -> text.TextData:
    """The same sequences every time, none of them in two splits."""
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    lines = {}
    for split, size in SIZES.items():
        sources: list[str] = []
        while len(sources) < size:
            line = " ".join(map(str, rng.integers(0, 10, rng.integers(SHORTEST, LONGEST + 1))))
            if line not in seen:
                seen.add(line)
                sources.append(line)
        lines[split] = (sources, [line[::-1] for line in sources])
    languages = options.source or "digits", options.target or "reversed digits"
    return text.from_lines(lines, languages, options, "reversal", "reversal (embedded")
