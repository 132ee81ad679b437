"""The thin Ray Tune Trainable around an epoch loop: resets, checkpoints, and failures as rows."""

from __future__ import annotations

import faulthandler
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import ray
import ray._raylet
import torch
from ray import tune

from record import contents
from record.contents import Checkpoint
from record.errors import one_line
from trainables import device as hardware
from trainables import examination
from trainables import task as tasks
from trainables.place import Place
from trainables.task import Figures, Loop, in_row
from trainables.trial_config import TrialConfig

TRACEBACK = 16_000  # characters


class DataRefs(NamedTuple):
    """Where the data lie in Ray's object store; the test split is fetched by trials that test only."""

    search: ray.ObjectRef[Any]
    test: ray.ObjectRef[Any]
    keeper: Any = None  # the actor of a Keeper, for nodes that do not see the study folder; None where all do
    run: str = ""  # by which a node knows that the folder that it sees is the study's
    versions: Mapping[str, str | None] = {}  # the driver's, by package; none where it is the only node


class StudyTrial(tune.Trainable):
    """One trial after another in one worker. A step is an epoch; the study's scheduler says when a trial ends.

    A failure that the code of the trial causes comes back as a row with `error`, so that it is recorded with its
    reason, and with `errno` where the system caused it; the death of the worker, and what Ray itself lost, reach Tune.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.data: DataRefs | None = None
        self.training: _Training | None = None
        self.unfit = ""  # why nothing may be computed on this node
        super().__init__(*args, **options)  # which calls `setup`

    def setup(self, config: dict[str, Any], data: DataRefs) -> None:  # type: ignore[override]
        self.data, self.unfit = data, examination.late(data.versions)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        assert self.data is not None
        self.training = None  # free the last trial's memory before the next model is built
        torch.cuda.empty_cache()  # for the other trials on the same GPU; does nothing where there is none
        self.training = _Training(TrialConfig(**new_config), self.data)
        return True

    def step(self) -> dict[str, Any]:
        assert self.training is not None
        if self.unfit:
            return {"row": {"unfit": self.unfit}}
        started = time.perf_counter()
        # The dashboard and `ps` list workers by this title. (An actor's repr is taken once, but workers are reused.)
        ray._raylet.setproctitle(f"ray::{self.training.config.trial}")  # type: ignore[attr-defined]
        try:
            with self.training.watched():
                row = self.training.next_row()
        except ray.exceptions.RayError:
            raise
        except Exception as error:
            row = {"error": _reason(error), "traceback": _traceback(error)} | (
                {"errno": error.errno} if isinstance(error, OSError) else {}
            )
        return {"row": row, "step_seconds": time.perf_counter() - started}

    def cleanup(self) -> None:
        """Called when the worker stops: a study that is interrupted keeps every epoch that was computed."""
        if self.training is not None:
            self.training.save()


class _Training:
    """One trial in its worker: its loop, its rows, and its checkpoint."""

    def __init__(self, config: TrialConfig, data: DataRefs) -> None:
        self.config, self.data, self.place = config, data, Place(config.folder, data.keeper, data.run)
        self.folder = self.place.folder
        self.loop: Loop[Sized] | None = None  # built with the first row, where its failure is recorded
        self.rows: list[Figures] = []
        self.reported = config.rows_recorded
        self.notes: list[str] = []  # for the next row
        self.unsaved = False
        self.saved_at = time.monotonic()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, the worker ends itself after the trial's time limit, even where it hangs in code that is not Python's."""
        path = self.folder.traceback(self.config.trial)
        with _open_or_null(path) as file:
            faulthandler.dump_traceback_later(self.config.timeout_seconds, exit=True, file=file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        path.unlink(missing_ok=True)

    def next_row(self) -> Figures:
        """The row of the next epoch; rows that a checkpoint holds but the ledger does not come first."""
        if self.loop is None:
            self.loop = self._start()
        # Where the ledger is ahead of the checkpoint, the epochs in between are computed once more.
        row = self.rows[self.reported] if self.reported < len(self.rows) else self._run_epoch(self.loop)
        self.reported += 1
        if self.notes:
            row = row | {"note": "; ".join([*([str(row["note"])] if "note" in row else []), *self.notes])}
            self.notes = []
        return row

    def _start(self) -> Loop[Sized]:
        config = self.config
        task = tasks.named(config.task)
        torch.set_num_threads(hardware.threads_of(config.cpus))
        device = hardware.pick(config.gpus)
        if device.type == "cuda" and 0 < config.gpus < 1:
            torch.cuda.set_per_process_memory_fraction(config.gpus, device)
        data = ray.get(self.data.search)
        training = task.Config(**config.training)
        new_loop = partial(task.Loop, training, config.model, config.options, config.weights, data, device)
        for path in (self.folder.checkpoint(config.trial), self.folder.previous_checkpoint(config.trial)):
            self.place.fetch(path)
            if path.exists() and (loop := self._resumed(path, new_loop(), device)):
                return loop
        return new_loop()

    def _resumed(self, path: Path, loop: Loop[Sized], device: torch.device) -> Loop[Sized] | None:
        """The loop in the state of a checkpoint of this trial; None, and a note, for any other file."""
        try:
            state = contents.read_checkpoint(path, partial(torch.load, map_location=device, weights_only=True))
            if state.origin == self.config.origin:
                loop.load_state_dict(state.loop)
                self.rows = state.rows
                return loop
        except (contents.Unreadable, RuntimeError, ValueError, KeyError, TypeError) as error:
            self.notes.append(f"checkpoint not used: {_reason(error)}")
            return None
        aside = path.with_name(f"{path.name}.foreign")
        path.replace(aside)
        self.place.hand_in(aside)
        self.notes.append(f"checkpoint not used: {aside.name} is of another study, trial or setting")
        return None

    def _run_epoch(self, loop: Loop[Sized]) -> Figures:
        row = loop.run_epoch()
        is_last = loop.epoch >= int(self.config.training["epochs"])
        if is_last and self.config.test:
            row |= self._test(loop)
        self.rows.append(row)
        self.unsaved = True
        if is_last or time.monotonic() - self.saved_at >= self.config.checkpoint_seconds:
            self.save()
        return row

    def _test(self, loop: Loop[Sized]) -> Figures:
        test, trial, names = ray.get(self.data.test), self.config.trial, self.config.engines
        row = loop.test(test, self.folder, trial)
        if names:
            deployable = tasks.deployable(self.config.task)
            row |= in_row(deployable.evaluate_engines(loop, test, self.folder, trial, names))
        self.place.hand_in(*self.folder.answers(trial))
        return row

    def save(self) -> None:
        """Write the loop and its rows in one atomic step; a full disk costs the checkpoint, not the trial."""
        if self.loop is None or not self.unsaved:
            return
        trial, state = self.config.trial, Checkpoint(self.loop.state_dict(), self.rows, self.config.origin)
        path, previous = self.folder.checkpoint(trial), self.folder.previous_checkpoint(trial)
        try:
            contents.write_checkpoint(path, state, torch.save, previous)
            self.place.hand_in(path, previous=previous)
        except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as RuntimeError
            self.rows[-1]["note"] = f"checkpoint not written: {_reason(error)}"
        self.unsaved = False
        self.saved_at = time.monotonic()


def _open_or_null(path: Path) -> TextIO:
    """The file for writing, or where it cannot be made one that forgets what is written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w")
    except OSError:
        return open(os.devnull, "w")


def _traceback(error: BaseException) -> str:
    """Its end, which says where it happened; a database may take no more."""
    return "".join(traceback.format_exception(error))[-TRACEBACK:]


def _reason(error: BaseException) -> str:
    """One line: the error's class unless its message speaks for itself, and its message."""
    message = one_line(error, 300)
    return message if isinstance(error, ArithmeticError) else f"{type(error).__name__}: {message}"
