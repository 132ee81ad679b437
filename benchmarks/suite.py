"""All benchmarks, each in a process of its own, into benchmarks/RESULTS.md."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks.figure import Figure

# In the order of the page.
NAMES = (
    "tome_speed",
    "training_step",
    "good_script",
    "study_overhead",
    "start_up",
    "scale",
    "capacity",
    "memory",
    "search_cost",
    "learn_from",
    "search_designs",
    "stopping",
    "simulated_answers",
    "simulated_searches",
    "forecast",
    "contention",
    "translation",
)
RESULTS = Path(__file__).parent / "RESULTS.md"

P = ParamSpec("P")
R = TypeVar("R")


def figures(name: str) -> list[Figure]:
    """The figures of one benchmark, each printed as soon as it is known."""
    measured = []
    for figure in importlib.import_module(f"benchmarks.{name}").run():
        print(f"{name}: {figure}", flush=True)
        measured.append(figure)
    return measured


def environment() -> dict[str, Any]:
    """Versions and hardware, as a study's environment.json has them."""
    from study.environment import describe

    return describe()


def alone(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call it in a fresh process: what one benchmark leaves in memory must not affect the next."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def page(machine: dict[str, Any], rows: list[tuple[str, Figure]], seconds: dict[str, float]) -> str:
    """RESULTS.md: when, where and with what; one row per figure; the duration of each benchmark."""
    hardware = machine["hardware"]
    processors = f"{hardware['cpus']} x {hardware['cpu']}, {hardware['memory_gb']} GB"
    lines = [
        "# Results of `make bench`",
        "",
        f"- date: {machine['date']}",
        f"- hardware: {'; '.join([processors, *hardware['gpus']])}; {hardware['system']}",
        f"- versions: Python {machine['python']}, " + ", ".join(f"{k} {v}" for k, v in machine["versions"].items()),
        f"- commit: {machine['git_commit']}",
        "",
        "| benchmark | figure | target | measured | reached |",
        "| --- | --- | --- | --- | --- |",
    ]
    words = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {name} | {f.name} | {f.target} | {f.measured} | {words[f.reached]} |" for name, f in rows]
    durations = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    return "\n".join([*lines, "", f"Durations: {durations}; {sum(seconds.values()) / 60:.1f} minutes in all.", ""])


def main() -> None:
    machine = alone(environment)
    rows: list[tuple[str, Figure]] = []
    seconds: dict[str, float] = {}
    for name in NAMES:
        start = time.monotonic()
        try:
            rows += [(name, figure) for figure in alone(figures, name)]
        except Exception as error:  # the figures of the other benchmarks are still worth having
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            print(f"{name}: {reason}", flush=True)
            rows.append((name, Figure("did not run", reason, reached=False)))
        seconds[name] = time.monotonic() - start
    RESULTS.write_text(page(machine, rows, seconds), encoding="utf-8")
    print(f"{RESULTS}: {sum(seconds.values()) / 60:.1f} minutes")
