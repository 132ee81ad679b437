"""What a node of a cluster says of itself before anything is trained.

Nothing beyond the standard library and Ray is imported before it is known what the node has.
"""

from __future__ import annotations

import importlib.metadata
import platform
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from record.errors import UserError
from record.folder import write_text


class Weights(NamedTuple):
    """Pretrained weights of one model entry, as `models.fetch_weights` takes them."""

    model: str
    weights: str
    options: dict[str, Any]


class Facts(NamedTuple):
    """What a node says of itself."""

    host: str
    python: str
    versions: dict[str, str | None]  # None: not installed
    sees: bool  # the study folder
    cpu: str = ""  # its processor's name
    gpu: str = ""  # its GPU's, where it has one
    problem: str = ""  # why a trial could not work here


def examine(
    packages: Sequence[str], weights: Sequence[Weights], folder: str, keeper: Any, run: str, mark: str
) -> Facts:
    """On a node: its versions; whether a file, and so a checkpoint, gets from here into the study folder, as the file `mark`."""
    versions = {package: version(package) for package in packages}
    facts = Facts(socket.gethostname(), python(), versions, False)
    if None in versions.values():
        return facts
    import models
    from trainables.device import cpu_name, gpu_name
    from trainables.place import Place

    problem, place = "", Place(folder, keeper, run)
    try:
        path = place.folder.path / mark
        write_text(path, mark)
        place.hand_in(path)
    except OSError as error:
        problem = f"cannot write into {folder}: {error.strerror}"
    for each in weights:
        try:
            models.fetch_weights(each.model, each.weights, **each.options)
        except UserError as error:
            problem = problem or str(error)
    return facts._replace(sees=place.keeper is None, cpu=cpu_name(), gpu=gpu_name(), problem=problem)


def differences(has: Mapping[str, str | None], wanted: Mapping[str, str | None]) -> str:
    """What a node with these versions of packages lacks to compute what the driver would, and what to do; "" for nothing."""
    if missing := [name for name, version in has.items() if version is None]:
        return f"lacks {', '.join(missing)}; install there what requirements.lock lists"
    others = [f"{name} {version}, not {wanted[name]}" for name, version in has.items() if version != wanted[name]]
    if others:
        return f"has {'; '.join(others)}: results would not be comparable; install there what requirements.lock lists"
    return ""


def late(wanted: Mapping[str, str | None]) -> str:
    """What this node lacks, which joined or changed after all were asked; wanted: the driver's versions; "" for nothing."""
    problem = differences({package: version(package) for package in wanted}, wanted)
    return f"node {socket.gethostname()}: {problem}" if problem else ""


def python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def version(package: str) -> str | None:
    """Without the build (+cpu, +cu128): a head without a GPU is not a reason for another study."""
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None
