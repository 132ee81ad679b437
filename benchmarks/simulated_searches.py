"""What the study says of a search (its best, its trend, its settings), judged where the truth is known.

python -m benchmarks.simulated_searches

A trial's setting has an accuracy, its seed deviates from that normally, and the validation images add their luck: an image
is hard for all trials or by chance (55 and 45 % of the variance). Settings lie below the best possible one by an
exponentially distributed amount. Two models that are compared lie on surfaces of the kind that benchmarks/surfaces.py has.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.stats import qmc

from analysis.weigh.expected_best import expected_best
from analysis.weigh.importance import MIN_TRIALS, fanova
from analysis.weigh.scaling import EXTRAPOLATED, power_law
from analysis.weigh.statistics import Floats, wilson_interval
from analysis.weigh.tuning import last_gain, spread_of_best
from benchmarks.figure import Figure, at_least, at_most, show
from benchmarks.simulated_answers import HARD_FOR_ALL, simulate, told_apart
from benchmarks.surfaces import Learner, Simulated, spec
from study.cells import cells, distributions
from study.search import Problem, space_filling
from study.space.dimensions import Scalar

SHAPES: tuple[Callable[[Floats], Floats], ...] = (lambda x: -((x - 0.6) ** 2), lambda x: x, lambda x: -np.exp(-6 * x))
SEARCHES = 300  # of each kind
BEST = 0.9
NOISE, NEAR = 0.006, 0.05  # of two models: standard deviation over seeds; of a range, where a setting is no other one
LOWEST, HIGHEST = 1e-4, 1e-2  # learning rates
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lr": ({}, {}),
    "lr, one merges": ({}, {"merges": True, "merging_loss": 0.15}),
    "lr and weight decay": ({"decay_width": 0.8}, {"decay_width": 1.0}),
    "weight decay, and lr in other ranges": (
        {"decay_width": 0.8},
        {"decay_width": 1.0, "lowest": 10 * LOWEST, "highest": 10 * HIGHEST},
    ),
}
SPREADS, DEVIATIONS, IMAGES, TRIALS = (0.0, 0.01, 0.05), (0.002, 0.01), (360, 1000, 5000), (4, 10, 30)


def search(
    trials: int, images: int, spread: float, deviation: float, random: np.random.Generator
) -> tuple[Floats, ...]:
    """(accuracies of the settings, of the models that were trained, as measured in validation), one per trial each."""
    settings = BEST - spread * random.exponential(size=trials)
    trained = settings + deviation * random.normal(size=trials)
    hardness = math.sqrt(HARD_FOR_ALL) * random.standard_normal(images, dtype=np.float32)
    chance = math.sqrt(1 - HARD_FOR_ALL) * random.standard_normal((trials, images), dtype=np.float32)
    reached = stats.norm.ppf(np.clip(trained, 0.01, 0.999))
    return settings, trained, (hardness + chance < reached[:, None]).mean(axis=1)


def run() -> Iterator[Figure]:
    yield unconfirmed()
    yield from still_gaining()
    yield from false_winners()
    yield from extrapolations()
    yield from importances()


def unconfirmed() -> Figure:
    """Intervals of the best of a search that was not confirmed: none holds, so none is shown."""
    held: list[float] = []
    together: list[float] = []
    optimism: list[float] = []
    for kind in itertools.product(TRIALS, IMAGES, SPREADS, DEVIATIONS):
        random = np.random.default_rng(len(held))
        outcomes = []
        for _ in range(SEARCHES // 3):
            settings, _, measured = search(*kind, random)
            best, images = measured.argmax(), kind[1]
            levels = 0.95, 1 - 0.05 / len(measured)
            ends = [wilson_interval(measured[best] * images, images, level) for level in levels]
            outcomes.append([*(low <= settings[best] <= high for low, high in ends), measured[best] - settings[best]])
        one, all_trials, gap = np.mean(outcomes, axis=0)
        held.append(one)
        together.append(all_trials)
        optimism.append(gap)
    return Figure(
        "unconfirmed best: intervals that hold its setting's accuracy",
        f"none is shown; before (Wilson's) {np.mean(held):.2f}, {min(held):.2f} to {max(held):.2f} by kind of search; one for "
        f"all trials together {np.mean(together):.2f}, {min(together):.2f} to {max(together):.2f}; optimistic by "
        f"{100 * np.mean(optimism):.1f} points, at most {100 * max(optimism):.1f}",
    )


def still_gaining() -> Iterator[Figure]:
    """How often the last third of 12 trials is said to have gained still, where nothing is to be gained and where much is."""
    random, images, trials = np.random.default_rng(0), 1000, 12
    for spread, deviation in ((0.0, 0.01), (0.5, 0.002)):
        said, gained = [], []
        for _ in range(2 * SEARCHES):
            settings, _, measured = search(trials + 4, images, spread, deviation, random)
            luck = max(deviation, math.sqrt(BEST * (1 - BEST) / images))
            said.append(last_gain(measured[:trials]) > luck)
            gained.append(expected_best(settings, trials + 4) - expected_best(settings, trials))
        name = f"searches said to be still gaining, where {trials // 3} more trials gain {100 * abs(np.mean(gained)):.1f} points"
        yield at_most(name, float(np.mean(said)), 0.05, "") if spread == 0 else Figure(name, f"{np.mean(said):.2f}")


class Tried(NamedTuple):
    """A trial of one of two models."""

    settings: dict[str, Scalar]
    observed: float  # validation accuracy
    truth: float


Pair = tuple[list[Tried], list[Tried]]  # the trials of two models


def false_winners(searches: int = SEARCHES // 5) -> Iterator[Figure]:
    """How often one of two models is called the more accurate one, where both are equal at their best settings, and where it
    is by 10 points: if seeds and images decide alone, and if its lead must exceed the spread of the other's best trials.

    Both try the same values. Beside it, what trials after the search would help: the rival's best values of the searched
    settings that both have, with its own best of the others, in the model that is behind, unless it has tried them
    ("follow-up"); or one more trial of each model as the search proposes it.
    """
    for trials in (2, 4, 8, 12):
        equal, apart = (
            np.array([called(kind, gap, trials, seed) for kind in PAIRS for seed in range(searches)])
            for gap in (0.0, 0.1)
        )
        false, wrong, right = (equal[:, :4] >= 0).mean(axis=0), (apart == 1).mean(axis=0), (apart == 0).mean(axis=0)
        name = f"equal models of which one is called more accurate after {trials} trials per cell"
        note = (
            f" (by seeds and images alone {false[1]:.2f}; the same with a follow-up, {equal[:, 4].mean():.2f} trials per "
            f"cell, {false[2]:.2f}, with one more trial per cell {false[3]:.2f}); of models 10 points apart the better one "
            f"is called so in {right[0]:.2f} ({right[1]:.2f}), the worse one in {wrong[0]:.2f} ({wrong[1]:.2f}; {wrong[2]:.2f}; "
            f"{wrong[3]:.2f})"
        )
        yield at_most(name, float(false[0]), 0.1, "", note)


def called(kind: str, gap: float, trials: int, seed: int) -> list[float]:
    """Which of two models, the first better by `gap`, is called the more accurate one, -1 for none: by the study, by seeds and
    images alone, the same after a follow-up, after one more trial of each; and the trials per cell of the follow-up."""
    random = np.random.default_rng([seed, 7])
    decades, widths = random.uniform(0.3, 1.7) + random.normal(0, 0.2, 2), random.uniform(0.35, 0.8, 2)
    learners = {}
    for i, own in enumerate(PAIRS[kind]):
        best_lr = own.get("lowest", LOWEST) * 10 ** decades[i]
        ranges = {"lowest": LOWEST, "highest": HIGHEST} | own
        learners[f"model{i}"] = Learner(
            best_lr, widths[i], BEST - gap * i, speed=200, size_exponent=0, patience=1.5, **ranges
        )
    surface = Simulated(kind, learners, (2000,), NOISE)
    longer = _search_pair(surface, trials + 1, seed)
    pair = longer[0][:trials], longer[1][:trials]
    followed, extra = _followed_up(surface, pair, seed)
    (winner, lead), (after, _), (more, _) = (_winner(each, seed) for each in (pair, followed, longer))
    behind = np.array([trial.observed for trial in pair[winner == 0]])
    return [winner if lead > spread_of_best(behind) else -1, winner, after, more, extra / 2]


def _search_pair(surface: Simulated, trials: int, seed: int) -> Pair:
    whole = spec(surface, trials, seed, priced=False)
    first, second = (
        [
            _try(surface, cell.entry, space_filling.build(Problem.of(whole, cell, n)).values, (seed, i, n))
            for n in range(trials)
        ]
        for i, cell in enumerate(cells(whole))
    )
    return first, second


def _try(surface: Simulated, model: str, settings: dict[str, Scalar], seed: tuple[int, ...]) -> Tried:
    whole = settings | {"train_size": max(surface.sizes)}
    curve = surface.curve(model, whole, np.random.default_rng(seed))
    return Tried(settings, float(curve[-1]), surface.truth(model, whole).accuracy)


def _followed_up(surface: Simulated, pair: Pair, seed: int) -> tuple[Pair, int]:
    """The trials with one more of the model that is behind, unless it has tried that."""
    whole = spec(surface, 1, seed, priced=False)
    best = [max(trials, key=lambda trial: trial.observed) for trials in pair]
    behind = int(best[0].observed > best[1].observed)
    ranges, theirs = (distributions(whole.models[f"model{i}"]) for i in (behind, 1 - behind))
    shared = {n: v for n, v in best[1 - behind].settings.items() if ranges.get(n) == theirs[n]}
    settings = best[behind].settings | shared

    def place(name: str, value: Scalar) -> float:
        low, high, log = (getattr(ranges[name], key) for key in ("low", "high", "log"))
        return math.log(float(value) / low) / math.log(high / low) if log else (float(value) - low) / (high - low)

    if any(all(abs(place(n, v) - place(n, settings[n])) <= NEAR for n, v in t.settings.items()) for t in pair[behind]):
        return pair, 0
    trial = _try(surface, f"model{behind}", settings, (seed, behind, 1000))
    return (([*pair[0], trial], pair[1]) if behind == 0 else (pair[0], [*pair[1], trial])), 1


def _winner(pair: Pair, seed: int) -> tuple[int, float]:
    """(the model whose best trial is told to be more accurate after its confirmation, or -1; by how much)."""
    chosen = [max(trials, key=lambda trial: trial.observed).truth for trials in pair]
    study = simulate(chosen, 1000, NOISE, np.random.default_rng([seed, 9]))
    told = told_apart(study)
    return told[0][0] if told else -1, float(abs(np.diff(study.test.mean(axis=(1, 2)))[0]))


def extrapolations() -> Iterator[Figure]:
    """Intervals of one more training beyond the largest size, where the error follows a power law down to a floor."""
    held: dict[tuple[int, float, float], Floats] = {}  # kind -> shares (now and before, multiples)
    for kind in itertools.product((3, 4, 5, 6), (0.0, 0.01, 0.03, 0.08), (0.002, 0.01)):
        random = np.random.default_rng(len(held))
        held[kind] = np.mean([_extrapolation(*kind, random) for _ in range(SEARCHES)], axis=0)
    for i, times in enumerate(EXTRAPOLATED):
        now, before = ({kind: float(shares[j, i]) for kind, shares in held.items()} for j in (0, 1))
        of_sizes = [np.mean([share for kind, share in before.items() if kind[0] == size]) for size in (3, 4, 5, 6)]
        worst = min(now, key=lambda kind: now[kind])
        note = (
            f" in the worst kind ({worst[0]} sizes, floor {worst[1]:.0%}, seeds {100 * worst[2]:g} points), "
            f"{np.mean(list(now.values())):.2f} on average (before, with 3 to 6 sizes: "
            f"{', '.join(f'{share:.2f}' for share in of_sizes)})"
        )
        yield at_least(f"95 % intervals at {times} times the data that hold", now[worst], 0.9, "", note)


def _extrapolation(sizes: int, floor: float, deviation: float, random: np.random.Generator) -> Floats:
    """(2, multiples): whether the interval of now and of before holds one more training at each multiple."""
    exponent, first = random.uniform(0.2, 0.7), random.uniform(0.15, 0.6)

    def trained(size: Floats) -> Floats:
        return 1 - floor - first * (size / 500) ** -exponent + deviation * random.normal(size=len(size))

    tried = np.asarray(500 * 2.0 ** np.arange(sizes), dtype=np.float64)
    points = pd.DataFrame({"train_size": tried, "accuracy": np.minimum(trained(tried), 0.9999), "trial": ""})
    curve = power_law("", points).curve.query("extrapolated")
    beyond = curve["train_size"].to_numpy(dtype=float)
    new = trained(beyond)
    now = (curve["low"].to_numpy() <= new) & (new <= curve["high"].to_numpy())
    low, high = _interval_before(np.log(tried), np.log(1 - points["accuracy"].to_numpy()), np.log(beyond))
    return np.array([now, (low <= new) & (new <= high)], dtype=float)


def _interval_before(x: Floats, y: Floats, at: Floats) -> tuple[Floats, Floats]:
    """The prediction interval of a straight line in logarithms, without a floor."""
    line = stats.linregress(x, y)
    spread = np.sqrt(((y - line.intercept - line.slope * x) ** 2).sum() / (len(x) - 2))
    half = spread * np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half, middle = half * stats.t.ppf(0.975, len(x) - 2), line.intercept + line.slope * at
    return 1 - np.exp(middle + half), 1 - np.exp(middle - half)


def importances() -> Iterator[Figure]:
    """Pairs of settings whose true shares of the variance differ by more than 0.15 that fANOVA ranks rightly."""
    kinds = ((0.8, 0.1, 0.1), (0.6, 0.3, 0.1), (0.6, 0.2, 0.1, 0.1, 0.0))
    ranked = {
        n: [_ranked_rightly(shares, n, np.random.default_rng(n)) for shares in kinds] for n in (5, 10, MIN_TRIALS, 40)
    }
    fewer = ", ".join(f"{n}: {min(of_kinds):.2f}" for n, of_kinds in ranked.items() if n != MIN_TRIALS)
    name = f"settings ranked rightly by importance with {MIN_TRIALS} trials, from which on it is shown"
    yield at_least(name, min(ranked[MIN_TRIALS]), 0.8, "", f" of the pairs in the worst kind ({fewer})")


def _ranked_rightly(shares: tuple[float, ...], trials: int, random: np.random.Generator) -> float:
    from optuna.distributions import BaseDistribution, FloatDistribution

    names = [f"setting {i}" for i in range(len(shares))]
    kinds: dict[str, BaseDistribution] = dict.fromkeys(names, FloatDistribution(0, 1))
    grid = np.linspace(0, 1, 1001)
    right = []
    for _ in range(30):
        points = qmc.LatinHypercube(len(shares), rng=random).random(trials)
        values = math.sqrt(0.15) * random.normal(size=trials)
        for share, column in zip(shares, points.T, strict=True):
            shape = SHAPES[random.integers(len(SHAPES))]
            values += math.sqrt(share) * shape(column) / np.std(shape(grid))
        found = fanova([(dict(zip(names, point, strict=True)), kinds) for point in points.tolist()], values)
        pairs = [(i, j) for i, j in itertools.permutations(range(len(shares)), 2) if shares[i] > shares[j] + 0.15]
        right.append(np.mean([found[names[i]] > found[names[j]] for i, j in pairs]))
    return float(np.mean(right))


if __name__ == "__main__":
    show(run())
