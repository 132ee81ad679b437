"""Which way of searching finds the best model and the front, where the truth is known (surfaces.py).

python -m benchmarks.search_designs --repeats 50 [--designs tpe,RandomSampler] [--budgets 5,12,30]

A search has so many trials per cell; `plain Optuna`, one study over all models that also chooses the model, has as many in
all. Two things are measured: the true accuracy of the trial that looked most accurate, and the hypervolume of the true
values of those that looked like the front of accuracy and log speed, as a share of what the whole surface allows. It counts
from 0.3 below the best accuracy and four fifths of the slowest speed. Designs share seeds and luck, so differences are paired.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from scipy import stats
from scipy.stats import qmc

from analysis.weigh.tradeoff import hypervolume
from benchmarks.figure import Figure, show
from benchmarks.surfaces import CHANCE, SURFACES, Floats, Outcome, Surface, spec
from record.pareto import pareto_mask
from study import search
from study.cells import cells, directions, distributions
from study.search import Problem
from study.search.grid import Point
from study.search.space_filling import value_at
from study.space.dimensions import Scalar
from study.space.schema import StudySpec

BUDGETS = (5, 12, 30)
BELOW_BEST, OF_SLOWEST = 0.3, 0.8  # where the hypervolume counts from
PLAIN, LATIN = "plain Optuna", "Latin hypercube"
Sampler = Callable[[Problem, StudySpec], BaseSampler]


class Trial(NamedTuple):
    model: str
    observed: float  # validation accuracy
    truth: Outcome


def products(name: str, **options: object) -> Sampler:
    """A design that a space can name."""
    return lambda problem, _: search.build(name, options, problem)


def latin_hypercube(problem: Problem, whole: StudySpec) -> BaseSampler:
    points = qmc.LatinHypercube(max(1, len(problem.distributions)), rng=problem.cell_seed).random(whole.trials)
    values = {
        name: value_at(distribution, share)
        for (name, distribution), share in zip(
            problem.distributions.items(), points[problem.number].tolist(), strict=False
        )
    }
    return Point(problem.distributions, values)


# NSGA-II's population is small enough to evolve; the GP starts to learn as early as the others could.
DESIGNS: dict[str, Sampler | None] = {
    search.DEFAULT: products(search.DEFAULT),
    "space_filling": products("space_filling"),
    "RandomSampler": products("RandomSampler"),
    LATIN: latin_hypercube,
    "TPESampler": products("TPESampler"),
    "NSGAIISampler": products("NSGAIISampler", population_size=6),
    "GPSampler": products("GPSampler", n_startup_trials=5),
    PLAIN: None,
}
SLOW, SLOW_REPEATS = {"GPSampler": 12}, 10  # design -> its largest budget here, with few repeats


def run_search(surface: Surface, design: str, trials: int, repeat: int, priced: bool) -> list[list[Trial]]:
    """The trials in the order in which they ran: per round, one of each cell."""
    whole = spec(surface, trials, repeat, priced)
    if (sampler := DESIGNS[design]) is None:
        return run_plain(surface, whole, repeat)
    studies = {cell: optuna.create_study(directions=directions(whole)) for cell in cells(whole)}
    rounds = []
    for number in range(trials):
        row = []
        for i, (cell, study) in enumerate(studies.items()):
            problem = Problem.of(whole, cell, number)
            study.sampler = sampler(problem, whole)
            proposal = study.ask(dict(problem.distributions))
            study.sampler = RandomSampler()
            settings = whole.models[cell.entry].settings | proposal.params
            trial = train(surface, cell.entry, settings, (repeat, i, number))
            study.tell(proposal, objectives(trial, whole))
            row.append(trial)
        rounds.append(row)
    return rounds


def run_plain(surface: Surface, whole: StudySpec, repeat: int) -> list[list[Trial]]:
    """What Optuna's documentation suggests: one study, the model and its own dimensions chosen in the objective."""
    study = optuna.create_study(directions=directions(whole), sampler=TPESampler(seed=repeat))
    rounds = []
    for number in range(whole.trials):
        row = []
        for i in range(len(whole.models)):
            proposal = study.ask()
            model = proposal.suggest_categorical("model", list(whole.models))
            searched = distributions(whole.models[model])
            params = {name: suggest(proposal, f"{model}.{name}", at) for name, at in searched.items()}
            trial = train(surface, model, whole.models[model].settings | params, (repeat, i, number))
            study.tell(proposal, objectives(trial, whole))
            row.append(trial)
        rounds.append(row)
    return rounds


