"""How samplers are asked for settings, and how a trial that has them is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.cells import Cell
from study.storage import Storage

Memory = dict[str, Any]  # what samplers keep in an Optuna study, such as their place in a sequence


class Proposal(NamedTuple):
    """Settings for a trial, and what the sampler wants to remember with them."""

    trial: FrozenTrial
    memory: Memory

    @classmethod
    def of(cls, params: Mapping[str, object], searched: Mapping[str, BaseDistribution]) -> Proposal:
        """The values that another trial has for what is searched."""
        values = {name: params[name] for name in searched}
        return cls(optuna.create_trial(state=TrialState.RUNNING, params=values, distributions=dict(searched)), {})


class Proposals:
    """The trials of the search in memory, one Optuna study per cell, in the order of the storage.

    Samplers read them there: they would ask the storage for every running trial, with each of their proposals.
    """

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self.directions = directions
        self._storage = InMemoryStorage()
        self._studies: dict[Cell, optuna.Study] = {}

    def _of(self, cell: Cell) -> optuna.Study:
        if cell not in self._studies:
            self._studies[cell] = optuna.create_study(
                storage=self._storage, directions=self.directions, sampler=RandomSampler()
            )
        return self._studies[cell]

    def know(self, cell: Cell, trials: Sequence[FrozenTrial], memory: Memory) -> None:
        """What the storage has of a cell."""
        self._of(cell).add_trials(trials)
        for key, value in memory.items():
            self._storage.set_study_system_attr(self._study_id(cell), key, value)

    def _study_id(self, cell: Cell) -> int:
        return self._storage.get_study_id_from_name(self._of(cell).study_name)

    def _memory(self, cell: Cell) -> Memory:
        return dict(self._storage.get_study_system_attrs(self._study_id(cell)))

    def ask(self, cell: Cell, sampler: BaseSampler, searched: Mapping[str, BaseDistribution]) -> Proposal:
        """The sampler's proposal for the cell's next trial."""
        study, before = self._of(cell), self._memory(cell)
        # The sampler only proposes: what some samplers do after a trial would differ in a resumed study, or raise here.
        idle, study.sampler = study.sampler, sampler
        try:
            number = study.ask(dict(searched)).number
        finally:
            study.sampler = idle
        changed = {key: value for key, value in self._memory(cell).items() if before.get(key) != value}
        return Proposal(study.get_trials(deepcopy=False)[number], changed)

    def tell(self, cell: Cell, number: int, values: Sequence[float] | None, state: TrialState) -> None:
        """How a proposal ended."""
        self._of(cell).tell(number, values, state)


def write_running(storage: Storage, study: str, proposal: Proposal, attributes: Mapping[str, object]) -> int:
    """Write a proposal as a running trial of the study with these user attributes; its id.

    One without attributes never began: a writing whose answer was lost is repeated.
    """
    proposed = proposal.trial
    trial = optuna.create_trial(
        state=TrialState.RUNNING,
        params=proposed.params,
        distributions=proposed.distributions,
        user_attrs=proposed.user_attrs,
        system_attrs=proposed.system_attrs,
    )
    trial.datetime_start = proposed.datetime_start
    study_id = storage.get_study_id_from_name(study)
    for key, value in proposal.memory.items():
        storage.set_study_system_attr(study_id, key, value)
    recorded_as: int = storage.create_new_trial(study_id, trial)
    storage.set_trial_user_attrs(recorded_as, attributes)
    return recorded_as
