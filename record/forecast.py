"""What a study may still reach: how a running trial ends, and what the best of a cell is after more trials. No Ray.

Both are told by draws from a predictive distribution, on the scale -log(error): there a step is as hard near 99 % as
near 60 %. Draws of several cells can be compared one by one, which gives the probability that a cell wins.

A trial's end is a regression of its remaining gain on its error so far, over the complete trials of the same model entry
at the same epoch (Bayesian, with a normal-inverse-gamma prior; Gelman et al., "Bayesian Data Analysis", 3rd edition,
section 14.2). Early stopping selects by the error so far, which a regression on it allows for. Without peers the prior
speaks: errors fall about with the cube root of the epochs, and more slowly where they hardly fell so far.

The best of more trials follows from how the better half of the trials exceed the rest (peaks over a threshold, by a
generalised Pareto distribution with a bounded tail; Coles, "An Introduction to Statistical Modeling of Extreme Values",
section 4), and from the share that exceeds: P(share) is Beta(k + 1, m - k) where k of m exchangeable trials lie above the
next one. The search counts as drawing at random, and twice as many trials once it learns from the earlier ones.

benchmarks/forecast.py measures on recorded studies how often the intervals hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.8  # of the intervals
DRAWS = 2000
FLOOR = 0.003  # added to an error: a validation split cannot tell smaller ones apart

# What is expected before anything was measured. An error falls with epochs^-DECAY, to within a factor of
# exp(SPREAD x sqrt(log epochs)); the weights say how many trials' worth of evidence that is.
DECAY, SPREAD, SPREAD_WEIGHT = 0.35, 0.12, 2.0
REACH = 0.3  # the distance of errors, on the scale of `height`, at which a peer counts 1/e
OFFSET_FREEDOM, SLOPE_FREEDOM = 2.0, 0.5  # standard deviations of the regression's coefficients, in units of the noise
# An excess of the better half has about this mean, to within a factor of exp(EXCESS_SPREAD), and a bounded tail: the best
# settings and perfection are bounds.
EXCESS, EXCESS_SPREAD = 0.3, 0.8
# After as many trials of a cell the default sampler learns; from then on one counts as so many at random.
FILLING_TRIALS, LEARNING = 10, 2.0
SHAPES = np.array([-1.5, -1.0, -0.7, -0.5, -0.3, -0.1])
GRID = np.linspace(-3, 3, 25)


class Curve(NamedTuple):
    """A trial of the search so far; values: its quality after each epoch, as a share of perfect."""

    cell: str
    entry: str
    epochs: int  # its budget
    values: tuple[float, ...]
    ended: bool  # with fewer values than epochs: stopped or failed

    @property
    def complete(self) -> bool:
        return self.ended and len(self.values) >= self.epochs


def height(quality: npt.ArrayLike) -> Floats:
    """-log(error); quality: shares of perfect."""
    return -np.log(1 - np.asarray(quality, dtype=float) + FLOOR)


def quality(heights: npt.ArrayLike) -> Floats:
    """The inverse of `height`, within 0 and 1."""
    return np.clip(1 + FLOOR - np.exp(-np.asarray(heights, dtype=float)), 0.0, 1.0)


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The shortest interval that holds this share of the draws; draws: (D,)."""
    ordered = np.sort(draws)
    count = math.ceil(level * len(ordered))
    widths = ordered[count - 1 :] - ordered[: len(ordered) - count + 1]
    first = int(widths.argmin())
    return float(ordered[first]), float(ordered[first + count - 1])