def suggest(proposal: optuna.Trial, name: str, at: BaseDistribution) -> Scalar:
    if isinstance(at, CategoricalDistribution):
        value: Scalar = proposal.suggest_categorical(name, at.choices)  # type: ignore[assignment]
        return value
    assert isinstance(at, FloatDistribution)
    return proposal.suggest_float(name, at.low, at.high, log=at.log)


def train(surface: Surface, model: str, settings: Mapping[str, Scalar], seed: tuple[int, ...]) -> Trial:
    curve = surface.curve(model, settings, np.random.default_rng(seed))
    return Trial(model, float(curve[-1]), surface.truth(model, settings))


def objectives(trial: Trial, whole: StudySpec) -> list[float]:
    return [trial.observed, trial.truth.speed, trial.truth.train_seconds][: len(whole.objectives)]


# -- what a search is worth


class Worth(NamedTuple):
    """Measures of one search; more is better."""

    most_accurate: float  # true accuracy of the trial that looked most accurate
    models: float  # the same of each model, mean; chance where it was not tried
    hypervolume: float  # share of the surface's own


def worth(trials: list[Trial], surface: Surface, whole: StudySpec) -> Worth:
    looked = pareto_mask([[trial.observed, trial.truth.speed] for trial in trials], [True, True])
    chosen = [trial.truth for trial, on_front in zip(trials, looked, strict=True) if on_front]
    of_models = [max((t for t in trials if t.model == m), key=lambda t: t.observed, default=None) for m in whole.models]
    return Worth(
        max(trials, key=lambda trial: trial.observed).truth.accuracy,
        float(np.mean([trial.truth.accuracy if trial else CHANCE for trial in of_models])),
        area(chosen, surface),
    )


def area(outcomes: Sequence[Outcome], surface: Surface) -> float:
    """The hypervolume of accuracy and log speed, as a share of the surface's own."""
    reference, whole = best(surface)
    return _area(outcomes, reference) / whole


def _area(outcomes: Sequence[Outcome], reference: tuple[float, float]) -> float:
    return hypervolume([(o.accuracy, math.log(o.speed)) for o in outcomes], reference, [True, True])


@functools.cache
def best(surface: Surface) -> tuple[tuple[float, float], float]:
    """Where the hypervolume counts from, and what all settings of a surface come to, on an even sample of them."""
    whole = spec(surface, 1, 0, priced=False)
    outcomes = []
    for cell in cells(whole):
        searched = distributions(whole.models[cell.entry])
        for point in qmc.Sobol(len(searched), rng=0).random(1024).tolist():
            values = {name: value_at(at, share) for (name, at), share in zip(searched.items(), point, strict=True)}
            outcomes.append(surface.truth(cell.entry, whole.models[cell.entry].settings | values))
    slowest, most_accurate = min(o.speed for o in outcomes), max(o.accuracy for o in outcomes)
    reference = (most_accurate - BELOW_BEST, math.log(OF_SLOWEST * slowest))
    return reference, _area(outcomes, reference)


Key = tuple[str, bool, str, int]  # surface, priced, design, budget


def compare(
    designs: Sequence[str], budgets: Sequence[int], repeats: int, surfaces: Sequence[Surface] = SURFACES
) -> dict[Key, Floats]:
    """(repeats, measures) of each surface, price, design and budget."""
    results: dict[Key, Floats] = {}
    for surface, priced, design in itertools.product(surfaces, (True, False), designs):
        allowed = [budget for budget in budgets if budget <= SLOW.get(design, budget)]
        found: dict[int, list[Worth]] = {budget: [] for budget in allowed}
        for repeat in range(repeats if design not in SLOW else min(repeats, SLOW_REPEATS)):
            for budget, rounds in searches(surface, design, allowed, repeat, priced).items():
                whole = spec(surface, budget, repeat, priced)
                found[budget].append(worth(list(itertools.chain(*rounds)), surface, whole))
        results |= {(surface.name, priced, design, budget): np.array(found[budget]) for budget in allowed}
    return results


