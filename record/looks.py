"""Testing again and again while seeds are added: how often luck alone would cross a level at one of the looks.

The same p counts at every look (Pocock, "Group sequential methods in the design and analysis of clinical trials", Biometrika
1977). The chance of a crossing is integrated from look to look (Armitage, McPherson and Rowe, "Repeated significance tests on
accumulating data", Journal of the Royal Statistical Society A 1969) as if nothing but the seeds varied. The test examples
stay the same, which makes the looks more alike, so the true chance is not larger.
"""

from __future__ import annotations

import itertools
import math
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Looks = tuple[int, ...]  # numbers of seeds, rising

GROWTH = 2  # from one look to the next: few looks cost little power, many would save few seeds
MOST = 10  # seeds, where a space does not say


def planned(seeds: int, most: int | None) -> Looks:
    """The looks of a study that begins with `seeds` seeds and may go on to `most`."""
    sizes, last = [seeds], MOST if most is None else most
    while sizes[-1] < last:
        sizes.append(min(last, sizes[-1] * GROWTH))
    return tuple(sizes)


@lru_cache(maxsize=4096)
def over_looks(p: float, looks: Looks) -> float:
    """The chance that without any difference at least one of the looks shows this p or a smaller one."""
    from scipy.special import ndtr, ndtri

    if len(looks) < 2 or p >= 1 or math.isnan(p):
        return p
    bound = -float(ndtri(p / 2))
    if not math.isfinite(bound):
        return 0.0
    nodes, weights = _quadrature()
    # The sum of the seeds' standardised differences stays within bound x sqrt(number of seeds) up to each look but the last.
    width = bound * math.sqrt(looks[0])
    density = np.exp(-((nodes * width) ** 2) / (2 * looks[0])) / math.sqrt(2 * math.pi * looks[0])
    inside = nodes * width, weights * width * density  # places, probabilities
    crossed = p
    for before, now in itertools.pairwise(looks):
        places, chances = inside
        width, deviation = bound * math.sqrt(now), math.sqrt(now - before)
        outside = ndtr((-width - places) / deviation) + ndtr((places - width) / deviation)
        crossed += float(chances @ outside)
        steps = (nodes * width)[:, None] - places
        density = np.exp(-(steps**2) / (2 * deviation**2)) @ chances / (deviation * math.sqrt(2 * math.pi))
        inside = nodes * width, weights * width * density
    return min(crossed, 1.0)


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """Nodes between -1 and 1 and their weights (Gauss and Legendre)."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return nodes, weights


@lru_cache(maxsize=256)
def at_each_look(level: float, looks: Looks) -> float:
    """The p that counts at every look so that all of them together are crossed by luck with probability `level`."""
    from scipy.optimize import brentq

    if len(looks) < 2:
        return level
    return float(brentq(lambda p: over_looks(p, looks) - level, level / len(looks) / 2, level, xtol=1e-6 * level))
