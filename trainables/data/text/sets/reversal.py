"""Sequences of digits to reverse: "3 1 4" -> "4 1 3". A translation task that needs no download and can be solved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainables.data.text.options import TextOptions
from trainables.data.text.text_data import TextData
from trainables.data.text.tokenising import from_lines

SIZES = {"train": 8000, "val": 500, "test": 500}
MIN_DIGITS, MAX_DIGITS = 3, 10


def load(data_dir: Path, options: TextOptions) -> TextData:
    """The same sequences every time; no sequence is in two splits."""
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    lines = {}
    for split, size in SIZES.items():
        sources: list[str] = []
        while len(sources) < size:
            line = " ".join(map(str, rng.integers(0, 10, rng.integers(MIN_DIGITS, MAX_DIGITS + 1))))
            if line not in seen:
                seen.add(line)
                sources.append(line)
        lines[split] = (sources, [line[::-1] for line in sources])
    languages = options.source or "digits", options.target or "reversed digits"
    return from_lines(lines, languages, options, "reversal", "embedded")