def searches(
    surface: Surface, design: str, budgets: Sequence[int], repeat: int, priced: bool
) -> dict[int, list[list[Trial]]]:
    """The trials of each budget. Most designs do not know theirs: the smaller search is the start of the larger one."""
    if design == LATIN:
        return {budget: run_search(surface, design, budget, repeat, priced) for budget in budgets}
    rounds = run_search(surface, design, max(budgets), repeat, priced)
    return {budget: rounds[:budget] for budget in budgets}


def lines(results: Mapping[Key, Floats]) -> Iterator[str]:
    """A table: the default's means, and each other design's paired differences from it with 95 % intervals."""
    for (surface, priced, design, budget), values in results.items():
        default = results[surface, priced, search.DEFAULT, budget][: len(values)]
        shown = [
            f"{mean:.4f}" if design == search.DEFAULT else f"{mean:+.4f} +- {half:.4f}"
            for mean, half in (
                interval(column if design == search.DEFAULT else column - own)
                for column, own in zip(values.T, default.T, strict=True)
            )
        ]
        objectives = "3 objectives" if priced else "2 objectives"
        yield f"| {surface} | {objectives} | {budget} | {design} | " + " | ".join(shown) + f" | {len(values)} |"


def interval(differences: Floats) -> tuple[float, float]:
    """(mean, half the width of its 95 % interval)."""
    half = float(stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1))
    return float(differences.mean()), half


def lead(results: Mapping[Key, Floats], rival: str, budget: int, measure: str = "hypervolume") -> Floats:
    """What the default has over a rival, per repeat: the mean over surfaces and objectives."""
    column = Worth._fields.index(measure)
    rivals = {
        (surface, priced): v for (surface, priced, design, b), v in results.items() if (design, b) == (rival, budget)
    }
    defaults = {problem: results[*problem, search.DEFAULT, budget][: len(values)] for problem, values in rivals.items()}
    return np.mean([(defaults[problem] - values)[:, column] for problem, values in rivals.items()], axis=0)


def leads(results: Mapping[Key, Floats]) -> Iterator[Figure]:
    """The default's lead over each other design, in points."""
    for design, budget in dict.fromkeys(
        (design, budget) for _, _, design, budget in results if design != search.DEFAULT
    ):
        means = {measure: interval(lead(results, design, budget, measure)) for measure in Worth._fields}
        name = f"hypervolume after {budget} trials per cell: the default's lead over {design}"
        others = "; ".join(f"{measure} {points(*means[measure])}" for measure in Worth._fields[:2])
        ahead = means["hypervolume"][0] > 0
        yield Figure(name, f"{points(*means['hypervolume'])} points ({others})", "above 0", ahead)


def points(mean: float, half: float) -> str:
    return f"{100 * mean:+.2f} +- {100 * half:.2f}"


def run(repeats: int = 4) -> Iterator[Figure]:
    """The default against what it must not be worse than; `--repeats 50` tells more apart."""
    yield from leads(compare([search.DEFAULT, "TPESampler", "RandomSampler", PLAIN], BUDGETS, repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50, help="searches of each kind, 2 or more")
    parser.add_argument("--designs", default=",".join(DESIGNS))
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    given = parser.parse_args()
    designs = dict.fromkeys([search.DEFAULT, *given.designs.split(",")])
    results: dict[Key, Floats] = {}
    print("| surface | objectives | trials per cell | design | most accurate | each model's | hypervolume | repeats |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for surface in SURFACES:
        of_surface = compare(
            list(designs), [int(budget) for budget in given.budgets.split(",")], given.repeats, [surface]
        )
        for line in lines(of_surface):
            print(line, flush=True)
        results |= of_surface
    show(leads(results))


if __name__ == "__main__":
    main()
