"""What the study concludes, judged where the truth is known: made-up predictions of candidates of known accuracy.

python -m benchmarks.simulated_answers

A candidate's seed reaches an accuracy that deviates normally from the candidate's own, partly the same way for all candidates
(they share a seed's subset and order). An image is hard for all, hard for one candidate, or hard by chance (55, 15 and
30 % of the variance); it is classified correctly where its hardness lies below what the seed reaches. The test split
decides, the validation split (as large) chooses the candidate that the others are compared with.

"Before" is the test that the study used until the crossed one: the larger p of McNemar's test on the first seed and of
Welch's test over seeds, Holm's correction over all pairs, and Connor's number of images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from analysis.weigh.statistics import Bools, Floats, accuracy_interval, bootstrap_accuracies, front_probability
from benchmarks.figure import Figure, at_least, at_most, show
from record.crossed import examples_needed
from record.looks import MOST, Looks, planned
from record.verdicts import LEVEL, Verdict, holm, verdicts
from study.undecided import may_be_decided

Kind = tuple[float, int, float, int]  # accuracy, images, deviation of seeds, candidates

SEEDS = 3
HARD_FOR_ALL, HARD_FOR_ONE = 0.55, 0.15
SHARED_LUCK = 0.3  # of the seeds' variance
ACCURACIES, IMAGES, DEVIATIONS, CANDIDATES = (0.7, 0.85, 0.97), (360, 1000, 10_000), (0.001, 0.01, 0.05), (2, 4, 8)
STUDIES = 200  # of each of these kinds
MORE_STUDIES = 1000
MANY_STUDIES = 20_000  # of the worst kind: its share is known to 0.0015


class Simulated(NamedTuple):
    """A confirmed study: what was classified correctly, (candidates, seeds, images), on both splits, and the truth."""

    test: Bools
    validation: Bools
    truth: Floats


def simulate(
    truth: npt.ArrayLike, images: int, deviation: npt.ArrayLike, random: np.random.Generator, seeds: int = SEEDS
) -> Simulated:
    """truth: the candidates' accuracies; deviation: of their seeds, for all or for each."""
    own = np.asarray(truth, dtype=float)
    luck = math.sqrt(SHARED_LUCK) * random.normal(size=(1, seeds))
    luck = luck + math.sqrt(1 - SHARED_LUCK) * random.normal(size=(len(own), seeds))
    spread = np.broadcast_to(np.asarray(deviation, dtype=float), own.shape)
    reached = stats.norm.ppf(np.clip(own[:, None] + spread[:, None] * luck, 0.01, 0.999))

    def split() -> Bools:
        hardness = math.sqrt(HARD_FOR_ALL) * random.standard_normal((1, 1, images), dtype=np.float32)
        hardness = hardness + math.sqrt(HARD_FOR_ONE) * random.standard_normal((len(own), 1, images), dtype=np.float32)
        chance = random.standard_normal((len(own), seeds, images), dtype=np.float32)
        return hardness + math.sqrt(1 - HARD_FOR_ALL - HARD_FOR_ONE) * chance < reached[:, :, None]

    return Simulated(split(), split(), own)


def compared(study: Simulated) -> tuple[int, dict[int, Verdict]]:
    """(the candidate that is most accurate in validation, the verdicts on the others)."""
    first = int(study.validation.mean(axis=(1, 2)).argmax())
    scores = {i: dict(enumerate(runs.astype(float))) for i, runs in enumerate(study.test)}
    return first, verdicts(scores, first)


def told_apart(study: Simulated) -> list[tuple[int, int]]:
    """(more accurate, less accurate) as the study concludes."""
    first, found = compared(study)
    told = [(i, verdict.measured.mean > 0) for i, verdict in found.items() if verdict.differ]
    return [(first, i) if first_is_better else (i, first) for i, first_is_better in told]


def told_apart_before(study: Simulated) -> list[tuple[int, int]]:
    means = study.test.mean(axis=2)
    pairs = list(itertools.combinations(range(len(means)), 2))
    p_values = []
    for i, j in pairs:
        one, other = study.test[i][0], study.test[j][0]
        only = int((one & ~other).sum()), int((other & ~one).sum())
        of_images = mcnemar([[0, only[0]], [only[1], 0]], exact=sum(only) < 25).pvalue if sum(only) else 1.0
        p_values.append(max(float(of_images), float(stats.ttest_ind(means[i], means[j], equal_var=False).pvalue)))
    told = [pair for pair, p in zip(pairs, holm(p_values), strict=True) if p < LEVEL]
    return [(i, j) if means[i].mean() > means[j].mean() else (j, i) for i, j in told]


def run() -> Iterator[Figure]:
    yield from errors()
    yield power(4, 360, 0.05)
    yield power(8, 1000, 0.03)
    yield from until_decided()
    yield coverage()
    yield from promises()
    yield front()


