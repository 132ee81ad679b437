"""All benchmarks, each in a process of its own, into benchmarks/RESULTS.md."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure

# In the order of the table in which they were asked for.
NAMES = (
    "tome_speed",
    "training_step",
    "study_overhead",
    "start_up",
    "scale",
    "memory",
    "search_cost",
    "contention",
    "translation",
)
RESULTS = Path(__file__).parent / "RESULTS.md"


def figures(name: str) -> list[Figure]:
    """What a benchmark of this folder measures, printed as it comes."""
    found = []
    for figure in importlib.import_module(f"benchmarks.{name}").run():
        print(f"{name}: {figure}", flush=True)
        found.append(figure)
    return found


def environment() -> dict[str, Any]:
    from study.environment import describe

    return describe()


def alone(function: Any, *arguments: Any) -> Any:
    """Call it in a fresh process: what one benchmark leaves in memory must not touch the next."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def page(machine: dict[str, Any], rows: list[tuple[str, Figure]], seconds: dict[str, float]) -> str:
    """RESULTS.md: when, where and with what; a row a figure; how long each benchmark took."""
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
        "| benchmark | figure | asked | measured | reached |",
        "| --- | --- | --- | --- | --- |",
    ]
    words = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {name} | {f.what} | {f.asked} | {f.measured} | {words[f.reached]} |" for name, f in rows]
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    return "\n".join([*lines, "", f"Durations: {spent}; {sum(seconds.values()) / 60:.1f} minutes in all.", ""])


def main() -> None:
    machine = alone(environment)
    rows: list[tuple[str, Figure]] = []
    seconds: dict[str, float] = {}
    for name in NAMES:
        begin = time.monotonic()
        try:
            rows += [(name, figure) for figure in alone(figures, name)]
        except Exception as error:  # the other benchmarks' figures are worth having, too
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            print(f"{name}: {reason}", flush=True)
            rows.append((name, Figure("did not run", reason, reached=False)))
        seconds[name] = time.monotonic() - begin
    RESULTS.write_text(page(machine, rows, seconds), encoding="utf-8")
    print(f"{RESULTS}: {sum(seconds.values()) / 60:.1f} minutes")
