"""The profile phase: every model entry timed alone over a grid of whatever changes its speed, and what follows from it.

Speed does not depend on the learning rate, so the search reads each trial's speed from this grid by interpolation, and
trials that share the hardware cannot contaminate it.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import ray
import torch

import models
from record import figures
from record.errors import UserError
from record.settings import costs_time
from study.ledger import Ledger, Trial
from study.space.schema import ModelEntry, Range, Scalar, StudySpec, split_settings
from trainables import task as tasks
from trainables import timing
from trainables.task import config_class

GRID_POINTS = 5  # of a ranged dimension


def speed_dimensions(entry: ModelEntry) -> list[str]:
    """The dimensions of an entry that change its speed: the model's own settings and the batch."""
    own = costs_time(models.config_class(entry.model)) | costs_time(config_class(models.task(entry.model)))
    return [name for name in (*entry.search, *entry.factors) if name in own]


def grid(entry: ModelEntry) -> list[dict[str, Scalar]]:
    """The settings at which an entry is timed: each choice, and five points of a range."""
    names = speed_dimensions(entry)
    axes = [_axis(entry.search.get(name) or entry.factors[name]) for name in names]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*axes)]


def _axis(dimension: Any) -> list[Scalar]:
    if not isinstance(dimension, Range):
        return list(dimension)
    points = np.linspace(dimension.low, dimension.high, GRID_POINTS)
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return [int(value) for value in np.unique(points.round())]
    return [float(value) for value in points]


def check_grid(spec: StudySpec, where: str) -> None:
    """Speed is interpolated along one range at most; more would need a grid that nobody waits for."""
    for name, entry in spec.models.items():
        ranged = [d for d in speed_dimensions(entry) if isinstance(entry.search.get(d), Range)]
        if len(ranged) > 1:
            raise UserError(
                f"{where}: models.{name}.search: {' and '.join(ranged)} are ranges that change the speed; "
                "give all but one as a list of choices"
            )


def time_alone(spec: StudySpec, entry: ModelEntry, point: dict[str, Scalar], shape: dict[str, Any]) -> dict[str, Any]:
    """Time one setting with a whole node (and one GPU) taken from Ray, so that nothing of the study runs beside it.

    shape: what the task's profile must know of the data.
    """
    gpu = 1 if entry.resources.gpus > 0 else 0
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) >= gpu]
    cpus = int(max(node.get("CPU", 0) for node in nodes))
    training, options = split_settings(spec, entry.settings | point)
    remote = ray.remote(num_cpus=cpus, num_gpus=gpu, max_retries=1)(_time)
    return ray.get(remote.remote(spec.task, training, entry.model, options, shape, cpus, gpu))


def _time(
    task: str,
    training: dict[str, Any],
    model: str,
    options: dict[str, Any],
    shape: dict[str, Any],
    cpus: int,
    gpu: int,
) -> dict[str, Any]:
    import platform

    from trainables import device as hardware

    torch.set_num_threads(cpus)
    module = tasks.named(task)
    device = hardware.pick(gpu)

    def attempt() -> tuple[dict[str, Any], float, int]:
        before = _cpu_seconds()
        row = module.profile(module.Config(**training), model, options, device, shape)
        return row, _share_of_others(before, _cpu_seconds()), hardware.other_processes_on(device)

    row = undisturbed(attempt)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cpus} x {hardware.cpu_name()}"
    return row | {"hardware": name, "host": socket.gethostname(), "torch": torch.__version__, "os": platform.system()}


def undisturbed(attempt: Callable[[], tuple[dict[str, Any], float, int]], attempts: int = 3) -> dict[str, Any]:
    """The row of the first attempt beside which nothing else was at work, else of the least disturbed one.

    attempt: times once; (row, share of the processor time that other processes took, their number on the GPU). What
    still disturbed the row is said in its `busy`; None if nothing did. Repeats that differ too much are not a reason to
    time all again: each timing has been repeated by itself then (trainables/timing.py).
    """
    tried: list[tuple[int, float, dict[str, Any]]] = []
    while len(tried) < attempts:
        row, share, on_gpu = attempt()
        tried.append((on_gpu, share, row))
        if not on_gpu and share <= timing.NOISE:
            break
    on_gpu, share, row = min(tried, key=lambda each: each[:2])
    reasons = [
        (on_gpu > 0, f"{on_gpu} other processes were on the GPU"),
        (share > timing.NOISE, f"other processes took {share:.0%} of the processor time"),
        (row["spread"] > timing.NOISE, f"the repeats' quartiles are {row['spread']:.0%} apart"),
    ]
    return row | {"busy": next((reason for found, reason in reasons if found), None)}


