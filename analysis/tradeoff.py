"""Which points are worth having: Pareto front, dominated hypervolume, and picks from a frame of candidates.

The picks take a frame with one row a candidate and return those of its rows that answer the question, at most one a
question, so that nothing measured gives no row.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

ACCURACY = "val_accuracy"
SPEED = "inference_images_per_second"


def pareto_mask(values: npt.ArrayLike, maximise: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """Which of `values` (n, k) no other row dominates; column j is better when larger if `maximise[j]`.

    A row dominates another when it is at least as good in every column and better in one. Equal rows do not dominate
    each other, so both are on the front; a row with a NaN is never on it.
    """
    gains = _gains(values, maximise)
    on_front = np.zeros(len(gains), dtype=bool)
    known = np.flatnonzero(~np.isnan(gains).any(axis=1))
    if known.size == 0 or gains.shape[1] == 0:
        return on_front
    distinct, which = np.unique(gains[known], axis=0, return_inverse=True)
    # np.unique sorts by the columns in turn, so only a later row can dominate: read from the end, the first row left
    # is on the front, and what follows it survives only by being better in a column other than the first.
    left = np.arange(len(distinct))[::-1]
    others = np.ascontiguousarray(distinct[left, 1:].T)  # (k - 1, left)
    winners = np.zeros(len(distinct), dtype=bool)
    while left.size:
        winners[left[0]] = True
        survives = (others > others[:, :1]).any(axis=0)
        left, others = left[survives], others.compress(survives, axis=1)
    on_front[known] = winners[which]
    return on_front


def hypervolume(points: npt.ArrayLike, reference: Sequence[float], maximise: Sequence[bool]) -> float:
    """The area or volume that `points` (n, 2 or 3) dominate, measured from `reference`, the worst point that counts.

    Its unit is the product of the columns' units. What is worse than the reference in any column adds nothing; rows
    that are not finite are left out. Definition: Zitzler and Thiele, PPSN 1998.
    """
    gains = _gains(points, maximise)
    if gains.shape[1] not in (2, 3):
        raise ValueError(f"hypervolume takes 2 or 3 columns, not {gains.shape[1]}")
    gains = gains - _gains([list(reference)], maximise)
    gains = gains[np.isfinite(gains).all(axis=1) & (gains > 0).all(axis=1)]
    gains = gains[pareto_mask(gains, [True] * gains.shape[1])]
    if gains.shape[1] == 2:
        return _area(gains)
    # Slices between successive heights: each is as thick as the step down and as wide as all that is at least so high.
    gains = gains[np.argsort(-gains[:, 2])]
    thickness = gains[:, 2] - np.append(gains[1:, 2], 0.0)
    return float(sum(step * _area(gains[: i + 1, :2]) for i, step in enumerate(thickness) if step > 0))


def best_per_model(frame: pd.DataFrame, accuracy: str = ACCURACY, by: Sequence[str] = ("model",)) -> pd.DataFrame:
    """The most accurate row of each model (of each study, with `by=("study", "model")`); of equals, the first."""
    measured = frame[frame[accuracy].notna()]
    return frame.loc[measured.groupby(list(by), sort=False)[accuracy].idxmax()]


def fastest_within(
    frame: pd.DataFrame, points: float = 0.01, accuracy: str = ACCURACY, speed: str = SPEED
) -> pd.DataFrame:
    """The fastest row whose accuracy is at most `points` below the best: 0.01 is one point of an accuracy in 0..1."""
    measured = frame.dropna(subset=[accuracy, speed])
    # 0.97 - 0.01 is a little more than 0.96 in floating point; the slack lets exactly one point count as within.
    enough = measured[measured[accuracy] >= measured[accuracy].max() - points - 1e-9]
    return enough.sort_values([speed, accuracy], ascending=False).head(1)


def most_accurate_above(
    frame: pd.DataFrame, images_per_second: float, accuracy: str = ACCURACY, speed: str = SPEED
) -> pd.DataFrame:
    """The most accurate row that does at least `images_per_second`."""
    fast = frame.dropna(subset=[accuracy, speed]).query(f"`{speed}` >= @images_per_second")
    return fast.sort_values([accuracy, speed], ascending=False).head(1)


def knee(frame: pd.DataFrame, accuracy: str = ACCURACY, speed: str = SPEED) -> pd.DataFrame:
    """The row of the front that lies furthest above the straight line between the front's ends: past it, a little more
    of one costs a lot of the other. Speed counts in ratios (log scale). No row where the front does not bulge.

    The distance is taken with both axes scaled to 0..1, as in Satopaa et al., "Finding a Kneedle in a Haystack", 2011.
    """
    measured = frame.dropna(subset=[accuracy, speed])
    measured = measured[measured[speed] > 0]
    front = measured[pareto_mask(measured[[speed, accuracy]].to_numpy(float), [True, True])]
    if front[speed].nunique() < 3:
        return front.head(0)
    height = _unit(front[accuracy].to_numpy(float)) + _unit(np.log(front[speed].to_numpy(float))) - 1
    return front.iloc[[int(height.argmax())]] if height.max() > 1e-9 else front.head(0)


def _gains(values: npt.ArrayLike, maximise: Sequence[bool]) -> npt.NDArray[np.float64]:
    """`values` as (n, k) numbers of which more is always better."""
    array = np.asarray(values, dtype=float)
    array = array.reshape(0, len(maximise)) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != len(maximise):
        raise ValueError(f"values of shape {array.shape} do not have one column for each of maximise={maximise}")
    return np.where(maximise, array, -array)


def _area(gains: npt.NDArray[np.float64]) -> float:
    """Area under the staircase of points (n, 2) above the origin; dominated points do not matter."""
    by_width = gains[np.argsort(-gains[:, 0])]
    height = np.maximum.accumulate(by_width[:, 1])
    return float((by_width[:, 0] * np.diff(height, prepend=0.0)).sum())


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (values - values.min()) / (values.max() - values.min())
