"""Studies of tiny models, run as a study is run and read back from the ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from record import contents
from record.folder import StudyFolder
from trainables.task import Scalar

if TYPE_CHECKING:
    from study.ledger import Trial

# Ray reads its settings when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# An epoch of it on digits takes a tenth of a second.
TINY_VIT: dict[str, Scalar] = {
    "model": "scratch_vit", "image_size": 8, "patch_size": 2, "width": 32, "depth": 2, "heads": 2, "feed_forward": 64,
    "norm": "pre", "flip": False, "shift": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class FinishedStudy:
    """A study that ran: its trials in the order in which they ended, and when it started and ended (time.time())."""

    trials: list[Trial]
    started: float
    ended: float
    validation_images: int

    def ends(self) -> list[float]:
        """When each trial ended (time.time())."""
        return [trial.finished.timestamp() for trial in self.trials if trial.finished]

    def epoch_seconds(self) -> list[float]:
        """What each trial spent inside its epochs."""
        from study.ledger import number

        return [
            sum(number(row, "train_seconds") + number(row, "eval_seconds") for row in trial.rows)
            for trial in self.trials
        ]


def run_small_study(
    space: Mapping[str, object], data_dir: Path = Path("data"), reuse_workers: bool = True
) -> FinishedStudy:
    """Run a study in a temporary folder. Raises RuntimeError if a trial failed for another reason than divergence."""
    from study.ledger import Ledger
    from study.phases import run_study
    from study.session import Options
    from study.space.reading import resolve

    spec = resolve({"description": "a benchmark", "early_stopping": None, **space}, "benchmark")
    with TemporaryDirectory(prefix="benchmark-") as folder:
        started = time.time()
        options = Options(StudyFolder(Path(folder)), data_dir, reuse_workers=reuse_workers)
        run_study(spec, options, Console(quiet=True))
        ended = time.time()
        with Ledger(Path(folder), spec) as ledger:
            trials = list(ledger.trials.values())
        validation_images: int = contents.read_environment(options.folder)["data"]["validation"]
    # A learning rate that diverges is a result like any other; every other failure is a fault of the benchmark.
    failures = [trial.error for trial in trials if trial.error and not trial.error.startswith("diverged")]
    if failures:
        raise RuntimeError(f"{len(failures)} trials failed: {failures[0]}")
    trials.sort(key=lambda trial: trial.finished.timestamp() if trial.finished else 0.0)
    return FinishedStudy(trials, started, ended, validation_images)


def overhead(ends: list[float], epoch_seconds: list[float], workers: int) -> float:
    """Seconds per trial outside its epochs, from the end of each worker's first trial on.

    `ends` and `epoch_seconds` are per trial, in the order in which they ended; `workers` trials ran at a time.
    """
    first_ends = sum(ends[:workers])
    return (workers * ends[-1] - first_ends - sum(epoch_seconds[workers:])) / (len(ends) - workers)


def start_up(started: float, ends: list[float], epoch_seconds: list[float]) -> float:
    """Seconds until the first trial trained."""
    return min(end - spent for end, spent in zip(ends, epoch_seconds, strict=True)) - started
