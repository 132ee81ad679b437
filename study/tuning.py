"""Ray Tune around the ledger: a Searcher that hands out its trials, a scheduler that records each row and decides.

Tune is only the engine. It keeps no record of its own that anything is read from: its experiment folder is temporary.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.callback import Callback
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study.early_stopping import should_stop
from study.ledger import Ledger, Trial
from study.proposals import Proposals
from study.space.schema import split_settings
from trainables.tune_adapter import StudyTrial

WORKER_RETRIES = 3  # of a trial whose worker or node died; failures of the trial's own code are not tried again


class Desk:
    """Where trials are handed out and their rows come back: the one place that writes the ledger during a run."""

    def __init__(
        self,
        ledger: Ledger,
        proposals: Proposals,
        metric: str,
        values: Callable[[Trial], list[float]],
        on_change: Callable[[Trial], None],
        slots: int,
    ) -> None:
        """values: the objective values of a complete trial. slots: the trials that the cluster can run at once."""
        self.ledger, self.proposals, self.metric = ledger, proposals, metric
        self.values, self.on_change, self.slots = values, on_change, slots
        self.handed_out: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles all that it is given into a snapshot, and this study is not restored from one."""
        return {}

    def next_config(self) -> dict[str, Any] | str | None:
        """The config of the next trial, None where none can start now, or Searcher.FINISHED."""
        if self.proposals.done:
            return Searcher.FINISHED
        if len(self.handed_out) >= self.slots:
            return None
        trial = self.proposals.next()
        if trial is None:
            return None
        # An interrupted trial's last row may call for its end, which the earlier run did not live to write.
        if trial.rows and self._conclude(trial):
            return self.next_config()
        self.handed_out.add(trial.name)
        self.on_change(trial)
        return self._config(trial)

    def report(self, name: str, row: dict[str, Any]) -> bool:
        """Record one row of a trial; whether the trial has ended with it."""
        trial = self.ledger.trials[name]
        if "error" in row:
            self.fail(name, row["error"])
            return True
        self.ledger.record(trial, row)
        ended = self._conclude(trial)
        if not ended:
            self.on_change(trial)
        return ended

    def fail(self, name: str, error: str) -> None:
        trial = self.ledger.trials[name]
        if trial.state == "running":
            self.ledger.finish(trial, "failed", error=error)
            self._ended(trial)

    def _conclude(self, trial: Trial) -> bool:
        """Finish the trial if its recorded rows say so; whether it is finished."""
        rule = self.ledger.spec.early_stopping
        if len(trial.rows) >= trial.epochs:
            self.ledger.finish(trial, "complete", self.values(trial))
        elif rule is not None and should_stop(trial, self.ledger.trials.values(), rule, self.metric):
            self.ledger.finish(trial, "pruned")
        else:
            return False
        self._ended(trial)
        return True

    def _ended(self, trial: Trial) -> None:
        self.handed_out.discard(trial.name)
        self.on_change(trial)

    def _config(self, trial: Trial) -> dict[str, Any]:
        spec = self.ledger.spec
        entry = spec.models[trial.cell.entry]
        training, options = split_settings(spec, self.ledger.settings(trial))
        return {
            "trial": trial.name,
            "task": spec.task,
            "model": entry.model,
            "options": options,
            "weights": entry.weights,
            "training": training | {"epochs": trial.epochs, "seed": trial.seed},
            "cpus": entry.resources.cpus,
            "gpus": entry.resources.gpus,
            "folder": str(self.ledger.folder.absolute()),
            "checkpoint_seconds": spec.checkpoint_seconds,
            "rows_recorded": len(trial.rows),
            "test": trial.cell.phase == "confirm",
        }


class _LedgerSearcher(Searcher):
    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        return self.desk.next_config()

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
    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        row = {key.removeprefix("row/"): value for key, value in result.items() if key.startswith("row/")}
        ended = self.desk.report(trial.config["trial"], row)
        return TrialScheduler.STOP if ended else TrialScheduler.CONTINUE


class _WorkerDeaths(Callback):
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = trial.get_error()
        reason = " ".join(str(error).split())[:300] if error else "no reason given"
        self.desk.fail(trial.config["trial"], f"the worker died: {reason}")


def run(desk: Desk, data: dict[str, ray.ObjectRef], reuse_workers: bool = True) -> bool:
    """Run the desk's trials to the end; False where the user interrupted it (everything is recorded)."""
    # Tune's folder of snapshots would be a second record; the loggers that it adds would be a third.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(desk.slots, 8))
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # with verbose=0 the old output says nothing, the new one prints a box
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    # An environment variable for PyTorch Lightning, which would keep the trials out of the processes that Ray started ahead.
    vars(class_cache).get("DEFAULT_ENV_VARS", {}).clear()

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])

    scratch = Path(tempfile.mkdtemp(prefix="tune-"))
    try:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(StudyTrial, data=data), resources),
            tune_config=tune.TuneConfig(
                search_alg=_LedgerSearcher(desk),
                scheduler=_LedgerScheduler(desk),
                num_samples=-1,
                reuse_actors=reuse_workers,
                trial_name_creator=lambda trial: trial.config["trial"],
                trial_dirname_creator=lambda trial: trial.config["trial"],
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials save themselves
                failure_config=tune.FailureConfig(max_failures=WORKER_RETRIES),
                callbacks=[_WorkerDeaths(desk)],
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return desk.proposals.done and not desk.handed_out
