"""Front, hypervolume and picks against hand-worked figures and brute force."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from analysis.weigh.tradeoff import best_per_model, fastest_within, hypervolume, knee, most_accurate_above
from record.pareto import pareto_mask

# Small integers make ties and duplicates common; NaN stands for what was not measured.
POINTS = arrays(
    float,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 1, 2, 3, 4, float("nan")]),
)


def dominates(one: np.ndarray, other: np.ndarray, maximise: list[bool]) -> bool:
    pairs = [(a, b) if up else (-a, -b) for a, b, up in zip(one, other, maximise, strict=True)]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@given(POINTS, st.data())
def test_front_is_what_no_other_row_dominates(values: np.ndarray, data: st.DataObject) -> None:
    maximise = data.draw(st.lists(st.booleans(), min_size=values.shape[1], max_size=values.shape[1]))
    expected = [
        not np.isnan(row).any() and not any(dominates(other, row, maximise) for other in values) for row in values
    ]
    assert pareto_mask(values, maximise).tolist() == expected


def test_front_of_hand_worked_rows() -> None:
    values = [[100, 0.9], [200, 0.8], [200, 0.8], [150, 0.8], [300, float("nan")], [50, 0.9]]
    assert pareto_mask(values, [True, True]).tolist() == [True, True, True, False, False, False]


def test_front_of_no_rows_is_empty() -> None:
    assert pareto_mask([], [True, True]).tolist() == []


def test_front_with_a_direction_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="one column for each"):
        pareto_mask([[1, 2]], [True])


@pytest.mark.parametrize("shape", ["cloud", "all on the front"])
def test_front_of_ten_thousand_points_is_not_found_pair_by_pair(shape: str) -> None:
    """Which takes minutes; this a second on a slow machine."""
    points = np.abs(np.random.default_rng(0).normal(size=(10_000, 3)))
    if shape == "all on the front":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    start = time.perf_counter()
    on_front = pareto_mask(points, [True] * 3)
    assert time.perf_counter() - start < 20
    assert on_front.all() == (shape == "all on the front")


def test_hypervolume_of_hand_worked_staircases() -> None:
    # 3 wide and 1 high, and on it 1 wide and 1 high; (1, 1) is inside.
    assert hypervolume([[3, 1], [1, 2], [1, 1]], [0, 0], [True, True]) == 4
    # The second column is a cost: 10 - 4 = 6 better than the reference.
    assert hypervolume([[2, 4]], [0, 10], [True, False]) == 12
    assert hypervolume([[1, 1, 3], [2, 2, 1]], [0, 0, 0], [True, True, True]) == 4 + 2
    assert hypervolume([[2.0, -1.0], [float("nan"), 5.0]], [0, 0], [True, True]) == 0


@given(arrays(int, st.tuples(st.integers(0, 8), st.sampled_from([2, 3])), elements=st.integers(0, 4)))
def test_hypervolume_counts_the_unit_cells_that_are_dominated(points: np.ndarray) -> None:
    size = points.shape[1]
    cells = np.stack(np.meshgrid(*[range(4)] * size, indexing="ij"), axis=-1).reshape(-1, size)
    expected = sum(any((point > cell).all() for point in points) for cell in cells)
    assert hypervolume(points, [0] * size, [True] * size) == expected


def test_hypervolume_takes_two_or_three_columns() -> None:
    with pytest.raises(ValueError, match="2 or 3 columns"):
        hypervolume([[1.0]], [0], [True])


CANDIDATES = pd.DataFrame(
    {
        "model": ["a", "a", "b", "b", "c"],
        "val_accuracy": [0.97, 0.96, 0.95, 0.70, None],
        "inference_images_per_second": [100.0, 200.0, 400.0, 800.0, 900.0],
    },
    index=[10, 11, 12, 13, 14],
)


def test_best_per_model_leaves_out_what_was_not_measured() -> None:
    assert best_per_model(CANDIDATES).index.to_list() == [10, 12]


@pytest.mark.parametrize(("points", "expected"), [(0.0, 10), (0.01, 11), (0.0199, 11), (0.02, 12), (1, 13)])
def test_fastest_within(points: float, expected: int) -> None:
    assert fastest_within(CANDIDATES, points).index.to_list() == [expected]


@pytest.mark.parametrize(("speed", "expected"), [(50, [10]), (101, [11]), (400, [12]), (801, [])])
def test_most_accurate_above(speed: float, expected: list[int]) -> None:
    assert most_accurate_above(CANDIDATES, speed).index.to_list() == expected


def test_knee_is_furthest_above_the_line_between_the_ends() -> None:
    # On log speed the points stand at 0, 1/3, 2/3, 1; their accuracies at 1, 26/27, 25/27, 0: the third bulges most.
    assert knee(CANDIDATES).index.to_list() == [12]


def test_knee_of_a_straight_or_a_short_front_is_none() -> None:
    straight = pd.DataFrame({"val_accuracy": [3.0, 2.0, 1.0], "inference_images_per_second": [1.0, 10.0, 100.0]})
    assert knee(straight).empty
    assert knee(CANDIDATES.head(2)).empty
    assert knee(CANDIDATES.head(0)).empty
