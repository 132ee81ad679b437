"""Start Ray here or join a running cluster; what resources it has, and whether the study's models fit into it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import socket
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
import torch
from rich.console import Console

from record import processors
from record.errors import UserError, one_line
from study.access import own_token, token_advice
from study.duration import Parallelism
from study.space.schema import ModelEntry, StudySpec

ASK_SECONDS = 5.0  # between two questions to Ray about its nodes
SOCKET_PATH = 107  # bytes of a socket's path on Linux
PROJECT = Path(__file__).resolve().parents[1]  # the folder that holds study/ and its neighbours
ROOMS = ("record", "models", "trainables", "study")  # what workers import


def connect(address: str | None, console: Console, show_logs: bool = False) -> None:
    """Join the cluster at `address`, or start Ray on this machine with its dashboard on loopback.

    show_logs: print here what the trials print.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Trials choose their device by the GPUs that they requested.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Started by `ray job submit`, this process has a runtime environment already.
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
    bypass_proxy()
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    init = partial(ray.init, log_to_driver=show_logs, logging_level=logging.ERROR)
    check_address(address)
    try:
        # Ray puts the current folder first on its workers' path, where packages of the user may have our names.
        with contextlib.chdir(PROJECT):
            if address is None:
                # RAY_ADDRESS would make a plain init join a cluster that nobody named.
                # Ray would count processors that this process may not run on, and none for a quota below one.
                own_token()
                cpus = processors.usable()
                context = init(address="local", num_cpus=cpus, include_dashboard=True, dashboard_host="127.0.0.1")
            else:
                with shipped() as environment:
                    context = init(address=address, runtime_env=environment)
    except Exception as error:  # Ray raises bare ones
        raise UserError(_no_ray(address, error)) from error
    if url := context.dashboard_url:
        console.print(f"Ray dashboard: http://{url}{token_advice()}", highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def shipped() -> Iterator[dict[str, Any]]:
    """The runtime environment of a study on a cluster: its nodes run this code, whatever they have at its path.

    It holds the source alone, whether the project is a checkout or installed.
    """
    with TemporaryDirectory(prefix="code-") as folder:
        for room in ROOMS:
            shutil.copytree(PROJECT / room, Path(folder, room), ignore=shutil.ignore_patterns("__pycache__"))
        # Trials choose their device by the GPUs that they requested, there too.
        yield {"working_dir": folder, "env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}


def _no_ray(address: str | None, error: Exception) -> str:
    reason = one_line(error)
    if address is None:
        return f"Ray did not start on this machine ({reason}); start the study again when the machine is less busy"
    if "mismatch" in reason:  # of the versions of Ray or Python
        return f"--address {address}: {reason}"
    return (
        f"--address {address}: no Ray cluster answers there ({reason}); set RAY_AUTH_MODE=token if it requires one, or "
        "leave the option out to start Ray here"
    )


def bypass_proxy() -> None:
    """Let Ray's processes on this machine talk to each other directly, whatever proxy the environment names."""
    named = next((os.environ[name] for name in ("no_proxy", "NO_PROXY") if os.environ.get(name)), "")
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    with contextlib.suppress(OSError):  # a machine whose name has no address
        hosts += [socket.gethostbyname(socket.gethostname())]
    hosts += ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(hosts))


def check_sockets() -> None:
    """Raise UserError where the path of Ray's temporary files is longer than the system allows for sockets."""
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    folder = os.environ.get(name, "/tmp")
    room = SOCKET_PATH - len("/ray/session_2026-01-31_23-59-59_999999_9999999/sockets/plasma_store")
    if len(os.fsencode(folder)) > room:
        raise UserError(
            f"{name}={folder}: too long for the sockets of Ray; set it to a path of at most {room} characters"
        )


def check_address(address: str | None) -> None:
    """Raise UserError for an address that no study can run at, as far as that is known without Ray."""
    if address is not None and address.startswith("ray://"):
        raise UserError(
            f"--address {address}: the ledger lives where the program runs, so a study cannot run through Ray Client; "
            "start it on a machine of the cluster with --address auto"
        )
    if address in (None, "local"):
        check_sockets()
    elif address != "auto":
        _check_reachable(address)


def _check_reachable(address: str) -> None:
    """Raise UserError if nothing listens at host:port; Ray itself would keep trying for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"--address {address}: nothing answers there ({error}); write auto or host:port of a running Ray cluster, "
            "or leave the option out to start Ray here"
        ) from error


def nodes_for(spec: StudySpec) -> dict[str, dict[str, Any]]:
    """Node id -> what Ray says of the node, of those that a trial of the study fits on."""
    living = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    entries = spec.models.values()
    return {name: node for name, node in living.items() if any(fit(entry, node["Resources"]) for entry in entries)}


def nodes() -> list[dict[str, float]]:
    """The resources of each living node; while Ray does not run, what it would get on this machine."""
    if not ray.is_initialized():
        return [{"CPU": float(processors.usable()), "GPU": float(torch.cuda.device_count())}]
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def has_gpu() -> bool:
    return any(node.get("GPU", 0) > 0 for node in nodes())


def without_gpus(spec: StudySpec) -> StudySpec:
    """The same study on CPUs alone."""
    entries = {
        name: entry.model_copy(update={"resources": entry.resources.model_copy(update={"gpus": 0.0})})
        for name, entry in spec.models.items()
    }
    return spec.model_copy(update={"models": entries})


def check(spec: StudySpec) -> None:
    """Raise UserError if a model's trials fit on no node: Ray would wait for such a node for ever."""
    largest = {kind: max((node.get(kind, 0) for node in nodes()), default=0) for kind in ("CPU", "GPU")}
    for name, entry in spec.models.items():
        if not any(fit(entry, node) for node in nodes()):
            raise UserError(
                f"models.{name}.resources: needs {entry.resources.cpus:g} CPUs and {entry.resources.gpus:g} GPUs per trial, "
                f"but the largest node has {largest['CPU']:g} CPUs and {largest['GPU']:g} GPUs; lower them with "
                "--cpus-per-trial and --gpus-per-trial"
            )


def slots(spec: StudySpec) -> int:
    """How many trials the cluster can run at once (of the model that needs the least)."""
    return max(sum(fit(entry, node) for node in nodes()) for entry in spec.models.values())


class Slots:
    """`slots` of the cluster as it is now, since nodes join and leave."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec, self.number, self.asked = spec, slots(spec), time.monotonic()

    def __call__(self) -> int:
        if time.monotonic() - self.asked > ASK_SECONDS:
            self.number, self.asked = slots(self.spec), time.monotonic()
        return self.number


def parallelism(spec: StudySpec) -> Parallelism:
    """How many trials' work the cluster does at the same time.

    A timing has one GPU; without GPUs its training step has the threads of a trial, and its inference a whole node's.
    """
    entries = spec.models.values()
    if any(entry.resources.gpus for entry in entries):
        gpus = slots(spec) * sum(min(1.0, entry.resources.gpus) for entry in entries) / len(entries)
        return Parallelism(gpus or 1.0, gpus or 1.0)
    cpus = slots(spec) * sum(entry.resources.cpus for entry in entries) / len(entries)
    return Parallelism(float(slots(spec)), cpus / max(node.get("CPU", 0) for node in nodes()))


def fit(entry: ModelEntry, node: dict[str, float]) -> int:
    """How many of the entry's trials the node's resources are enough for."""
    needs = {"CPU": entry.resources.cpus, "GPU": entry.resources.gpus}
    # Rounded because Ray counts in units of 1e-4, and 1 / 0.1 must be 10.
    return min(math.floor(round(node.get(kind, 0) / need, 4)) for kind, need in needs.items() if need > 0)
