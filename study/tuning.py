"""Ray Tune around the dispatcher: a Searcher that asks it for trials, a scheduler that hands it every row.

Tune is only the engine. It keeps no record that anything is read from: its experiment folder is temporary.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import TuneError
from ray.tune.callback import Callback
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from record.errors import UserError, causes, one_line
from study.dispatch import Dispatcher, NoTrial, unfit
from trainables.trial_config import TrialConfig
from trainables.tune_adapter import DataRefs, StudyTrial

UNIMPORTABLE = "failed to import on the worker"  # Ray's words
COLOURS = re.compile(r"\x1b\[\d*m")
PENDING = "PENDING"  # as Ray names the state of a trial that waits for a worker


class _LedgerSearcher(Searcher):
    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self.dispatcher = dispatcher

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        trial = self.dispatcher.next_trial()
        if isinstance(trial, TrialConfig):
            return asdict(trial)
        return Searcher.FINISHED if trial is NoTrial.LEFT else None

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        pass  # the scheduler has recorded it

    def save(self, checkpoint_path: str) -> None:
        pass  # the ledger has it

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a study resumes from its ledger, not from a Tune snapshot")

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        pass


class _LedgerScheduler(FIFOScheduler):
    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self.dispatcher = dispatcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        row = {key.removeprefix("row/"): value for key, value in result.items() if key.startswith("row/")}
        ended = self.dispatcher.report(trial.config["trial"], row)
        return TrialScheduler.STOP if ended else TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any) -> Any | None:
        """The newest that waits, which takes over a worker that has become free, so that those of older ones can start.

        Tune stops the worker that starts for a trial when the trial takes over another. Of the oldest trial (FIFO), that is
        the one that has started longest: where trials are shorter than a start, no second worker would ever begin.
        """
        waiting = {
            trial.config["trial"]: trial for trial in tune_controller.get_live_trials() if trial.status == PENDING
        }
        return next((waiting[name] for name in reversed(self.dispatcher.handed_out) if name in waiting), None)


class _Workers(Callback):
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.dispatcher.started(trial.config["trial"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = _last_error(trial)
        if UNIMPORTABLE in error:  # by no trial's fault: each that came to this node would fail
            named = re.search(r"ip=([^,)]+)", error)
            node, cause = named[1] if named else "(unnamed)", error.splitlines()[-1]
            raise unfit(
                f"node {node}: cannot run the study's code: {one_line(cause)}; repair it, or take it out of the cluster"
            )
        reason = one_line(error, 300) or "no reason given"
        self.dispatcher.worker_died(trial.config["trial"], reason)


def _last_error(trial: Any) -> str:
    """What Tune has just written of a trial's error; "" for nothing. (`get_error` reads a copy, which is not there yet.)"""
    if trial.error_file is None or not (path := Path(trial.error_file)).exists():
        return ""
    _, _, text = path.read_text(errors="replace").partition("\n")  # the first line is a number and the time
    return COLOURS.sub("", text).strip()


def run(dispatcher: Dispatcher, data: DataRefs, reuse_workers: bool = True) -> bool:
    """Run the dispatcher's trials to the end; False where the user interrupted it (everything is recorded).

    Raises UserError where a node cannot do the study's work.
    """
    _quieten_tune()
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "8"
    scratch = Path(tempfile.mkdtemp(prefix="tune-"))
    try:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(StudyTrial, data=data), _resources),
            tune_config=tune.TuneConfig(
                search_alg=_LedgerSearcher(dispatcher),
                scheduler=_LedgerScheduler(dispatcher),
                num_samples=-1,
                reuse_actors=reuse_workers,
                trial_name_creator=_name,
                trial_dirname_creator=_folder_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials save themselves
                failure_config=tune.FailureConfig(max_failures=0),  # the dispatcher hands a trial out again
                callbacks=[_Workers(dispatcher)],
            ),
        ).fit()
    except TuneError as error:  # around what was raised in the dispatcher
        if ours := next((cause for cause in causes(error) if isinstance(cause, UserError)), None):
            raise ours from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return dispatcher.finished


def _quieten_tune() -> None:
    # Tune's folder of snapshots would be a second record; the loggers that it adds would be a third.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # with verbose=0 the old output says nothing, the new one prints a box
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    # An environment variable for PyTorch Lightning, which would keep the trials out of the processes that Ray started ahead.
    vars(class_cache).get("DEFAULT_ENV_VARS", {}).clear()


def _resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])


def _name(trial: Any) -> str:
    return trial.config["trial"]


def _folder_name(trial: Any) -> str:
    """One that a trial whose worker died does not get twice."""
    return trial.trial_id
