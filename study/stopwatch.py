"""Timing one setting alone: a whole node is reserved, and a timing that something else disturbed is repeated."""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import psutil
import ray
import torch

from models.engines import EAGER
from record.figures import NOISE, REFUSED, TIMING_SECONDS, YARDSTICK
from study import cluster
from study.ledger import number
from study.pace import restated
from study.reservation import SHARED, Kind, Reservations
from study.space.dimensions import Scalar
from study.space.schema import StudySpec, split_settings
from trainables import device as hardware
from trainables import latency
from trainables import task as tasks
from trainables.pace import Yardstick
from trainables.task import Figures

ATTEMPTS = 2  # what disturbs both would disturb a third
CLOCK_GRAIN_SECONDS = 0.1  # processor times are this coarse


Rows = dict[str, Figures]  # the figures of one setting by engine


class Attempt(NamedTuple):
    """One timing, and what ran beside it."""

    rows: Rows
    share_of_others: float  # of the processor time
    others_on_gpu: int  # processes


class ProcessorSeconds(NamedTuple):
    """Processor seconds so far."""

    machine: float
    own: float

    @classmethod
    def read(cls) -> ProcessorSeconds:
        machine, own = psutil.cpu_times()._asdict(), psutil.Process().cpu_times()
        return cls(sum(machine.values()) - machine["idle"] - machine.get("iowait", 0.0), own.user + own.system)

    def share_of_others(self, before: ProcessorSeconds) -> float:
        """The share of the processor seconds since an earlier reading that went to other processes."""
        machine, own = self.machine - before.machine, self.own - before.own
        return max(0.0, machine - own - CLOCK_GRAIN_SECONDS) / max(machine, 1e-9)


def time_alone(
    spec: StudySpec,
    model: str,
    point: dict[str, Scalar],
    shape: Mapping[str, int],
    reservations: Reservations | None = None,
    say: Callable[[str], None] = print,
) -> Rows:
    """Time one setting of a model entry in all its engines, with a whole node (and one GPU) reserved in Ray, so that nothing
    of the study runs beside it. Eager PyTorch has the figures of training, too.

    Inference uses all of the node's cores, as a deployed model would; the training step has the threads of a trial, since
    that is what a trial costs.

    shape: what the task's profile must know of the data. reservations: of a cluster, where a node may not become free: then
    `busy` says so. say: told what is waited for.
    """
    entry = spec.models[model]
    gpu = 1 if entry.resources.gpus > 0 else 0
    training, options = split_settings(spec, entry.settings | point)
    train_threads = hardware.threads_of(entry.resources.cpus)
    seconds = latency.LIMITED_SECONDS if spec.limits.keys() & latency.PERCENTILES else latency.SECONDS
    what = (spec.task, training, entry.model, options, shape, gpu, train_threads, seconds, spec.engines_of(model))
    timed = ray.remote(num_gpus=gpu, max_retries=1)(_time)
    if reservations is None:
        cpus = int(max(node.get("CPU", 0) for node in cluster.nodes() if node.get("GPU", 0) >= gpu))
        return ray.get(timed.options(num_cpus=cpus).remote(cpus, *what))
    with reservations.reserved(model, say) as (kind, where, is_whole):
        share = kind.cpus if is_whole else entry.resources.cpus
        rows = ray.get(timed.options(num_cpus=share, **where).remote(kind.cpus, *what))
    return {engine: _as_reserved(figures, kind, is_whole) for engine, figures in rows.items()}


def _as_reserved(figures: Figures, kind: Kind, is_whole: bool) -> Figures:
    shared = {} if is_whole or "spread" not in figures else {"busy": figures["busy"] or SHARED}
    return figures | {"hardware": kind.hardware} | shared


def _time(
    cpus: int,
    task: str,
    training: dict[str, Scalar],
    model: str,
    options: dict[str, Scalar],
    shape: Mapping[str, int],
    gpu: int,
    train_threads: int,
    latency_seconds: float,
    engines: Sequence[str],
) -> Rows:
    started = time.monotonic()
    torch.set_num_threads(cpus)
    module = tasks.named(task)
    device, config = hardware.pick(gpu), module.Config(**training)
    yardstick = Yardstick(device)

    def attempt(timed: Callable[[], Rows]) -> Attempt:
        before = ProcessorSeconds.read()
        rows = timed()
        share = ProcessorSeconds.read().share_of_others(before)
        return Attempt(rows, share, hardware.other_processes_on(device))

    what = (config, model, options, device, shape)

    def profile() -> Rows:
        return {EAGER: module.profile(*what, train_threads, yardstick, latency_seconds)}

    def profile_training() -> Rows:
        return {EAGER: tasks.deployable(task).profile_training(*what, train_threads, yardstick)}

    if [*engines] == [EAGER]:
        rows = undisturbed(partial(attempt, profile))
    else:
        alone = undisturbed(partial(attempt, profile_training))
        contest = tasks.deployable(task).time_engines(*what, engines, yardstick, latency_seconds)
        rows = _with_engines(alone[EAGER], undisturbed(partial(attempt, contest)))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cpus} x {hardware.cpu_name()}"
    where: Figures = {"hardware": name, "host": socket.gethostname(), YARDSTICK: yardstick.seconds}
    where |= {"torch": torch.__version__, "os": platform.system(), TIMING_SECONDS: time.monotonic() - started}
    return {engine: restated(figures, yardstick.pace) | where for engine, figures in rows.items()}


def _with_engines(alone: Figures, rows: Rows) -> Rows:
    """The rows of all engines, of which the eager one also has what was timed alone: training, and what disturbed it."""
    eager = rows[EAGER]
    worst: Figures = {name: max(number(alone, name), number(eager, name)) for name in ("spread", "uncertainty")}
    return rows | {EAGER: alone | eager | worst | {"busy": alone["busy"] or eager["busy"]}}


def undisturbed(attempt: Callable[[], Attempt]) -> Rows:
    """The figures of the first attempt beside which nothing else ran, else of the least disturbed one.

    What still disturbed them is told in `busy`; None if nothing did. Turns that differ too much are not a reason for
    another attempt: they would differ again.
    """
    attempts: list[Attempt] = []
    while len(attempts) < ATTEMPTS:
        attempts.append(current := attempt())
        if not current.others_on_gpu and current.share_of_others <= NOISE:
            break
    best = min(attempts, key=lambda each: (each.others_on_gpu, each.share_of_others))
    return {engine: figures | {"busy": _disturbance(best, figures)} for engine, figures in best.rows.items()}


def _disturbance(attempt: Attempt, figures: Figures) -> str | None:
    if REFUSED in figures:  # it was not timed
        return None
    if attempt.others_on_gpu:
        return f"{attempt.others_on_gpu} other processes were on the GPU"
    if attempt.share_of_others > NOISE:
        return f"other processes took {attempt.share_of_others:.0%} of the processor time"
    return None
