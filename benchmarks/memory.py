"""Two trials at a time on 50,000 CIFAR-10 images against one: the data set is in memory only once.

python -m benchmarks.memory

Counted in PSS (a page that n processes share counts 1/n in each), summed over the program, Ray and its workers. Noise in
CIFAR-10's format replaces the images: only their size matters.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from benchmarks.figure import Figure, at_most, show
from benchmarks.small_study import TINY_VIT, run_small_study

EPOCHS = {"cifar10": 2, "digits": 30}  # long enough to be sampled during training
IMAGES, BYTES = 50_000, 32 * 32 * 3
DATA_MB = IMAGES * BYTES / 1e6
MAX_COPIES = 0.2  # of the data set: a worker also holds memory of its own


def run() -> Iterator[Figure]:
    cpus = psutil.cpu_count() or 1
    with TemporaryDirectory(prefix="benchmark-") as folder:
        write_cifar10(Path(folder, "cifar10", "cifar-10-batches-py"))
        peak("digits", Path(folder), cpus, 1)  # not counted: what the driver keeps of its first study
        one, two = (peak("cifar10", Path(folder), cpus / trials, trials) for trials in (1, 2))
        base_one, base_two = (peak("digits", Path(folder), cpus / trials, trials) for trials in (1, 2))
    second, base_second = two["total"] - one["total"], base_two["total"] - base_one["total"]
    note = (
        f" (the second trial adds {second:.0f} MB, on digits {base_second:.0f} MB; the data set has {DATA_MB:.0f} MB)"
    )
    yield at_most(
        "copies of the data set that a second trial adds",
        (second - base_second) / DATA_MB,
        MAX_COPIES,
        " data sets",
        note,
    )
    shared = (two["shared"] - one["shared"]) / DATA_MB
    note = f" ({one['shared']:.0f} MB with one trial, {two['shared']:.0f} MB with two)"
    yield at_most("growth of the memory that the processes share", shared, MAX_COPIES, " data sets", note)
    yield Figure("peak of all processes, 2 trials against 1", f"{two['total']:.0f} MB against {one['total']:.0f} MB")
    yield Figure("part of the driver", f"{two['driver']:.0f} MB, on digits {base_two['driver']:.0f} MB")


def write_cifar10(folder: Path) -> None:
    """50,000 training and 1,000 test images of noise, in the format of the Python version of CIFAR-10."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in [(f"data_batch_{i}", IMAGES // 5) for i in range(1, 6)] + [("test_batch", 1000)]:
        pixels = rng.integers(0, 256, (count, BYTES), dtype=np.uint8)
        content = {"data": pixels, "labels": [i % 10 for i in range(count)]}
        (folder / name).write_bytes(pickle.dumps(content))


def peak(data: str, data_dir: Path, cpus: float, trials: int) -> dict[str, float]:
    """Peak memory (MB) while `trials` trials run at once: total, its shared part, and what the driver alone holds."""
    space = {
        "data": {"name": data}, "objectives": ["val_accuracy"], "phases": ["search"], "trials": trials,
        "models": {
            "tiny": TINY_VIT | {"image_size": 32, "patch_size": 8, "batch_size": 256} | {
                "epochs": EPOCHS[data],
                "resources": {"cpus": cpus}, "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
            },
        },
    }  # fmt: skip
    sampler = PeakMemory(trials)
    with sampler:
        run_small_study(space, data_dir)
    return sampler.peaks


class PeakMemory(threading.Thread):
    """Samples this process and its descendants once per second while `trials` trials train: the peak per figure in MB.

    What happens before, reading and splitting the data set, is the same for any number of trials.
    """

    def __init__(self, trials: int) -> None:
        super().__init__(daemon=True)
        self.trials = trials
        self.peaks = {"total": 0.0, "shared": 0.0, "driver": 0.0}
        self.stopped = threading.Event()

    def run(self) -> None:
        own = psutil.Process()
        while not self.stopped.wait(1.0):
            processes = [own, *own.children(recursive=True)]
            if sum(is_training(process) for process in processes) < self.trials:
                continue
            parts = [smaps(process.pid) for process in processes]
            for figure, value in {
                "total": sum(part.get("Pss", 0.0) for part in parts),
                "shared": sum(part.get("Pss_Shmem", 0.0) for part in parts),
                "driver": parts[0].get("Pss_Anon", 0.0),
            }.items():
                self.peaks[figure] = max(self.peaks[figure], value)

    def __enter__(self) -> PeakMemory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()


def is_training(process: psutil.Process) -> bool:
    """Whether a process trains: workers carry the name of their trial."""
    try:
        return "".join(process.cmdline()[:1]).startswith("ray::tiny-")
    except psutil.Error:  # the process has just ended
        return False


def smaps(pid: int) -> dict[str, float]:
    """The memory of a process by kind, in MB (Linux); {} if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {key: int(value.split()[0]) * 1024 / 1e6 for key, value in (line.split(":") for line in lines)}


if __name__ == "__main__":
    show(run())
