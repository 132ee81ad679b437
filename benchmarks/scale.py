"""A thousand trials of a stub of a model: do the last ones cost more than the first, and does the driver's memory grow?

python -m benchmarks.scale
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psutil

from benchmarks.figure import Figure, at_most, show
from benchmarks.small_study import run_small_study

TRIALS, PART = 1000, 100
MAX_RATIO, MAX_MB = 1.5, 100.0
SPACE: dict[str, object] = {
    "data": {"name": "digits", "validation": 10},
    "objectives": ["val_accuracy", "val_loss"],
    "phases": ["search"],
    "models": {
        # One token per image, vectors of 8 values: hardly anything to compute.
        "stub": {
            "model": "scratch_vit", "image_size": 8, "patch_size": 8, "width": 8, "depth": 1, "heads": 1,
            "feed_forward": 8, "epochs": 1, "train_size": 10, "batch_size": 10, "flip": False, "shift": 0.0,
            "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        },
    },
}  # fmt: skip


def run(trials: int = TRIALS, part: int = PART) -> Iterator[Figure]:
    memory = Memory()
    with memory:
        ends = run_small_study(SPACE | {"trials": trials}).ends()
    first, last = (ends[part] - ends[0]) / part, (ends[-1] - ends[-1 - part]) / part
    seconds = f" ({1000 * first:.0f} ms and {1000 * last:.0f} ms per trial)"
    yield at_most(
        f"cost of the last {part} of {trials} trials against the first {part}", last / first, MAX_RATIO, "x", seconds
    )
    growth = memory.at(ends[-1]) - memory.at(ends[part])
    yield at_most(f"growth of the driver's memory from trial {part} to {trials}", growth, MAX_MB, " MB")


class Memory(threading.Thread):
    """Samples the memory that only this process holds (USS), four times per second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, float]] = []  # (time.time(), MB)
        self.stopped = threading.Event()

    def run(self) -> None:
        process = psutil.Process()
        while not self.stopped.wait(0.25):
            self.samples.append((time.time(), process.memory_full_info().uss / 1e6))

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()

    def at(self, moment: float) -> float:
        """MB at the sample nearest to `moment`."""
        return min(self.samples, key=lambda sample: abs(sample[0] - moment))[1]


if __name__ == "__main__":
    show(run())
