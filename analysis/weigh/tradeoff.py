"""Which points are worth having: Pareto front, dominated hypervolume, and picks from a frame of candidates.

The picks take a frame with one row per candidate and return the row that answers the question; no row where nothing
was measured.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from record.pareto import gains, pareto_mask
from record.tasks import IMAGE_CLASSIFICATION

ACCURACY, SPEED = IMAGE_CLASSIFICATION.validation, IMAGE_CLASSIFICATION.speed


def hypervolume(points: npt.ArrayLike, reference: Sequence[float], maximise: Sequence[bool]) -> float:
    """The area or volume that `points` (n, 2 or 3) dominate, measured from `reference`, the worst point that counts.

    Its unit is the product of the columns' units. A point worse than the reference in any column adds nothing; rows that
    are not finite are left out. Definition: Zitzler and Thiele, PPSN 1998.
    """
    values = gains(points, maximise)
    if values.shape[1] not in (2, 3):
        raise ValueError(f"hypervolume needs 2 or 3 columns, not {values.shape[1]}")
    values = values - gains([list(reference)], maximise)
    values = values[np.isfinite(values).all(axis=1) & (values > 0).all(axis=1)]
    values = values[pareto_mask(values, [True] * values.shape[1])]
    if values.shape[1] == 2:
        return _area(values)
    # Slices between successive heights: each is as thick as the step down and as wide as all points at least that high.
    values = values[np.argsort(-values[:, 2])]
    thickness = values[:, 2] - np.append(values[1:, 2], 0.0)
    return float(sum(step * _area(values[: i + 1, :2]) for i, step in enumerate(thickness) if step > 0))


def best_per_model(frame: pd.DataFrame, accuracy: str = ACCURACY, by: Sequence[str] = ("model",)) -> pd.DataFrame:
    """The most accurate row of each model (and study, with `by=("study", "model")`); of equals, the first."""
    measured = frame[frame[accuracy].notna()]
    return frame.loc[measured.groupby(list(by), sort=False)[accuracy].idxmax()]


def fastest_within(
    frame: pd.DataFrame, points: float = 0.01, accuracy: str = ACCURACY, speed: str = SPEED
) -> pd.DataFrame:
    """The fastest row whose accuracy is at most `points` below the best; 0.01 is one point of an accuracy in 0..1."""
    measured = frame.dropna(subset=[accuracy, speed])
    # 0.97 - 0.01 is a little more than 0.96 in floating point; the slack makes exactly one point count as within.
    near = measured[measured[accuracy] >= measured[accuracy].max() - points - 1e-9]
    return near.sort_values([speed, accuracy], ascending=False).head(1)


def most_accurate_above(
    frame: pd.DataFrame, min_speed: float, accuracy: str = ACCURACY, speed: str = SPEED
) -> pd.DataFrame:
    """The most accurate row that is at least as fast as `min_speed`."""
    measured = frame.dropna(subset=[accuracy, speed])
    fast = measured[measured[speed] >= min_speed]
    return fast.sort_values([accuracy, speed], ascending=False).head(1)


def most_accurate(frame: pd.DataFrame, accuracy: str = ACCURACY, speed: str = SPEED) -> pd.DataFrame:
    """The most accurate row, of equals the faster one; rows without a speed count only where none has one."""
    best = most_accurate_above(frame, -math.inf, accuracy, speed)
    return best if len(best) else frame.nlargest(1, accuracy)


def knee(frame: pd.DataFrame, accuracy: str = ACCURACY, speed: str = SPEED) -> pd.DataFrame:
    """The row of the front furthest above the straight line between its ends: beyond it, a little more of one costs a
    lot of the other. Speed counts in ratios (log scale). No row where the front does not bulge.

    The distance is taken with both axes scaled to 0..1, as in Satopaa et al., "Finding a Kneedle in a Haystack", 2011.
    """
    measured = frame.dropna(subset=[accuracy, speed])
    measured = measured[measured[speed] > 0]
    front = measured[pareto_mask(measured[[speed, accuracy]].to_numpy(float), [True, True])]
    if front[speed].nunique() < 3:
        return front.head(0)
    height = _unit(front[accuracy].to_numpy(float)) + _unit(np.log(front[speed].to_numpy(float))) - 1
    return front.iloc[[int(height.argmax())]] if height.max() > 1e-9 else front.head(0)


def _area(gains: npt.NDArray[np.float64]) -> float:
    """Area under the staircase of points (n, 2) above the origin; dominated points do not matter."""
    by_width = gains[np.argsort(-gains[:, 0])]
    height = np.maximum.accumulate(by_width[:, 1])
    return float((by_width[:, 0] * np.diff(height, prepend=0.0)).sum())


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (values - values.min()) / (values.max() - values.min())
