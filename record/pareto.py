"""Pareto dominance, defined once: which points no other point beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pareto_mask(values: npt.ArrayLike, maximise: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """Which of `values` (n, k) no other row dominates; column j is better when larger if `maximise[j]`.

    A row dominates another if it is at least as good in every column and better in one. Equal rows do not dominate each
    other, so both are on the front; a row with a NaN is never on it. Raises ValueError for a wrong number of columns.
    """
    values = gains(values, maximise)
    on_front = np.zeros(len(values), dtype=bool)
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    if known.size == 0 or values.shape[1] == 0:
        return on_front
    distinct, which = np.unique(values[known], axis=0, return_inverse=True)
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


def gains(values: npt.ArrayLike, maximise: Sequence[bool]) -> npt.NDArray[np.float64]:
    """`values` as (n, k) numbers of which more is always better. Raises ValueError for a wrong number of columns."""
    array = np.asarray(values, dtype=float)
    array = array.reshape(0, len(maximise)) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != len(maximise):
        raise ValueError(f"values of shape {array.shape} do not have one column for each of maximise={maximise}")
    return np.where(maximise, array, -array)
