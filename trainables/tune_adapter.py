"""The thin Ray Tune Trainable around an epoch loop: resets, checkpoints, and failures as rows.

A trial's config (made by study/tuning.py) holds: trial, task, model, options, weights, training (the fields of the
task's Config), cpus, gpus, folder (of the study, absolute), checkpoint_seconds, rows_recorded, test (evaluate the test
split after the last epoch).
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray._raylet
import torch
from ray import tune

from record import contents
from record.contents import Checkpoint
from record.errors import one_line
from record.folder import StudyFolder
from trainables import device as hardware
from trainables import task as tasks


class StudyTrial(tune.Trainable):
    """One trial after another in one worker. A step is an epoch; the study's scheduler says when a trial ends.

    A failure that the code of the trial causes comes back as a row with `error`, so that it is recorded with its
    reason; only the death of the worker itself reaches Tune, which starts the trial again elsewhere.
    """

    def setup(self, config: dict[str, Any], data: dict[str, ray.ObjectRef]) -> None:  # type: ignore[override]
        self.data = data
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.loop: Any = None  # free the last trial's memory before the next model is built
        torch.cuda.empty_cache()  # for the other trials on the same GPU; does nothing where there is none
        self.settings = new_config
        self.rows: list[dict[str, Any]] = []
        self.unsaved = False
        self.saved_at = time.monotonic()
        self.replayed = new_config["rows_recorded"]
        return True

    def step(self) -> dict[str, Any]:
        begin = time.perf_counter()
        # The dashboard and `ps` list workers by this title. (An actor's repr is asked once, but workers are reused.)
        ray._raylet.setproctitle(f"ray::{self.settings['trial']}")  # type: ignore[attr-defined]
        try:
            if self.loop is None:
                self._start()
            if self.replayed < len(self.rows):  # rows that were saved with a checkpoint but never recorded
                row = self.rows[self.replayed]
            else:
                row = self._epoch()
            self.replayed += 1
        except Exception as error:
            return {"row": {"error": _reason(error)}, "step_seconds": time.perf_counter() - begin}
        return {"row": row, "step_seconds": time.perf_counter() - begin}

    def cleanup(self) -> None:
        """Called when the worker stops: a study that is interrupted keeps every epoch that was computed."""
        if self.unsaved and self.loop is not None:
            self._save()

    def _start(self) -> None:
        config = self.settings
        task = tasks.named(config["task"])
        torch.set_num_threads(max(1, int(config["cpus"])))
        device = hardware.pick(config["gpus"])
        if device.type == "cuda" and 0 < config["gpus"] < 1:
            torch.cuda.set_per_process_memory_fraction(config["gpus"], device)
        training = task.Config(**config["training"])
        data = ray.get(self.data["search"])
        self.loop = task.Loop(training, config["model"], config["options"], config["weights"], data, device)
        path = self._folder().checkpoint(config["trial"])
        if path.exists():
            state = contents.read_checkpoint(path, partial(torch.load, map_location=device, weights_only=True))
            self.loop.load_state_dict(state.loop)
            self.rows = state.rows

    def _epoch(self) -> dict[str, Any]:
        row: dict[str, Any] = self.loop.run_epoch()
        last = self.loop.epoch >= self.loop.config.epochs
        if last and self.settings["test"]:
            row |= self.loop.test(ray.get(self.data["test"]), self._folder(), self.settings["trial"])
        self.rows.append(row)
        self.unsaved = True
        if last or time.monotonic() - self.saved_at >= self.settings["checkpoint_seconds"]:
            self._save()
        return row

    def _folder(self) -> StudyFolder:
        return StudyFolder(Path(self.settings["folder"]))

    def _save(self) -> None:
        """Write the loop and its rows in one atomic step; a full disk costs the checkpoint, not the trial."""
        path = self._folder().checkpoint(self.settings["trial"])
        try:
            contents.write_checkpoint(path, Checkpoint(self.loop.state_dict(), self.rows), torch.save)
        except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as RuntimeError
            self.rows[-1]["note"] = f"checkpoint not written: {_reason(error)}"
        self.unsaved = False
        self.saved_at = time.monotonic()


def _reason(error: BaseException) -> str:
    """One line: the error's class unless its message speaks for itself, and its message."""
    message = one_line(error, 300)
    return message if isinstance(error, ArithmeticError) else f"{type(error).__name__}: {message}"
