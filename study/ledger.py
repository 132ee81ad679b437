"""The ledger: the Optuna storage of a study is the one record of it; memory only mirrors what was written.

One Optuna study for each cell of the search, one for each cell of the confirm phase, and one ('profile') whose trials
are the isolated timings. A trial's rows, one an epoch, are user attributes: Optuna forbids intermediate values where
there are several objectives. Every write goes to the storage first, so a process that dies leaves the truth behind.
"""

from __future__ import annotations

import datetime
import fcntl
import logging
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from record import figures
from record.errors import UserError
from study.space.schema import Choices, ModelEntry, Range, Scalar, StudySpec

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
logging.getLogger("alembic").setLevel(logging.WARNING)

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
PROFILE = "profile"
ROW = "epoch_"  # user attributes epoch_00001, epoch_00002, ... are the rows


@dataclass(frozen=True)
class Cell:
    """One model entry with one combination of factor values; in the confirm phase, its retraining."""

    entry: str
    factors: tuple[tuple[str, Scalar], ...] = ()
    phase: str = "search"

    @property
    def name(self) -> str:
        """The name of its Optuna study and the beginning of its trials' names."""
        return "-".join([self.entry, *(f"{key}={value}" for key, value in self.factors)])

    @property
    def study_name(self) -> str:
        return self.name if self.phase == "search" else f"{self.phase} {self.name}"


@dataclass
class Trial:
    """What the ledger knows of one training."""

    name: str
    cell: Cell
    params: dict[str, Scalar]  # the values of all its dimensions, factors included
    seed: int
    epochs: int  # its budget
    candidate: str | None = None  # in the confirm phase: the search trial that it repeats
    state: str = "running"
    rows: list[dict[str, Any]] = field(default_factory=list)
    values: list[float] | None = None  # of the objectives, once it is complete
    error: str | None = None
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    optuna_trial: optuna.Trial | None = field(default=None, repr=False)  # while it runs

    @property
    def last(self) -> dict[str, Any]:
        return self.rows[-1] if self.rows else {}


def cells(spec: StudySpec, phase: str = "search") -> list[Cell]:
    return [
        Cell(name, tuple(combination.items()), phase)
        for name, entry in spec.models.items()
        for combination in entry.factor_combinations()
    ]


def distributions(entry: ModelEntry) -> dict[str, BaseDistribution]:
    """The searched dimensions as Optuna knows them."""
    return {name: _distribution(dimension) for name, dimension in entry.search.items()}


def _distribution(dimension: Range | Choices) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension)
    low, high, log, step = dimension.low, dimension.high, dimension.log, dimension.step
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


