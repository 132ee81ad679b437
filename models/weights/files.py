"""Weights from timm's hub and from files, loaded so that a mismatch is an error and not a silent random layer."""

from __future__ import annotations

import pickle
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import huggingface_hub
import timm
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import VisionTransformer, clean_state_dict
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor, nn

from models import WeightsError

StateDict = dict[str, Tensor]

HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # timm's order of preference
CONNECT_SECONDS = 5.0


def tagged(architecture: str) -> str:
    """ "resnet18" -> "resnet18.a1_in1k": the architecture with the tag that timm loads for it."""
    published: Any = timm.models.get_pretrained_cfg(architecture)
    if published is None or not published.has_weights:
        raise WeightsError(f"timm has no pretrained weights for '{architecture}'; use weights none or a FILE")
    return f"{published.architecture}.{published.tag}" if published.tag else published.architecture


def create(architecture: str, weights: str, **options: Any) -> Any:
    """timm.create_model with weights "none" or "timm", the latter from the cache where they are in it."""
    # A path makes timm read the local cache without asking the network whether it is still the newest.
    overlay = {"file": str(_hub_file(architecture))} if weights == "timm" else {}
    try:
        model: Any = timm.create_model(
            architecture, pretrained=weights == "timm", pretrained_cfg_overlay=overlay, **options
        )
    except AssertionError as error:
        raise ValueError(f"options of architecture '{architecture}' do not fit together: {error}") from error
    except RuntimeError as error:
        if weights != "timm":
            raise
        reason = _one_line(str(error))
        raise WeightsError(
            f"the pretrained weights of '{architecture}' do not fit these options ({reason}); use weights none"
        ) from error
    model.pretrained_cfg["file"] = None  # a path of this machine, which must not travel with the model
    return model


def load(model: nn.Module, file: str, fit: Callable[[StateDict, Any], StateDict] | None = None) -> None:
    """Load a .safetensors, .pt or .pth file into the model.

    A classifier that is missing or has another number of classes keeps its initial values; `fit` may first reshape
    the state for this model. Anything else that does not fit raises WeightsError naming the first keys.
    """
    state = dict(read(file))
    if fit is not None:
        try:
            state = fit(state, model)
        except (RuntimeError, KeyError, AttributeError) as error:
            raise WeightsError(f"weights {Path(file).name} do not fit this model ({_one_line(str(error))})") from error
    target = model.state_dict()
    classifier = tuple(f"{name}." for name in _classifiers(model))
    for key in [key for key in state if key.startswith(classifier)]:
        if key not in target or state[key].shape != target[key].shape:
            del state[key]
    missing = [key for key in target if key not in state and not key.startswith(classifier)]
    unexpected = [key for key in state if key not in target]
    reshaped = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(target[key].shape)}"
        for key in target
        if key in state and state[key].shape != target[key].shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "other shape": reshaped}
    faults = "; ".join(f"{what}: {_first(keys)}" for what, keys in found.items() if keys)
    if faults:
        raise WeightsError(
            f"weights {Path(file).name} do not fit this model ({faults}); give its architecture or weights none"
        )
    model.load_state_dict(state, strict=False)


def fit_vit(state: StateDict, model: VisionTransformer) -> StateDict:
    """Resample position embeddings and patch kernels to the model's image and patch size."""
    return checkpoint_filter_fn(state, model, adapt_layer_scale=True)


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
            f"weights file {path.name} cannot be read as .safetensors or a weights-only .pth: {_one_line(str(error))}"
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights file {path.name} holds no state dict (names to tensors)")
    return dict(clean_state_dict(content))


def _classifiers(model: nn.Module) -> tuple[str, ...]:
    names = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or "head"
    return (names,) if isinstance(names, str) else tuple(names)


def _hub_file(architecture: str) -> Path:
    published: Any = timm.models.get_pretrained_cfg(tagged(architecture))
    return _cached(published) or _download(published)


def _hub_files(published: Any) -> tuple[str, ...]:
    return (published.hf_hub_filename,) if published.hf_hub_filename else HUB_FILES


def _cached(published: Any) -> Path | None:
    if not published.hf_hub_id:
        path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(published.url).path).name)
        return path if path.is_file() else None
    for name in _hub_files(published):
        path_or_marker = huggingface_hub.try_to_load_from_cache(published.hf_hub_id, name)
        if isinstance(path_or_marker, str):
            return Path(path_or_marker)
    return None


def _download(published: Any) -> Path:
    """Into the cache of the Hugging Face hub, or of torch.hub for the few weights that are not there."""
    url = constants.ENDPOINT if published.hf_hub_id else published.url
    cache = constants.HF_HUB_CACHE if published.hf_hub_id else torch.hub.get_dir()
    name = f"{published.architecture}.{published.tag}"
    advice = f"use --weights none, --weights FILE, or put them into the cache {cache} (hub id {published.hf_hub_id})"
    if constants.HF_HUB_OFFLINE or not _reachable(url):
        raise WeightsError(f"no network and no cached weights for {name}; {advice}")
    try:
        if not published.hf_hub_id:
            target = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(target))
            return target
        for file in _hub_files(published):
            try:
                return Path(huggingface_hub.hf_hub_download(published.hf_hub_id, file))
            except EntryNotFoundError:
                continue
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"cannot download {name} ({_one_line(str(error))}); {advice}") from error
    raise WeightsError(f"the hub has no weights file for {name}; {advice}")


def _reachable(url: str) -> bool:
    """Asked once and with a short limit: without a network the hub's own retries take close to a minute."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        return True  # an answer, whatever it says
    except OSError:
        return False
    return True


def _first(keys: list[str], shown: int = 3) -> str:
    rest = len(keys) - shown
    return ", ".join(keys[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _one_line(text: str, limit: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}..."
