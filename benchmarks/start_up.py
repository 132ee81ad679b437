"""How long a user waits: for the list of spaces, and until the first trial trains.

python -m benchmarks.start_up
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks.figure import Figure, at_most, show
from benchmarks.study_overhead import SPACE

PROGRAM = Path(__file__).parents[1] / "run_study.py"
REPEATS = 5
MAX_LIST_SECONDS, MAX_TRAIN_SECONDS = 1.0, 15.0


def run() -> Iterator[Figure]:
    lists = [seconds_of("--list-spaces") for _ in range(REPEATS)]
    yield at_most("run_study.py --list-spaces", statistics.median(lists), MAX_LIST_SECONDS, " s")
    first = statistics.median(until_training() for _ in range(3))
    yield at_most("run_study.py until the first trial trains (no profile phase)", first, MAX_TRAIN_SECONDS, " s")


def seconds_of(*arguments: str) -> float:
    """The duration of the program with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, str(PROGRAM), *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def until_training() -> float:
    """Seconds from the start of the process to that of the first epoch."""
    from study.ledger import Ledger, number
    from study.space.reading import resolve

    space = {"description": "a benchmark", **SPACE, "trials": 1}
    with TemporaryDirectory(prefix="benchmark-") as folder:
        file = Path(folder, "space.yaml")
        file.write_text(yaml.safe_dump(space), encoding="utf-8")
        started = time.time()
        command = [sys.executable, str(PROGRAM), "--space", str(file), "--results", folder]
        subprocess.run(command, check=True, capture_output=True)
        with Ledger(Path(folder, "space"), resolve(space, "benchmark")) as ledger:
            [trial] = ledger.trials.values()
    assert trial.finished is not None
    return (
        trial.finished.timestamp() - started - number(trial.last, "train_seconds") - number(trial.last, "eval_seconds")
    )


if __name__ == "__main__":
    show(run())
