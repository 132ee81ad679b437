"""Weights that timm publishes: their names, and models built with them, from the local cache where they are in it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import huggingface_hub
import timm
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError

from models import WeightsError
from record.errors import nearest, one_line

FILES = ("model.safetensors", "pytorch_model.bin")  # timm's order of preference
CONNECT_SECONDS = 5.0


def check_architecture(architecture: str, known: Collection[str], kind: str) -> None:
    """Raises ValueError, naming the nearest ones, for a name not among the `known`, and for a tag without weights.

    kind: what those known are, such as "a VisionTransformer".
    """
    name, _, tag = architecture.partition(".")
    if name not in known:
        what = f"is not {kind}" if timm.is_model(name) else "is not known to timm"
        raise ValueError(f"architecture '{architecture}' {what}; {nearest(name, known)}")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise ValueError(f"architecture '{name}' has no weights tagged '{tag}'; tags: {', '.join(tags) or 'none'}")


def tagged(architecture: str) -> str:
    """ "resnet18" -> "resnet18.a1_in1k": the architecture with the tag that timm loads for it."""
    published: Any = timm.models.get_pretrained_cfg(architecture)
    if published is None or not published.has_weights:
        raise WeightsError(f"timm has no pretrained weights for '{architecture}'; use weights none or a FILE")
    return f"{published.architecture}.{published.tag}" if published.tag else published.architecture


def create(architecture: str, pretrained: bool, **options: Any) -> Any:
    """timm.create_model, with the published weights or random ones.

    Raises ValueError for options that do not fit together, WeightsError for weights that are not available or do not
    fit the options.
    """
    # A path makes timm read the local cache without asking the network whether it is still the newest.
    overlay = {"file": str(_file(architecture))} if pretrained else {}
    try:
        model: Any = timm.create_model(architecture, pretrained=pretrained, pretrained_cfg_overlay=overlay, **options)
    except AssertionError as error:
        raise ValueError(f"options of architecture '{architecture}' do not fit together: {error}") from error
    except RuntimeError as error:
        if not pretrained:
            raise
        reason = one_line(error)
        raise WeightsError(
            f"the pretrained weights of '{architecture}' do not fit these options ({reason}); use weights none"
        ) from error
    model.pretrained_cfg["file"] = None  # a path of this machine, which must not travel with the model
    return model


def _file(architecture: str) -> Path:
    published: Any = timm.models.get_pretrained_cfg(tagged(architecture))
    return _cached(published) or _download(published)


def _candidates(published: Any) -> tuple[str, ...]:
    return (published.hf_hub_filename,) if published.hf_hub_filename else FILES


def _torch_file(published: Any) -> Path:
    """Where torch.hub keeps the few weights that are not on the Hugging Face hub."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(published.url).path).name)


def _cached(published: Any) -> Path | None:
    if not published.hf_hub_id:
        path = _torch_file(published)
        return path if path.is_file() else None
    for name in _candidates(published):
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
            target = _torch_file(published)
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(target))
            return target
        for file in _candidates(published):
            try:
                return Path(huggingface_hub.hf_hub_download(published.hf_hub_id, file))
            except EntryNotFoundError:
                continue
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"cannot download {name} ({one_line(error)}); {advice}") from error
    raise WeightsError(f"the hub has no weights file for {name}; {advice}")


def _reachable(url: str) -> bool:
    """Ask once, with a short time limit: without a network the hub's own retries take close to a minute."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        return True  # any answer will do
    except OSError:
        return False
    return True
