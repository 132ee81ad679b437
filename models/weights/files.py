"""Weights from files, loaded so that a mismatch is an error and not a silent random layer."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models import WeightsError, published_facts
from record.errors import one_line

StateDict = dict[str, Tensor]


def load(model: nn.Module, file: str, fit: Callable[[StateDict, Any], StateDict] | None = None) -> None:
    """Load a .safetensors, .pt or .pth file into the model.

    A classifier that is missing or has another number of classes keeps its initial values; `fit` may first reshape
    the state for this model. Any other mismatch raises WeightsError naming the first keys.
    """
    state = dict(read(file))
    if fit is not None:
        try:
            state = fit(state, model)
        except (RuntimeError, KeyError, AttributeError) as error:
            raise WeightsError(f"weights {Path(file).name} do not fit this model ({one_line(error)})") from error
    target = model.state_dict()
    classifier = tuple(f"{name}." for name in _classifiers(model))
    for key in [key for key in state if key.startswith(classifier)]:
        if key not in target or state[key].shape != target[key].shape:
            del state[key]
    if mismatch := _mismatch(state, target, optional=classifier):
        raise WeightsError(
            f"weights {Path(file).name} do not fit this model ({mismatch}); give its architecture or weights none"
        )
    model.load_state_dict(state, strict=False)


def read(file: str) -> StateDict:
    """The tensors of a weights file; kept in memory while unchanged, since workers build many models from one file.

    Takes a bare state dict, or one under "model" or "state_dict" as checkpoints have it.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise WeightsError(f"weights file {file} does not exist; give weights none, timm or an existing FILE")
    return _read(str(path.resolve()), path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _read(file: str, modified_ns: int) -> StateDict:
    path = Path(file)
    try:
        if path.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(
            f"weights file {path.name} cannot be read as .safetensors or a weights-only .pth: {one_line(error)}"
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights file {path.name} does not hold a state dict (names to tensors)")

    from timm.models import clean_state_dict  # two seconds to import, which models of our own do not need

    return dict(clean_state_dict(content))


def _classifiers(model: nn.Module) -> tuple[str, ...]:
    names = published_facts(model).get("classifier") or "head"
    return (names,) if isinstance(names, str) else tuple(names)


def _mismatch(state: StateDict, target: StateDict, optional: tuple[str, ...]) -> str:
    """How two state dicts differ, "" where they agree; keys that start with `optional` may be missing."""
    faults = {
        "missing": [key for key in target if key not in state and not key.startswith(optional)],
        "unexpected": [key for key in state if key not in target],
        "other shape": [
            f"{key} is {tuple(state[key].shape)}, not {tuple(target[key].shape)}"
            for key in target
            if key in state and state[key].shape != target[key].shape
        ],
    }
    return "; ".join(f"{fault}: {_first(keys)}" for fault, keys in faults.items() if keys)


def _first(keys: list[str], shown: int = 3) -> str:
    rest = len(keys) - shown
    return ", ".join(keys[:shown]) + (f" and {rest} more" if rest > 0 else "")