class Ledger:
    """The record of one study. Only the driver process writes it; a lock on the folder keeps a second driver out."""

    def __init__(self, folder: Path, spec: StudySpec, storage: str | None = None) -> None:
        """Open or begin the record in `folder`; storage: an Optuna URL instead of the folder's study.db."""
        self.folder = folder
        self.spec = spec
        self._lock = lock(folder)
        self.storage = open_storage(folder, storage)
        self.trials: dict[str, Trial] = {}
        self.profile: list[dict[str, Any]] = []
        self._studies: dict[str, optuna.Study] = {}
        self._existing = {s.study_name for s in optuna.get_all_study_summaries(self.storage, include_best_trial=False)}
        for cell in [*cells(spec), *cells(spec, "confirm")]:
            if cell.study_name in self._existing:
                self._load(cell)
        if PROFILE in self._existing:
            self.profile = [dict(t.user_attrs) for t in self.study(PROFILE).get_trials(deepcopy=False)]

    def close(self) -> None:
        os.close(self._lock)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading

    def of(self, cell: Cell) -> list[Trial]:
        return [trial for trial in list(self.trials.values()) if trial.cell == cell]

    def in_phase(self, phase: str) -> list[Trial]:
        return [trial for trial in list(self.trials.values()) if trial.cell.phase == phase]

    def running(self, phase: str) -> list[Trial]:
        return [trial for trial in self.in_phase(phase) if trial.state == "running"]

    def settings(self, trial: Trial) -> dict[str, Scalar]:
        """The trial's fixed settings and the values of its dimensions."""
        return self.spec.models[trial.cell.entry].settings | trial.params

    # -- writing

    def study(self, name: str) -> optuna.Study:
        """The Optuna study of this name, begun if there is none."""
        if name in self._studies:
            return self._studies[name]
        if name in self._existing:  # loading writes nothing, so a finished study can be shown from a read-only folder
            study = optuna.load_study(study_name=name, storage=self.storage)
        else:
            directions: list[Any] = (
                ["maximize" if more else "minimize" for more in figures.maximise(self.spec.objectives)]
                if name != PROFILE
                else ["maximize"]
            )
            study = optuna.create_study(study_name=name, storage=self.storage, directions=directions)
        if name != PROFILE and study.metric_names != self.spec.objectives:
            study.set_metric_names(self.spec.objectives)
        self._studies[name] = study
        return study

    def ask(self, cell: Cell, sampler: optuna.samplers.BaseSampler) -> Trial:
        """Begin a search trial with values that the sampler proposes from the trials of its cell."""
        study = self.study(cell.study_name)
        study.sampler = sampler
        asked = study.ask(distributions(self.spec.models[cell.entry]))
        return self._begin(cell, asked, asked.params | dict(cell.factors), self.spec.seed)

    def repeat(self, candidate: Trial, seed: int) -> Trial:
        """Begin a confirm trial: the candidate's settings with another seed."""
        cell = Cell(candidate.cell.entry, candidate.cell.factors, "confirm")
        study = self.study(cell.study_name)
        searched = distributions(self.spec.models[cell.entry])
        study.enqueue_trial({name: candidate.params[name] for name in searched})
        return self._begin(cell, study.ask(searched), candidate.params, seed, candidate.name)

    def _begin(
        self, cell: Cell, asked: optuna.Trial, params: dict[str, Scalar], seed: int, candidate: str | None = None
    ) -> Trial:
        name = f"{cell.name}-{asked.number:03d}" if candidate is None else f"{candidate}-seed{seed}"
        epochs = self.spec.models[cell.entry].epochs
        trial = Trial(name, cell, dict(params), seed, epochs, candidate, optuna_trial=asked)
        trial.started = asked.datetime_start
        for key in ("candidate", "seed", "epochs", "params", "trial"):  # 'trial' last: it marks the rest as written
            asked.set_user_attr(key, name if key == "trial" else getattr(trial, key))
        self.trials[name] = trial
        return trial

    def record(self, trial: Trial, row: dict[str, Any]) -> None:
        """Write one epoch's row; a row of an epoch that is recorded already replaces it."""
        assert trial.optuna_trial is not None
        trial.optuna_trial.set_user_attr(f"{ROW}{row['epoch']:05d}", row)
        trial.rows = [*trial.rows[: row["epoch"] - 1], row]

    def finish(self, trial: Trial, state: str, values: list[float] | None = None, error: str | None = None) -> None:
        """End a trial as 'complete' with its objective values, 'pruned', or 'failed' with the reason."""
        assert trial.optuna_trial is not None
        if error is not None:
            trial.optuna_trial.set_user_attr("error", error)
        optuna_state = next(key for key, name in STATES.items() if name == state)
        frozen = self.study(trial.cell.study_name).tell(trial.optuna_trial, values, optuna_state)
        trial.state, trial.values, trial.error, trial.optuna_trial = state, values, error, None
        trial.finished = frozen.datetime_complete

    def add_profile(self, row: dict[str, Any]) -> None:
        """Write one isolated timing."""
        study = self.study(PROFILE)
        study.add_trial(optuna.create_trial(value=row[self.spec.terms.speed], user_attrs=row))
        self.profile.append(row)

    # -- loading

    def _load(self, cell: Cell) -> None:
        study = self.study(cell.study_name)
        for frozen in study.get_trials(deepcopy=False):
            attrs = frozen.user_attrs
            if "trial" not in attrs:  # died between asking and naming: nothing of it ever ran
                if frozen.state == TrialState.RUNNING:
                    study.tell(frozen.number, state=TrialState.FAIL)
                continue
            trial = Trial(
                attrs["trial"], cell, attrs["params"], attrs["seed"], attrs["epochs"], attrs["candidate"],
                STATES[frozen.state], [attrs[key] for key in sorted(attrs) if key.startswith(ROW)],
                frozen.values, attrs.get("error"), frozen.datetime_start, frozen.datetime_complete,
            )  # fmt: skip
            if trial.state == "running":
                trial.optuna_trial = optuna.Trial(study, frozen._trial_id)
            self.trials[trial.name] = trial


def lock(folder: Path) -> int:
    """Hold the folder for this process (the system lets go of it if the process dies); the descriptor to close."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"{folder}: another run is working in this study folder; wait for it or choose another --name"
        ) from None
    return descriptor


def open_storage(folder: Path, url: str | None) -> optuna.storages.RDBStorage:
    """The Optuna storage of a study folder, or the one at `url`."""
    try:
        return optuna.storages.RDBStorage(url or f"sqlite:///{folder.absolute() / 'study.db'}")
    except Exception as error:  # SQLAlchemy, the database's driver, or a missing driver: many classes, one meaning
        reason = str(error).splitlines()[0]
        raise UserError(f"{url or folder / 'study.db'}: the ledger cannot be opened: {reason}") from error