def errors() -> Iterator[Figure]:
    """How often candidates that are equally accurate are told apart."""
    now: dict[Kind, float] = {}
    before: list[float] = []
    for kind in itertools.product(ACCURACIES, IMAGES, DEVIATIONS, CANDIDATES):
        random = np.random.default_rng(len(before))
        studies = [equal(*kind, random) for _ in range(STUDIES)]
        now[kind] = float(np.mean([bool(told_apart(study)) for study in studies]))
        before.append(float(np.mean([bool(told_apart_before(study)) for study in studies])))
    note = f" (before {np.mean(before):.3f})"
    mean = float(np.mean(list(now.values())))
    yield at_most(f"equal candidates told apart, mean of {len(now)} kinds of study", mean, LEVEL, "", note)
    yield in_the_worst_kind(now, lambda kind, random: bool(told_apart(equal(*kind, random))))
    for candidates, images, deviations in ((4, 1000, (0.03, 0.002)), (8, 10_000, (0.05, 0.017))):
        spread, random = [deviations[0], *[deviations[1]] * (candidates - 1)], np.random.default_rng(1)
        made = (simulate([0.85] * candidates, images, spread, random) for _ in range(MANY_STUDIES // 4))
        times = deviations[0] / deviations[1]
        name = f"the same where one of {candidates} has seeds {times:.0f} times as uneven ({images:,} images)"
        yield error(name, [bool(told_apart(study)) for study in made])


def in_the_worst_kind(shares: Mapping[Kind, float], is_wrong: Callable[[Kind, np.random.Generator], bool]) -> Figure:
    """The worst of so many shares of `STUDIES` lies above its truth: that kind is simulated anew, and more often."""
    worst = max(shares, key=lambda kind: shares[kind])
    accuracy, images, deviation, candidates = worst
    random = np.random.default_rng(1)
    kind = f"{candidates} of {accuracy:.0%}, {images:,} images, seeds {100 * deviation:g} points"
    return error(
        f"the same in new studies of the worst kind ({kind})", [is_wrong(worst, random) for _ in range(MANY_STUDIES)]
    )


def error(name: str, wrong: list[bool]) -> Figure:
    share = float(np.mean(wrong))
    note = f" (standard error {math.sqrt(share * (1 - share) / len(wrong)):.4f})"
    return at_most(name, share, LEVEL, "", note)


def equal(
    accuracy: float, images: int, deviation: float, candidates: int, random: np.random.Generator, seeds: int = SEEDS
) -> Simulated:
    return simulate([accuracy] * candidates, images, deviation, random, seeds)


def power(candidates: int, images: int, gap: float) -> Figure:
    """How often the best is told apart from another one."""
    random = np.random.default_rng(2)
    truth = [0.9] + [0.9 - gap] * (candidates - 1)
    studies = [simulate(truth, images, 0.01, random) for _ in range(STUDIES)]
    now, before = (
        np.mean([sum(pair[0] == 0 for pair in method(study)) for study in studies]) / (candidates - 1)
        for method in (told_apart, told_apart_before)
    )
    target = {4: 0.7, 8: 0.35}[candidates]
    name = f"the best of {candidates} told apart from one {100 * gap:g} points worse ({images:,} images, seeds 1 point)"
    return at_least(name, float(now), target, "", f" of the pairs (before {before:.2f})")


def until_decided() -> Iterator[Figure]:
    """Seeds added until the answer is decided: error over all looks, power and seeds beside fixed numbers of seeds."""
    looks, random = planned(SEEDS, MOST), np.random.default_rng(6)

    def is_wrong(kind: Kind, random: np.random.Generator) -> bool:
        return bool(decided(equal(*kind, random, MOST), looks)[0])

    kinds = list(itertools.product((0.85, 0.97), (360, 10_000), DEVIATIONS, (2, 4)))
    wrong = {kind: float(np.mean([is_wrong(kind, random) for _ in range(STUDIES)])) for kind in kinds}
    name = f"seeds added until decided ({SEEDS} to {MOST}): equal candidates told apart, mean of {len(kinds)} kinds of study"
    yield at_most(name, float(np.mean(list(wrong.values()))), LEVEL, "")
    yield in_the_worst_kind(wrong, is_wrong)
    found, seeds = [], []
    fixed: dict[int, list[float]] = {SEEDS: [], MOST: []}
    for _ in range(STUDIES):
        study = simulate([0.9, 0.87, 0.85, 0.7], 2000, 0.02, random, MOST)
        told, used = decided(study, looks)
        found.append(sum(pair[0] == 0 for pair in told) / 3)
        seeds.append(np.mean(used))
        for n, shares in fixed.items():
            shares.append(sum(pair[0] == 0 for pair in told_apart(first_seeds(study, n))) / 3)
    note = (
        f" of the pairs with {np.mean(seeds):.1f} seeds a candidate (before {np.mean(fixed[SEEDS]):.2f} with {SEEDS}; "
    )
    note += f"always {MOST}: {np.mean(fixed[MOST]):.2f})"
    gain = float(np.mean(found))
    yield at_least(
        "the best told apart from others 3, 5 and 20 points worse (2,000 images, seeds 2 points)", gain, 0.7, "", note
    )


def first_seeds(study: Simulated, seeds: int) -> Simulated:
    return Simulated(study.test[:, :seeds], study.validation[:, :seeds], study.truth)


def decided(study: Simulated, looks: Looks) -> tuple[list[tuple[int, int]], list[int]]:
    """(told apart as the study concludes in the end, seeds that each candidate got)."""
    used = [looks[0]] * len(study.truth)
    for seeds in looks:
        scores = {
            i: dict(enumerate(runs[:n].astype(float))) for i, (runs, n) in enumerate(zip(study.test, used, strict=True))
        }
        first = int(np.argmax([v[:n].mean() for v, n in zip(study.validation, used, strict=True)]))
        reached = verdicts(scores, first, looks)
        hanging = [i for i, verdict in reached.items() if may_be_decided(verdict, seeds, looks[-1])]
        if not hanging:
            break
        more = looks[looks.index(seeds) + 1]
        used = [more if i in (first, *hanging) else n for i, n in enumerate(used)]
    told = [(i, v.measured.mean > 0) for i, v in reached.items() if v.differ]
    return [(first, i) if first_is_better else (i, first) for i, first_is_better in told], used


def coverage() -> Figure:
    """Whether the intervals of a study's candidates contain their true accuracies, and those of differences the true ones."""
    random = np.random.default_rng(3)
    held, held_differences = [], []
    for _ in range(STUDIES):
        study = simulate([0.92, 0.9, 0.88, 0.8], 1000, 0.01, random)
        for runs, truth in zip(study.test, study.truth, strict=True):
            low, high = accuracy_interval(runs.mean(axis=1), runs.shape[1])
            held.append(low <= truth <= high)
        first, found = compared(study)
        held_differences.append(
            all(
                abs(v.measured.mean - (study.truth[first] - study.truth[i])) <= v.measured.half_width(v.level)
                for i, v in found.items()
            )
        )
    note = f"; all intervals of a study's differences together in {np.mean(held_differences):.3f} of the studies"
    return at_least("95 % intervals of accuracies that hold", float(np.mean(held)), 0.93, "", note)


def promises() -> Iterator[Figure]:
    """Studies that cannot tell two candidates apart say how many images would: how often does that number do?"""
    for images, gap in ((360, 0.03), (1000, 0.02)):
        random = np.random.default_rng(4)
        kept, kept_before, asked = [], [], 0
        for _ in range(MORE_STUDIES // 2):
            truth = np.array([0.9, 0.9 - gap])
            pilot = simulate(truth, images, 0.003, random)
            first, found = compared(pilot)
            measured = found[1 - first].measured
            if measured.p < LEVEL:
                continue
            asked += 1
            needed = examples_needed(measured, LEVEL)
            if not math.isnan(needed) and needed < 200_000:
                again = simulate(truth, round(needed), 0.003, random)
                kept.append(bool(told_apart(again)))
            one, other = pilot.test[0][0], pilot.test[1][0]
            lead, apart = one.mean() - other.mean(), float((one != other).mean())
            if lead > 0 and (number := connor(apart, lead)) < 200_000:
                kept_before.append(bool(told_apart_before(simulate(truth, round(number), 0.003, random))))
        name = f"differences of {100 * gap:g} points found with the images that a study of {images:,} asked for"
        note = f" (of 80 % promised; {len(kept)} of {asked} undecided studies named a number; before {np.mean(kept_before):.2f})"
        yield at_least(name, float(np.mean(kept)), 0.75, "", note)


def connor(disagreement: float, difference: float) -> float:
    """Images for McNemar's test at 5 % with a power of 80 % (Connor, Biometrics 1987)."""
    z_level, z_power = stats.norm.ppf(1 - LEVEL / 2), stats.norm.ppf(0.8)
    gap = max(disagreement - difference**2, 0.0)
    return float((z_level * math.sqrt(disagreement) + z_power * math.sqrt(gap)) ** 2 / difference**2)


def front() -> Figure:
    """P(on the front) against how often that is so: the largest gap between the two in five bins.

    A bin in the middle holds a quarter of a candidate per study: with 200 studies, chance alone makes a gap of 0.1.
    """
    random = np.random.default_rng(5)
    said, true = [], []
    for _ in range(MORE_STUDIES):
        truth = np.sort(random.uniform(0.86, 0.92, 4))
        speeds = random.permutation(np.array([100.0, 150.0, 220.0, 330.0]))
        study = simulate(truth, 1000, 0.01, random)
        drawn = bootstrap_accuracies(list(study.test), 200, random)
        said += front_probability(drawn, speeds).tolist()
        true += (front_probability(truth[None, :], speeds) > 0.5).tolist()
    chances, holds = np.array(said), np.array(true)
    bins = np.clip((chances * 5).astype(int), 0, 4)
    gaps = {b: (chances[bins == b].mean(), holds[bins == b].mean()) for b in range(5) if (bins == b).sum() > 20}
    listed = ", ".join(f"{said:.2f}: {true:.2f}" for said, true in gaps.values())
    worst = max(abs(said - true) for said, true in gaps.values())
    return at_most("P(on the front), largest gap between what is said and what is true", worst, 0.1, "", f" ({listed})")


if __name__ == "__main__":
    show(run())
