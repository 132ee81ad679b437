"""Intervals and tests for accuracies: pure functions of numbers; comparison.py applies them to a study."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    low: float
    high: float


def student_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Interval of the mean of `values` (n,), such as the accuracies of n seeds; NaN for fewer than two.

    mean ± t(n - 1) x s / sqrt(n): Student, "The probable error of a mean", 1908.
    """
    known = np.asarray(values, dtype=float)
    if known.size < 2:
        return Interval(float("nan"), float("nan"))
    half = stats.t.ppf((1 + confidence) / 2, known.size - 1) * known.std(ddof=1) / np.sqrt(known.size)
    return Interval(float(known.mean() - half), float(known.mean() + half))


def wilson_interval(right: float, total: int, confidence: float = 0.95) -> Interval:
    """Interval of a share of which `right` of `total` independent items are a sample (Wilson, 1927); 0 to 1 for total 0."""
    if total == 0:
        return Interval(0.0, 1.0)
    if not 0 <= right <= total:
        raise ValueError(f"right must lie between 0 and total={total}, not {right}")
    z2, share = stats.norm.ppf((1 + confidence) / 2) ** 2, right / total
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = np.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total**2))) / (1 + z2 / total)
    # Of none or all right, rounding would leave the share outside.
    return Interval(max(0.0, min(share, float(centre - half))), min(1.0, max(share, float(centre + half))))


def binomial_p(right: float, total: int, share: float) -> float:
    """Probability that a guess which is right with probability `share` gets at least `right` of `total` items right.

    Exact: at the small levels that many tests leave to each, normal approximations such as Wilson's are too sure.
    right: also a mean over several trainings, which is rounded down.
    """
    return float(stats.binom.sf(np.floor(right + 1e-9) - 1, total, share))


def accuracy_interval(accuracies: npt.ArrayLike, images: int, confidence: float = 0.95) -> Interval:
    """Interval of a mean accuracy over both its seeds and its test images; NaN for fewer than two seeds.

    accuracies: one per seed, all measured on the same `images` test images. The variance is that of the seeds, s^2 / n,
    plus that of the images, p (1 - p) / images; the degrees of freedom are Satterthwaite's (Biometrics Bulletin, 1946).
    The interaction of seed and image is counted in both, so the interval errs on the wide side. It is no narrower than
    Wilson's for one training: near 0 and 1 the variance of the images is underestimated, and where all are right it is 0.
    """
    known = np.asarray(accuracies, dtype=float)
    if known.size < 2 or images < 2:
        return Interval(float("nan"), float("nan"))
    mean = known.mean()
    seed_variance, image_variance = known.var(ddof=1) / known.size, mean * (1 - mean) / images
    total, of_images = seed_variance + image_variance, wilson_interval(mean * images, images, confidence)
    if total == 0:
        return of_images
    freedom = total**2 / (seed_variance**2 / (known.size - 1) + image_variance**2 / (images - 1))
    half = stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(total)
    return Interval(max(0.0, min(float(mean - half), of_images.low)), min(1.0, max(float(mean + half), of_images.high)))


def bootstrap_accuracies(right: Sequence[Bools], draws: int, random: np.random.Generator) -> Floats:
    """Accuracies (draws, candidates) under resampling; `right[c]` (seeds, images): what candidate c classified correctly.

    Each draw resamples the images, the same for all candidates since they were tested on the same ones, and each
    candidate's seeds (Efron, 1979). With n seeds, their share of the variance comes out too small by (n - 1)/n.
    """
    images = right[0].shape[1]
    every_run = np.concatenate(right).astype(np.float32)  # (runs, images)
    first_run = np.cumsum([0, *(len(runs) for runs in right)])
    accuracies = np.empty((draws, len(right)))
    for draw in range(draws):
        weights = np.bincount(random.integers(images, size=images), minlength=images).astype(np.float32)
        by_run = every_run @ weights / images
        for c, runs in enumerate(right):
            accuracies[draw, c] = by_run[first_run[c] + random.integers(len(runs), size=len(runs))].mean()
    return accuracies


def front_probability(accuracies: npt.ArrayLike, speeds: npt.ArrayLike) -> Floats:
    """Share of the draws (draws, candidates) in which each candidate is on the accuracy-speed front; speeds are fixed."""
    drawn, speed = np.asarray(accuracies, dtype=float), np.asarray(speeds, dtype=float)
    beaten = np.zeros(drawn.shape, dtype=bool)
    for rival in range(drawn.shape[1]):
        better = drawn[:, [rival]] > drawn
        at_least = drawn[:, [rival]] >= drawn
        beaten |= (at_least & (speed[rival] > speed)) | (better & (speed[rival] >= speed))
    return (~beaten).mean(axis=0)