def end_draws(curve: Curve, others: Sequence[Curve], random: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Where a trial would end if it trained all its epochs: (draws,) shares of perfect.

    curve: has one value or more. others: any trials; those of its entry and budget that are complete are its peers.
    """
    if len(curve.values) >= curve.epochs:
        return np.full(draws, curve.values[-1])
    end, scale, freedom = _end(curve, others)
    return quality(end + scale * random.standard_t(freedom, draws))


def _end(curve: Curve, others: Sequence[Curve]) -> tuple[float, float, float]:
    """Location, scale and degrees of freedom of the t distribution of the height at which a trial would end."""
    at, left = len(curve.values), math.log(curve.epochs / len(curve.values))
    start = float(height(curve.values[-1]))
    peers = [o for o in others if o.complete and (o.entry, o.epochs) == (curve.entry, curve.epochs)]
    at_epoch = height([peer.values[at - 1] for peer in peers])
    gains = height([peer.values[-1] for peer in peers]) - at_epoch  # (N,)
    x = np.stack([np.ones(len(peers)), at_epoch - start], axis=1)  # (N, 2): the offset is the gain from `start`
    near = np.exp(-np.abs(at_epoch - start) / REACH)  # (N,) the weights: noise differs along the curve
    prior_mean = np.array([_decay(curve) * left, 0.0])
    prior_precision = np.diag([OFFSET_FREEDOM**-2, SLOPE_FREEDOM**-2])
    precision = prior_precision + x.T @ (near[:, None] * x)
    mean = np.linalg.solve(precision, prior_precision @ prior_mean + x.T @ (near * gains))
    shape = SPREAD_WEIGHT + near.sum() / 2
    squares = gains @ (near * gains) + prior_mean @ prior_precision @ prior_mean - mean @ precision @ mean
    rate = SPREAD_WEIGHT * SPREAD**2 * left + max(squares, 0.0) / 2
    scale = math.sqrt(rate / shape * (1 + np.linalg.inv(precision)[0, 0]))
    return start + float(mean[0]), scale, 2 * shape


def _decay(curve: Curve) -> float:
    """The exponent with which its error is expected to fall: halfway between DECAY and that so far, where that is less.

    A trial that is at chance after a few epochs may still take off, but is less likely to.
    """
    if len(curve.values) < 2:
        return DECAY
    first, last = height([curve.values[0], curve.values[-1]])
    own = float(last - first) / math.log(len(curve.values))
    return (DECAY + min(max(own, 0.0), DECAY)) / 2


def best_draws(
    ended: Floats, running: Floats, more: Sequence[float], random: np.random.Generator, draws: int = DRAWS
) -> Floats:
    """The best quality of a cell after `more` further trials, for each number of them: (len(more), draws).

    ended: (N,) what its trials reached, stopped ones included. running: (R, draws) where the others will end. Not both
    empty. For a draw, more trials are never worse.
    """
    ends = height(ended)[:, None]  # (M, 1), or (M, draws) where some are not known yet
    if len(running):
        ends = np.concatenate([np.broadcast_to(ends, (len(ends), draws)), height(running)])
    ends = -np.sort(-ends, axis=0)
    count = len(ends)
    exceeding = count // 2
    threshold = ends[exceeding]
    excesses = np.median(ends[:exceeding] - threshold, axis=1)
    shape, scale = _tails(excesses, random.uniform(size=draws))
    share = random.beta(exceeding + 1, count - exceeding, size=draws)
    luck = random.uniform(size=draws)
    bests = []
    for trials in more:
        # P(no trial of n above y) = (1 - share x (1 + shape (y - threshold) / scale)^(-1 / shape))^n, solved for y.
        rare = np.maximum(share / -np.expm1(np.log(luck) / trials), 1.0) if trials > 0 else np.ones(draws)
        bests.append(np.maximum(ends[0], threshold + scale * (rare**shape - 1) / shape))
    return quality(np.stack(bests))


def _tails(excesses: Floats, luck: Floats) -> tuple[Floats, Floats]:
    """A shape and a scale of the excesses' distribution for each draw, from their posterior on a grid.

    excesses: (K,); K may be 0. luck: (D,) uniform numbers. Both results: (D,).
    """
    shape, mean = (axis.ravel() for axis in np.meshgrid(SHAPES, EXCESS * np.exp(EXCESS_SPREAD * GRID)))  # (G,)
    scale = mean * (1 - shape)
    prior = -(np.log(mean / EXCESS) ** 2) / (2 * EXCESS_SPREAD**2)
    inside = 1 + shape * excesses[:, None] / scale  # (K, G)
    density = np.where(inside > 0, -(1 + 1 / shape) * np.log(np.maximum(inside, 1e-12)), -np.inf) - np.log(scale)
    posterior = prior + density.sum(axis=0)
    shares = np.exp(posterior - posterior.max()).cumsum()
    chosen = np.searchsorted(shares, luck * shares[-1])
    return shape[chosen], scale[chosen]


def cell_draws(
    cell: str, curves: Sequence[Curve], more: Sequence[float], random: np.random.Generator, draws: int = DRAWS
) -> Floats:
    """`best_draws` of a cell from the trials of a study; at least one of the cell's must have a value or have ended."""
    own = [curve for curve in curves if curve.cell == cell]
    going = [curve for curve in own if not curve.ended and curve.values]
    running = [end_draws(curve, curves, random, draws) for curve in going]
    return best_draws(
        _ends(own, curves), np.array(running), [_at_random(len(own), each) for each in more], random, draws
    )


def _at_random(known: int, more: float) -> float:
    """How many trials at random are as good as `more` further ones of a search."""
    filling = min(more, max(0, FILLING_TRIALS - known))
    return filling + LEARNING * (more - filling)


def _ends(own: Sequence[Curve], curves: Sequence[Curve]) -> Floats:
    """What the ended trials of a cell reached; of stopped ones, what they would have, but no more than the best.

    What they had when they were stopped would make the others stand out, and more trials look promising.
    """
    best = max((curve.values[-1] for curve in own if curve.complete), default=1.0)
    stopped = [curve for curve in own if curve.ended and not curve.complete]
    ends = [min(best, float(quality(_end(curve, curves)[0]))) if curve.values else 0.0 for curve in stopped]
    return np.array([*(curve.values[-1] for curve in own if curve.complete), *ends])
