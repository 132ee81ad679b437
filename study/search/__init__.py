"""The algorithm that proposes a trial's settings: a class of optuna.samplers, or a file of this folder.

    sampler: {name: GPSampler, n_startup_trials: 6}   # a class of optuna.samplers; its parameters are the options
    sampler: {name: my_search, temperature: 0.5}      # study/search/my_search.py

A file defines `def build(problem: Problem, ...) -> BaseSampler`; its other parameters are the options. A sampler is built
anew for every proposal and then discarded, and its `after_trial` is never called: whatever it remembers must lie in the
Optuna study or follow from the problem. That is why a resumed study proposes what an uninterrupted one would.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection

from record.errors import UserError, nearest, one_line
from study.cells import Cell, cells, directions, distributions
from study.space.schema import StudySpec

DEFAULT = "tpe"
# Optuna's classes that walk a sequence are replaced: rebuilt for every proposal, they would lose their place.
REPLACED = {"GridSampler": "grid", "QMCSampler": "qmc"}
REHEARSED_TRIALS = 14  # Optuna's learning samplers start to learn after ten complete trials
PLAIN = {"bool", "int", "float", "str", "None", "dict", "list", "Any"}  # what a space can write


@dataclass(frozen=True)
class Problem:
    """What a sampler is built for: the next proposal in one cell."""

    distributions: Mapping[str, BaseDistribution]
    dimensions: frozenset[str]  # names that are searched in any cell of the study
    directions: tuple[StudyDirection, ...]  # by objective
    trials: int  # the budget of the cell
    number: int  # of trials that the sampler proposed for the cell already
    study_seed: int  # the same for all cells
    cell_seed: int  # the same for all trials of the cell
    trial_seed: int  # another for each trial
    taught: int = 0  # trials of the cell that tried settings of earlier studies instead

    @classmethod
    def of(cls, spec: StudySpec, cell: Cell, number: int, taught: int = 0) -> Problem:
        seeds = [spec.seed, cells(spec).index(cell)]
        return cls(
            distributions(spec.models[cell.entry]),
            frozenset(name for entry in spec.models.values() for name in entry.search),
            tuple(directions(spec)),
            spec.trials,
            number,
            spec.seed,
            _seed(*seeds),
            _seed(*seeds, number),
            taught,
        )


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def names() -> list[str]:
    """What `sampler.name` may be."""
    return sorted({*_files(), *_classes()} - set(REPLACED.values()))


def build(name: str, options: Mapping[str, object], problem: Problem) -> BaseSampler:
    """The sampler of one proposal. Raises UserError for an unknown name or option, else whatever the sampler raises."""
    if (file := REPLACED.get(name, name)) in _files():
        builder = importlib.import_module(f"study.search.{file}").build
        _, *parameters = inspect.signature(builder).parameters.values()  # the first is the problem
        return builder(problem, **_checked(name, options, parameters))
    if name not in _classes():
        raise UserError(f"name: unknown '{name}'; {nearest(name, names())}")
    sampler = _classes()[name]
    parameters = list(inspect.signature(sampler).parameters.values())
    given = _checked(name, options, [parameter for parameter in parameters if _settable(parameter)])
    return sampler(**_ours(parameters, problem) | given)


def check(name: str, options: Mapping[str, object], spec: StudySpec, where: str) -> None:
    """Raise UserError unless the sampler works for every model entry of the study: it is rehearsed in memory,
    once for all entries that search the same dimensions.

    where: how the message starts, such as "my.yaml: sampler".
    """
    rehearsed: list[Mapping[str, BaseDistribution]] = []
    for entry in spec.models:
        cell = next(cell for cell in cells(spec) if cell.entry == entry)
        searched = distributions(spec.models[entry])
        if searched in rehearsed:
            continue
        rehearsed.append(searched)
        try:
            _rehearse(name, options, spec, cell)
        except UserError as error:
            raise UserError(f"{where}.{error}") from error
        except Exception as error:  # whatever a class of Optuna or a user's own file raises when it is misused
            if _takes_one_objective(name, options, spec, cell):
                raise UserError(
                    f"{where}: {name} searches for one objective, but this study has {len(spec.objectives)} "
                    f"({', '.join(spec.objectives)}); choose another sampler or name one objective"
                ) from error
            raise UserError(f"{where}: {name} cannot search models.{entry}: {one_line(error)}") from error


def _rehearse(name: str, options: Mapping[str, object], spec: StudySpec, cell: Cell) -> None:
    """Ask and tell in memory. One trial is pruned and one keeps running, as happens in a study."""
    random = np.random.default_rng(0)
    study = optuna.create_study(directions=directions(spec))
    for number in range(min(REHEARSED_TRIALS, spec.trials)):
        problem = Problem.of(spec, cell, number)
        study.sampler = build(name, options, problem)
        trial = study.ask(dict(problem.distributions))
        study.sampler = RandomSampler()
        if number == 1:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif number != 2:
            study.tell(trial, random.random(len(spec.objectives)).tolist())


def _takes_one_objective(name: str, options: Mapping[str, object], spec: StudySpec, cell: Cell) -> bool:
    """Whether a sampler that fails would work if the study had its first objective alone."""
    try:
        _rehearse(name, options, spec.model_copy(update={"objectives": spec.objectives[:1]}), cell)
    except Exception:
        return False
    return len(spec.objectives) > 1


def _files() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)}


def _classes() -> dict[str, Callable[..., BaseSampler]]:
    return {
        name: value
        for name, value in vars(optuna.samplers).items()
        if inspect.isclass(value) and issubclass(value, BaseSampler) and not inspect.isabstract(value)
    }


def _settable(parameter: inspect.Parameter) -> bool:
    """Whether a space can set a parameter of Optuna's class: it is not a function or an object, nor set by the study."""
    return set(re.findall(r"\w+", str(parameter.annotation))) <= PLAIN and parameter.name != "seed"


def _ours(parameters: Sequence[inspect.Parameter], problem: Problem) -> dict[str, object]:
    """The parameters of Optuna's class that the study sets."""
    values: dict[str, object] = {
        "seed": problem.trial_seed,
        "independent_sampler": RandomSampler(seed=problem.trial_seed),
    }
    ours = {parameter.name: values[parameter.name] for parameter in parameters if parameter.name in values}
    # What a sampler cannot model it draws at random, and would say so for every trial.
    warns = any(p.name == "warn_independent_sampling" and p.default is True for p in parameters)
    return ours | {"warn_independent_sampling": False} if warns else ours


def _checked(name: str, options: Mapping[str, object], parameters: Sequence[inspect.Parameter]) -> dict[str, object]:
    """The options with the types of the parameters' defaults; UserError for an unknown one or another type."""
    defaults = {parameter.name: parameter.default for parameter in parameters}
    checked: dict[str, object] = {}
    for option, value in options.items():
        if option == "seed" and option not in defaults:
            raise UserError("seed: samplers are seeded by the study; set `seed` at the top of the space")
        if option not in defaults:
            raise UserError(f"{option}: unknown option of {name}; {nearest(option, defaults)}")
        checked[option] = value = _number(value)
        default = defaults[option]
        kinds = (int, float) if isinstance(default, float) else type(default)
        if default not in (None, inspect.Parameter.empty) and not isinstance(value, kinds):
            raise UserError(f"{option}: {name} takes a value of type {type(default).__name__}, got {value!r}")
    return checked


def _number(value: object) -> object:
    """YAML reads 1e-3 as text."""
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) else value
        except ValueError:
            continue
    return value
