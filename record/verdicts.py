"""Who is told apart from the first: the test of crossed.py, corrected for the number of comparisons and of looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from record.crossed import Difference, Floats, differences
from record.looks import Looks

Key = TypeVar("Key")

LEVEL = 0.05


class Verdict(NamedTuple):
    """What a study knows of the difference between its first candidate and another one."""

    measured: Difference
    p: float  # of any of the looks: of this one, times their number
    p_holm: float  # of any of the looks and any of the comparisons
    level: float  # of one comparison at one look: all intervals of a study hold together with 1 - LEVEL

    @property
    def differ(self) -> bool:
        return self.p_holm < LEVEL

    def chance(self, seeds: int) -> float:
        """The chance that so many seeds tell the two apart."""
        return self.measured.with_seeds(seeds).chance(self.measured, self.level)


def verdicts(
    scores: Mapping[Key, Mapping[int, Floats]],
    first: Key,
    looks: Looks = (),
    variances: Mapping[Key, float] | None = None,
) -> dict[Key, Verdict]:
    """The verdict on each other candidate, except where it shares fewer than two seeds with `first`.

    scores: as `differences` takes them. looks: the numbers of seeds at which the study is tested, by plan. variances:
    what the test examples add to the variance of each candidate's score, where the scores do not show it.
    """
    compared = differences(scores, first)
    if variances:
        known = {other: variances[first] + variances[other] for other in compared}
        compared = {other: d._replace(over_examples=known[other]) for other, d in compared.items()}
    chances = max(1, len(looks))
    p = [float(np.minimum(1.0, chances * difference.p)) for difference in compared.values()]  # what is unknown stays so
    level = LEVEL / chances / max(1, len(compared))
    rows = zip(compared.items(), p, holm(p).tolist(), strict=True)
    return {other: Verdict(measured, p, corrected, level) for (other, measured), p, corrected in rows}


def holm(p_values: npt.ArrayLike) -> Floats:
    """p-values (n,) corrected for n tests, in the same order (Holm, 1979); a NaN stays NaN and does not count as a test."""
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return corrected
