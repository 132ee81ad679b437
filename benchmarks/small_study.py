"""Studies of tiny models, run as `run_study.py` runs them and read back from their ledgers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from record import contents
from record.folder import StudyFolder

# Ray's own settings must be there before it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# An epoch of it on digits takes a tenth of a second.
TINY_VIT: dict[str, Any] = {
    "model": "scratch_vit", "image_size": 8, "patch_size": 2, "width": 32, "depth": 2, "heads": 2, "feed_forward": 64,
    "norm": "pre", "flip": False, "shift": 0.0,
}  # fmt: skip


class Finished:
    """A study that ran: its trials in the order in which they ended, and when it began and ended (time.time())."""

    def __init__(self, space: dict[str, Any], data_dir: Path = Path("data"), reuse_workers: bool = True) -> None:
        from study.ledger import Ledger
        from study.phases import run_study
        from study.session import Options
        from study.space.reading import resolve

        spec = resolve({"description": "a benchmark", "early_stopping": None} | space, "benchmark")
        with TemporaryDirectory(prefix="benchmark-") as folder:
            self.begun = time.time()
            options = Options(StudyFolder(Path(folder)), data_dir, reuse_workers=reuse_workers)
            run_study(spec, options, Console(quiet=True))
            self.ended = time.time()
            with Ledger(Path(folder), spec) as ledger:
                trials = list(ledger.trials.values())
            self.validation_images: int = contents.read_environment(options.folder)["data"]["validation"]
        # A learning rate that diverges is a result like another; any other failure is a fault of the benchmark.
        failed = [trial.error for trial in trials if trial.error and not trial.error.startswith("diverged")]
        if failed:
            raise RuntimeError(f"{len(failed)} trials failed: {failed[0]}")
        self.trials = sorted(trials, key=lambda trial: trial.finished.timestamp() if trial.finished else 0.0)

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


def overhead(ends: list[float], epoch_seconds: list[float], workers: int) -> float:
    """Seconds a trial that were not spent inside its epochs, once each worker has ended its first trial.

    `ends` and `epoch_seconds` go by trial, in the order in which they ended; `workers` trials ran at a time.
    """
    begun = sum(ends[:workers])
    return (workers * ends[-1] - begun - sum(epoch_seconds[workers:])) / (len(ends) - workers)


def start_up(begun: float, ends: list[float], epoch_seconds: list[float]) -> float:
    """Seconds until the first trial trained."""
    return min(end - spent for end, spent in zip(ends, epoch_seconds, strict=True)) - begun
