"""Which of several candidates is more accurate, tested over seeds and examples together.

Each candidate was trained with the same seeds and tested on the same examples, so a difference of two candidates is an
average over a table of seeds by examples, both of them samples: a crossed two-way analysis with random effects (Cornfield
and Tukey, "Average values of mean squares in factorials", 1956). Other examples and other seeds would give another
difference; its variance is the sum of both.

Few seeds are the difficulty: three of them estimate a variance with two degrees of freedom, and one that is small by luck
makes a difference look certain. So a pair's own variance over seeds counts only where it is larger than the one pooled over
all candidates, and the uncertainty of that is part of p: the test is Behrens' and Fisher's ("The asymptotic approach to
Behrens's integral", 1941), which averages over the variances that the seeds may have. benchmarks/simulated_answers.py shows
the error and the power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Key = TypeVar("Key")

CHANCE = 0.8  # of finding a difference, by which the sizes of studies are planned
MOST_EXAMPLES, MOST_SEEDS = 10_000_000, 30  # more is no advice


class Difference(NamedTuple):
    """By how much one candidate is more accurate than another, and the variance of that estimate by its sources."""

    mean: float
    over_seeds: float  # with the interaction of seeds and examples
    over_examples: float
    seeds: int
    examples: int
    interaction: float  # the part of `over_seeds` that more examples would make smaller
    freedom: float  # degrees of freedom of `over_seeds`

    @property
    def p(self) -> float:
        """Two-sided p of no difference."""
        return tail(abs(self.mean), self.over_seeds, self.freedom, self.over_examples)

    def half_width(self, level: float) -> float:
        """Of the interval of the difference that holds with probability 1 - level, which is also the least difference
        with a p of `level`."""
        from scipy.optimize import brentq

        deviation = math.sqrt(self.over_seeds + self.over_examples)
        if deviation == 0:
            return 0.0

        def excess(half: float) -> float:
            return tail(half, self.over_seeds, self.freedom, self.over_examples) - level

        high = deviation
        while excess(high) > 0:
            high *= 2
        return float(brentq(excess, 0.0, high, xtol=1e-6 * deviation))

    def with_examples(self, examples: float) -> Difference:
        """The same difference as that many test examples would show it."""
        share = self.examples / examples
        seeds_alone = self.over_seeds - self.interaction
        return self._replace(
            over_seeds=seeds_alone + self.interaction * share, over_examples=self.over_examples * share,
            interaction=self.interaction * share, examples=round(examples),
        )  # fmt: skip

    def with_seeds(self, seeds: int) -> Difference:
        """The same difference as that many seeds would show it."""
        share = self.seeds / seeds
        return self._replace(
            over_seeds=self.over_seeds * share, interaction=self.interaction * share, seeds=seeds,
            freedom=self.freedom * (seeds - 1) / (self.seeds - 1),
        )  # fmt: skip

    def chance(self, now: Difference, level: float) -> float:
        """The chance that a study of this size finds the difference that `now` shows, which may itself be off.

        The true difference lies around the measured one as uncertainly as it was measured, so this is the test's power
        averaged over what the truth may be ("assurance"; O'Hagan, Stevens and Campbell, Pharmaceutical Statistics 2005).
        """
        from scipy.special import ndtr

        deviation = math.sqrt(sum(d.over_seeds + d.over_examples for d in (self, now)))
        return float(ndtr((abs(now.mean) - self.half_width(level)) / deviation)) if deviation else float(now.mean != 0)


def examples_needed(measured: Difference, level: float, chance: float = CHANCE) -> float:
    """The test examples with which the same seeds would find the difference with this chance; NaN where none would."""
    if measured.examples < 2 or measured.with_examples(MOST_EXAMPLES).chance(measured, level) < chance:
        return math.nan
    low, high = 1.0, float(MOST_EXAMPLES)
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        found = measured.with_examples(middle).chance(measured, level) >= chance
        low, high = (low, middle) if found else (middle, high)
    return high


def seeds_needed(measured: Difference, level: float, chance: float = CHANCE) -> float:
    """The seeds with which the same examples would find the difference with this chance; NaN where `MOST_SEEDS` would not."""
    wanted = (n for n in range(2, MOST_SEEDS + 1) if measured.with_seeds(n).chance(measured, level) >= chance)
    return float(next(wanted, math.nan))


def tail(difference: float, over_seeds: float, freedom: float, over_examples: float) -> float:
    """Two-sided p of a difference whose variance is `over_seeds`, known with so many degrees of freedom, + `over_examples`."""
    from scipy.special import ndtr

    if over_seeds + over_examples == 0:
        return float(difference == 0)
    ratios, weights = _variance_ratios(freedom)
    return float(weights @ (2 * ndtr(-difference / np.sqrt(over_seeds / ratios + over_examples))))


@lru_cache
def _variance_ratios(freedom: float) -> tuple[Floats, Floats]:
    """Values that an estimated variance has by chance, divided by the true one, and their probabilities (chi-square).

    Gauss and Legendre's nodes on the logarithm of the ratio, which weighs the small ones well: small p hang on them.
    """
    from scipy.stats import chi2

    nodes, weights = np.polynomial.legendre.leggauss(100)
    low, high = np.log(chi2.ppf(1e-12, freedom)), np.log(chi2.isf(1e-12, freedom))
    values = np.exp(low + (nodes + 1) / 2 * (high - low))
    return values / freedom, weights * (high - low) / 2 * chi2.pdf(values, freedom) * values


def differences(scores: Mapping[Key, Mapping[int, Floats]], first: Key) -> dict[Key, Difference]:
    """The difference of candidate `first` to each other one.

    scores: for each candidate, its (examples,) scores by seed, such as 1 where an example was classified correctly. With
    one example (a score of the whole test set), seeds alone are what may vary. A pair with fewer than two common seeds
    is left out; its variance is pooled over the candidates that have its seeds.
    """
    found = {}
    for other, by_seed in scores.items():
        seeds = sorted(scores[first].keys() & by_seed.keys())
        if other != first and len(seeds) > 1:
            table = np.stack([scores[first][seed] - by_seed[seed] for seed in seeds])
            comparable = [own for own in scores.values() if own.keys() >= set(seeds)]
            found[other] = _difference(
                table, *_pooled(np.array([[own[seed].mean() for seed in seeds] for own in comparable]))
            )
    return found


def _pooled(means: Floats) -> tuple[float, float]:
    """The variance of a candidate's (candidates, seeds) mean score beyond what a seed adds to all; its degrees of freedom.

    Seeds move some candidates more than others; the more unequally, the fewer candidates' worth the sum of their variances
    is known (Satterthwaite, "An approximate distribution of estimates of variance components", 1946).
    """
    candidates, seeds = means.shape
    rest = means - means.mean(axis=1, keepdims=True) - means.mean(axis=0) + means.mean()
    by_candidate = (rest**2).sum(axis=1)
    squares = float((by_candidate**2).sum())
    worth = min(float(by_candidate.sum() ** 2) / squares, candidates - 1) if squares else candidates - 1
    return float(by_candidate.sum() / ((candidates - 1) * (seeds - 1))), worth * (seeds - 1)


def _difference(table: Floats, pooled: float, freedom: float) -> Difference:
    """The analysis of variance of differences (seeds, examples); `pooled` is one candidate's variance over seeds."""
    seeds, examples = table.shape
    mean, by_seed, by_example = table.mean(), table.mean(axis=1), table.mean(axis=0)
    of_seeds = by_seed.var(ddof=1) / seeds
    of_examples = by_example.var(ddof=1) / examples if examples > 1 else 0.0
    rest = ((table - mean) ** 2).sum() - examples * seeds * (by_seed.var() + by_example.var())
    interaction = max(rest, 0.0) / max(1, (seeds - 1) * (examples - 1)) / table.size
    return Difference(
        mean=float(mean),
        over_seeds=float(max(of_seeds, interaction, 2 * pooled / seeds)),
        over_examples=float(max(of_examples - interaction, 0.0)),
        seeds=seeds, examples=examples, interaction=float(interaction), freedom=freedom,
    )  # fmt: skip