def _cpu_seconds() -> tuple[float, float]:
    """Processor seconds so far: (of the whole machine, of this process)."""
    machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return sum(machine) - machine.idle - getattr(machine, "iowait", 0.0), own.user + own.system


def _share_of_others(before: tuple[float, float], after: tuple[float, float]) -> float:
    """The share of the processor seconds between two readings that went to other processes."""
    machine, own = after[0] - before[0], after[1] - before[1]
    return max(0.0, machine - own - 0.1) / max(machine, 1e-9)  # 0.1 s: the clocks' grain


def timings(ledger: Ledger, entry: str, phase: str) -> list[dict[str, Any]]:
    """The timings that a trial of this phase may use: a confirm trial also has those of its own phase, last."""
    rows = [row for row in ledger.profile if row["model"] == entry and row["phase"] in ("profile", phase)]
    return sorted(rows, key=lambda row: row["phase"] == phase)


def costs(ledger: Ledger, entry_name: str, settings: dict[str, Scalar], phase: str) -> dict[str, float]:
    """The isolated figures (MEASURED by its task) of an entry at these settings; {} where the entry was not timed.

    An exact timing counts; else the values are interpolated along the one ranged dimension. Interpolation is linear
    between points that are first made monotone (isotonic regression), since noise must not make a model that does less
    work look slower.
    """
    entry, measured = ledger.spec.models[entry_name], figures.measured(ledger.spec.task)
    names = speed_dimensions(entry)
    point = {name: settings[name] for name in names}
    rows = timings(ledger, entry_name, phase)
    if exact := [row for row in rows if row["point"] == point]:
        return {key: exact[-1][key] for key in measured}
    ranged = [name for name in names if isinstance(entry.search.get(name), Range)]
    others = {name: value for name, value in point.items() if name not in ranged}
    along = {row["point"][ranged[0]]: row for row in rows if ranged and others.items() <= row["point"].items()}
    if not along:
        return {}
    at, xs = float(point[ranged[0]]), sorted(along)
    return {key: float(np.interp(at, xs, monotone([along[x][key] for x in xs]))) for key in measured}


def interpolated_speed(ledger: Ledger, row: dict[str, Any]) -> float | None:
    """For a timing of the confirm phase: the speed that the search interpolated there; None where it was timed."""
    timed = any(other["point"] == row["point"] for other in timings(ledger, row["model"], "search"))
    if row["phase"] == "profile" or timed:
        return None
    return costs(ledger, row["model"], row["point"], "search").get(ledger.spec.terms.speed)


def monotone(values: list[float]) -> np.ndarray:
    """The nearest (least squares) sequence that only rises or only falls, in the direction of the ends."""
    from scipy.optimize import isotonic_regression

    return isotonic_regression(values, increasing=values[-1] >= values[0]).x


def isolated(ledger: Ledger, trial: Trial, train_images: int, validation_images: int) -> dict[str, float]:
    """The trial's isolated figures, with what its epochs so far (or its budget, before the first) cost alone.

    Adds train_seconds and eval_seconds to `costs`; {} where the entry was not timed.
    """
    settings = ledger.settings(trial)
    figures = costs(ledger, trial.cell.entry, settings, trial.cell.phase)
    if not figures:
        return {}
    task = tasks.named(ledger.spec.task)
    config = task.Config(**split_settings(ledger.spec, settings)[0])
    epochs = len(trial.rows) or trial.epochs
    training, evaluation = task.epoch_seconds(config, figures, train_images, validation_images)
    return figures | {"train_seconds": training * epochs, "eval_seconds": evaluation * epochs}
