"""Weights from files, loaded so that a mismatch is an error and not a silent random layer."""

from __future__ import annotations

import argparse
import os
import pathlib
import pickle
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models import WeightsError, published_facts
from record.errors import one_line

StateDict = dict[str, Tensor]

# Where trainers keep weights in a checkpoint: those that were trained, and their moving average (EMA).
_PLAIN = ("model", "state_dict", "model_state_dict")
_AVERAGES = ("model_ema", "state_dict_ema", "ema", "ema_state_dict")
# Types of trainers' options: they hold values and cannot run code.
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace, pathlib.PosixPath]


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

    Takes a bare state dict, or the trained weights of a checkpoint; FILE#KEY takes those under a key, such as an EMA.
    """
    path, key = _path_and_key(file)
    if not os.path.isfile(path):
        raise WeightsError(f"weights file {file} does not exist; give weights none, timm or an existing FILE")
    return _read(str(path.resolve()), path.stat().st_mtime_ns, key)[0]


def describe(file: str) -> str:
    """The file's name, with the key that was taken where the file holds more than one set of weights."""
    path, key = _path_and_key(file)
    if not os.path.isfile(path):
        return Path(file).name  # a study may outlive the file
    return _described(str(path.resolve()), path.stat().st_mtime_ns, key)


@cache
def _described(file: str, modified_ns: int, key: str) -> str:
    taken = _read(file, modified_ns, key)[1]
    return Path(file).name + (f"#{taken}" if taken else "")


def _path_and_key(file: str) -> tuple[Path, str]:
    path = Path(os.path.expanduser(file))
    if os.path.isfile(path) or "#" not in path.name:
        return path, ""
    name, _, key = path.name.rpartition("#")
    return path.with_name(name or path.name), key


@lru_cache(maxsize=2)
def _read(file: str, modified_ns: int, key: str) -> tuple[StateDict, str]:
    """(tensors, the key they were under if there was a choice)."""
    path = Path(file)
    try:
        if path.suffix == ".safetensors":
            if key:
                raise WeightsError(f"weights file {path.name} has no #{key}: .safetensors hold one set of weights")
            return load_file(file), ""
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        if foreign := re.search(r"Unsupported (?:global|class|operand).*?([\w]+(?:\.[\w]+)+)", str(error)):
            raise WeightsError(
                f"weights file {path.name} also holds a {foreign[1]}, which could run code when it is loaded; where you "
                "trust it, load it there and save its state dict alone with torch.save"
            ) from error
        raise WeightsError(
            f"weights file {path.name} cannot be read as .safetensors or a weights-only .pth: {one_line(error)}"
        ) from error
    content, taken = _choose(content, key, path.name)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights file {path.name} does not hold a state dict (names to tensors)")

    from timm.models import clean_state_dict  # two seconds to import, which models of our own do not need

    return dict(clean_state_dict(content)), taken


def _choose(content: Any, key: str, file: str) -> tuple[Any, str]:
    """(the weights in a checkpoint, their key if there was a choice)."""
    if not isinstance(content, dict):
        return content, ""
    present = [name for name in (*_PLAIN, *_AVERAGES) if isinstance(content.get(name), Mapping)]
    if key and key not in content:
        raise WeightsError(f"weights file {file} has no #{key}; it has {', '.join(map(str, list(content)[:10]))}")
    taken = key or (present[0] if present else "")
    choice = len(present) > 1 and any(name in _AVERAGES for name in present)
    names: tuple[str, ...] = (taken,) if taken else ()
    while names:
        content = content[names[0]]
        names = tuple(name for name in (*_PLAIN, "module") if isinstance(content, dict) and _holds(content, name))
    return content, taken if choice or key else ""


def _holds(content: dict[str, Any], name: str) -> bool:
    return isinstance(content.get(name), dict)


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
