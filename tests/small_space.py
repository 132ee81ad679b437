"""A space that resolves and whose model can be built, for tests to change."""

from __future__ import annotations

from typing import Any

import yaml

GOOD = """
description: a space
data: {name: digits}
all_models:
  epochs: 3
  search: {lr: {low: 1.0e-4, high: 1.0e-2, log: true}}
models:
  scratch_vit: {image_size: 32, patch_size: 4, width: 16, heads: 2, depth: 1}
"""


def space(**changes: object) -> dict[str, Any]:
    """GOOD with top-level keys replaced."""
    return yaml.safe_load(GOOD) | changes


def models(**entries: object) -> dict[str, Any]:
    return space(models=entries)
