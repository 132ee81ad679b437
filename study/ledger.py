"""The ledger: the Optuna storage of a study is its only record; memory mirrors what was written.

There is one Optuna study for each cell of the search, one for each cell of the confirm phase, and one ('profile') whose
trials are the isolated timings. A trial's rows, one per epoch, are user attributes: Optuna forbids intermediate values
with several objectives. Every write goes to the storage first, so a process that dies leaves the truth behind.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from models.engines import EAGER
from record.folder import CONFIRM, PROFILE, RUNNING, SEARCH, StudyFolder
from record.ledger import IDENTITY, ROW, STATES
from study.address import masked
from study.asking import Proposal, Proposals, write_running
from study.cells import Cell, cells, directions, distributions
from study.identity import identify
from study.lease import Lease, lock
from study.lessons import Lessons
from study.pace import at_usual_pace
from study.space.dimensions import Scalar
from study.space.schema import StudySpec
from study.storage import close_to_one_file, let_readers_in, open_storage, opening
from trainables.task import Figures

OPTUNA_STATES = {name: TrialState[state] for state, name in STATES.items()}
NAME = "trial"  # user attribute of a trial, without which it never began
LESSONS = "lessons"  # user attribute of the Optuna study of the isolated timings


def number(row: Figures, name: str) -> float:
    """A figure of a row that is always a number."""
    value = row[name]
    assert isinstance(value, int | float), f"{name} is {value!r}"
    return value


@dataclass
class Trial:
    """What the ledger knows of one training."""

    name: str
    cell: Cell
    params: dict[str, Scalar]  # the values of all its dimensions, factors included
    seed: int
    epochs: int  # its budget
    candidate: str | None = None  # in the confirm phase: the search trial that it repeats
    learnt_from: str | None = None  # the trial of an earlier study whose settings it tries, STUDY/TRIAL
    state: str = RUNNING
    rows: list[Figures] = field(default_factory=list)
    values: list[float] | None = None  # of the objectives, once it is complete
    error: str | None = None
    interruptions: int = 0  # times that its worker died
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    recorded_as: int | None = field(default=None, repr=False)  # its id in the storage, while it runs
    proposal: int = 0  # its number among the cell's proposals, of a search trial

    @property
    def last(self) -> Figures:
        return self.rows[-1] if self.rows else {}

    def attributes(self) -> dict[str, object]:
        """What Optuna does not record by itself."""
        return {
            **({} if self.learnt_from is None else {"learnt_from": self.learnt_from}),
            "candidate": self.candidate, "seed": self.seed, "epochs": self.epochs, "params": self.params,
            NAME: self.name,
        }  # fmt: skip


@dataclass(frozen=True)
class IsolatedTiming:
    """One setting of a model entry, timed alone."""

    model: str
    phase: str
    point: dict[str, Scalar]  # the dimensions that change the speed
    settings: dict[str, Scalar]  # those and the fixed ones
    figures: Figures  # of eager PyTorch
    engines: dict[str, Figures] = field(
        default_factory=dict
    )  # of the other engines: of inference, or why it is refused

    def attributes(self) -> dict[str, object]:
        """The record: the figures stand beside the other fields."""
        return {
            "model": self.model, "phase": self.phase, "point": self.point, "settings": self.settings, **self.figures,
            **({"engines": self.engines} if self.engines else {}),
        }  # fmt: skip

    def by_engine(self) -> dict[str, Figures]:
        return {EAGER: self.figures, **self.engines}

    @classmethod
    def read(cls, attributes: dict[str, Any]) -> IsolatedTiming:
        rest = dict(attributes)
        others = rest.pop("engines", {})
        return cls(rest.pop("model"), rest.pop("phase"), rest.pop("point"), rest.pop("settings"), rest, others)


class Ledger:
    """The record of one study. Only the driver process writes it; a lock on the folder keeps a second driver out."""

    def __init__(self, folder: Path, spec: StudySpec, storage: str | None = None, fresh: bool = False) -> None:
        """Open or create the record in `folder`; storage: an Optuna URL instead of the folder's study.db.

        fresh: without what is left of a study that never began.

        Raises UserError where it cannot be opened, is another study's, or another run writes it.
        """
        self.folder = StudyFolder(folder)
        self.spec = spec
        self.address = None if storage is None else masked(storage)
        self.trials: dict[str, Trial] = {}
        self._by_cell: dict[Cell, list[Trial]] = {}
        self.timings: list[IsolatedTiming] = []  # at the machine's usual pace
        self._recorded: list[IsolatedTiming] = []  # as they were made
        self.lessons = Lessons()
        self._studies: dict[str, optuna.Study] = {}
        self._proposals = Proposals(directions(spec))
        self._unnamed: list[tuple[Cell, int]] = []  # proposals whose driver died: nothing of them ever ran
        self._lease: Lease | None = None
        self._held = False
        self._lock = lock(self.folder)
        try:
            self.storage = open_storage(self.folder, storage)
            with opening(self.folder, storage):
                self.identity, self._existing = identify(self.folder, self.storage, self.address, fresh)
                self._load_all()
        except BaseException:
            os.close(self._lock)
            raise

    def hold(self) -> None:
        """Become the one driver that writes this ledger. Raises UserError where another one does."""
        if self.address is None:
            let_readers_in(self.folder)
        else:
            self._lease = Lease(self.study(PROFILE))
        self._held = True
        for cell, number_of_trial in self._unnamed:
            self.study(cell.study_name).tell(number_of_trial, state=TrialState.FAIL)
            if cell.phase == SEARCH:
                self._proposals.tell(cell, number_of_trial, None, TrialState.FAIL)
        self._unnamed = []

    def close(self) -> None:
        try:
            if self._lease is not None:
                self._lease.release()
            self.storage.engine.dispose()
            if self._held and self.address is None:
                close_to_one_file(self.folder)
        finally:
            os.close(self._lock)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading

    def of(self, cell: Cell) -> list[Trial]:
        return [*self._by_cell.get(cell, [])]

    def of_entry(self, entry: str) -> list[Trial]:
        return [trial for cell, trials in self._by_cell.items() if cell.entry == entry for trial in trials]

    def in_phase(self, phase: str, *states: str) -> list[Trial]:
        """The trials of a phase, of these states or of any."""
        trials = [trial for trial in list(self.trials.values()) if trial.cell.phase == phase]
        return [trial for trial in trials if trial.state in states] if states else trials

    def settings(self, trial: Trial) -> dict[str, Scalar]:
        """The trial's fixed settings and the values of its dimensions."""
        return self.spec.models[trial.cell.entry].settings | trial.params

    # -- writing

    def study(self, name: str) -> optuna.Study:
        """The Optuna study of this name, created if it does not exist."""
        if name in self._studies:
            return self._studies[name]
        if name in self._existing:  # loading writes nothing, so a finished study can be shown from a read-only folder
            known = self._existing[name]
            study = optuna.load_study(study_name=known, storage=self.storage, sampler=RandomSampler())
        else:
            better = directions(self.spec) if name != PROFILE else [StudyDirection.MAXIMIZE]
            whole = name if self.address is None else f"{self.folder.name}-{self.identity[:8]}/{name}"
            study = optuna.create_study(
                study_name=whole, storage=self.storage, directions=better, sampler=RandomSampler()
            )
            study.set_user_attr(IDENTITY, self.identity)
        if name != PROFILE and study.metric_names != self.spec.objectives:
            study.set_metric_names(self.spec.objectives)
        self._studies[name] = study
        return study

    def teach(self, lessons: Lessons) -> None:
        """Record what the study learns from earlier ones, which it never learns again."""
        self.study(PROFILE).set_user_attr(LESSONS, lessons.recorded())
        self.lessons = lessons

    def ask(self, cell: Cell, sampler: BaseSampler, learnt_from: str | None = None) -> Trial:
        """Start a search trial with values that the sampler proposes from the trials of its cell."""
        proposal = self._proposals.ask(cell, sampler, distributions(self.spec.models[cell.entry]))
        trial = self._start(cell, proposal, self.spec.seed, learnt_from=learnt_from)
        trial.proposal = proposal.trial.number
        return trial

    def repeat(self, candidate: Trial, seed: int) -> Trial:
        """Start a confirm trial: the candidate's settings with another seed."""
        cell = Cell(candidate.cell.entry, candidate.cell.factors, CONFIRM)
        proposal = Proposal.of(candidate.params, distributions(self.spec.models[cell.entry]))
        return self._start(cell, proposal, seed, candidate.name)

    def _start(
        self,
        cell: Cell,
        proposal: Proposal,
        seed: int,
        candidate: str | None = None,
        learnt_from: str | None = None,
    ) -> Trial:
        # Not Optuna's number, which counts proposals that a driver did not live to name.
        name = f"{cell.name}-{len(self.of(cell)):03d}" if candidate is None else f"{candidate}-seed{seed}"
        params, epochs = proposal.trial.params | dict(cell.factors), self.spec.models[cell.entry].epochs
        trial = Trial(name, cell, params, seed, epochs, candidate, learnt_from, started=proposal.trial.datetime_start)
        trial.recorded_as = write_running(
            self.storage, self.study(cell.study_name).study_name, proposal, trial.attributes()
        )
        self._add(trial)
        return trial

    def _add(self, trial: Trial) -> None:
        self.trials[trial.name] = trial
        self._by_cell.setdefault(trial.cell, []).append(trial)

    def record(self, trial: Trial, row: Figures) -> None:
        """Write the row of the trial's next epoch.

        A row that is recorded already stays: a training that started again from a checkpoint computes it once more, and
        only its note is news.
        """
        epoch = int(number(row, "epoch"))
        if known := trial.rows[epoch - 1 : epoch]:
            if "note" not in row:
                return
            row = known[0] | {"note": row["note"]}
        self._write(trial, {f"{ROW}{epoch:05d}": row})
        trial.rows = [*trial.rows[: epoch - 1], row, *trial.rows[epoch:]]

    def count_interruption(self, trial: Trial) -> None:
        """Record that the trial's worker died, which is not the trial's fault."""
        trial.interruptions += 1
        self._write(trial, {"interruptions": trial.interruptions})

    def _write(self, trial: Trial, attributes: Mapping[str, object]) -> None:
        assert trial.recorded_as is not None, f"{trial.name} has ended"
        self.storage.set_trial_user_attrs(trial.recorded_as, attributes)

    def finish(
        self,
        trial: Trial,
        state: str,
        values: list[float] | None = None,
        error: str | None = None,
        traceback: str | None = None,
    ) -> None:
        """End a trial as complete with its objective values, as pruned, or as failed with the reason."""
        assert trial.recorded_as is not None, f"{trial.name} has ended"
        reasons = {"traceback": traceback, "error": error}
        if given := {key: text for key, text in reasons.items() if text is not None}:
            self._write(trial, given)
        self.storage.set_trial_state_values(trial.recorded_as, OPTUNA_STATES[state], values)
        trial.finished = self.storage.get_trial(trial.recorded_as).datetime_complete
        if trial.cell.phase == SEARCH:
            self._proposals.tell(trial.cell, trial.proposal, values, OPTUNA_STATES[state])
        trial.state, trial.values, trial.error, trial.recorded_as = state, values, error, None

    def add_timing(self, timing: IsolatedTiming) -> None:
        value = number(timing.figures, self.spec.terms.speed)
        self.study(PROFILE).add_trial(optuna.create_trial(value=value, user_attrs=timing.attributes()))
        self._know([timing])

    def _know(self, timings: list[IsolatedTiming]) -> None:
        self._recorded += timings
        self.timings[:] = at_usual_pace(self._recorded)

    # -- loading

    def _load_all(self) -> None:
        """Read what the ledger holds."""
        for cell in [*cells(self.spec), *cells(self.spec, CONFIRM)]:
            if cell.study_name in self._existing:
                self._load(cell)
        if PROFILE in self._existing:
            if recorded := self.study(PROFILE).user_attrs.get(LESSONS):
                self.lessons = Lessons.read(recorded)
            timings = [
                IsolatedTiming.read(trial.user_attrs) for trial in self.study(PROFILE).get_trials(deepcopy=False)
            ]
            # One that stands there twice was written again after its first writing had no answer.
            self._know([timing for i, timing in enumerate(timings) if timing not in timings[:i]])

    def _load(self, cell: Cell) -> None:
        study = self.study(cell.study_name)
        trials = study.get_trials(deepcopy=False)
        if cell.phase == SEARCH:
            memory = self.storage.get_study_system_attrs(self.storage.get_study_id_from_name(study.study_name))
            self._proposals.know(cell, trials, memory)
        for frozen in trials:
            if NAME in frozen.user_attrs:
                trial = _read(frozen, cell)
                trial.proposal = frozen.number
                if trial.state == RUNNING:
                    trial.recorded_as = frozen._trial_id
                self._add(trial)
            elif frozen.state == TrialState.RUNNING:
                self._unnamed.append((cell, frozen.number))


def _read(frozen: FrozenTrial, cell: Cell) -> Trial:
    """A trial from its record."""
    attrs = frozen.user_attrs
    return Trial(
        attrs[NAME], cell, attrs["params"], attrs["seed"], attrs["epochs"], attrs["candidate"], attrs.get("learnt_from"),
        STATES[frozen.state.name], [attrs[key] for key in sorted(attrs) if key.startswith(ROW)],
        frozen.values, attrs.get("error"), attrs.get("interruptions", 0), frozen.datetime_start, frozen.datetime_complete,
    )  # fmt: skip
