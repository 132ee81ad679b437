"""Corrections for comparisons and looks: by definition, Pocock's published bounds, and studies with known truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from record.crossed import differences
from record.looks import at_each_look, over_looks, planned
from record.verdicts import LEVEL, holm, verdicts

EXACT = {"rel": 0, "abs": 1e-9}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_its_definition(p_values: list[float]) -> None:
    """Holm 1979: the i-th smallest p times the number of those that are not smaller, but never below an earlier one."""
    expected, largest = dict[int, float](), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - rank) * p_values[i])
        expected[i] = min(1.0, largest)
    assert holm(p_values) == pytest.approx([expected[i] for i in range(len(p_values))], **EXACT)
    with_gap = holm([*p_values, math.nan])
    assert with_gap[:-1] == pytest.approx(holm(p_values), **EXACT)
    assert math.isnan(with_gap[-1])


def test_holm_of_a_table_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]).size == 0


@pytest.mark.parametrize(("count", "bound"), [(1, 1.960), (2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (10, 2.555)])
def test_the_bound_of_evenly_spaced_looks_is_the_published_one(count: int, bound: float) -> None:
    """Pocock 1977, table 1, for 5 %."""
    level = at_each_look(0.05, tuple(range(1, count + 1)))
    assert stats.norm.isf(level / 2) == pytest.approx(bound, abs=6e-4)


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-9, 0.5), st.integers(2, 6), st.integers(2, 30))
def test_looking_more_often_never_makes_a_result_more_certain(p: float, seeds: int, most: int) -> None:
    looks = planned(seeds, most)
    assert looks[0] == seeds and looks[-1] == max(seeds, most) and list(looks) == sorted(set(looks))
    assert p * (1 - 1e-6) <= over_looks(p, looks) <= p * len(looks) * (1 + 1e-6)
    assert over_looks(at_each_look(p, looks), looks) == pytest.approx(p, rel=1e-3)


def test_certain_and_unknown_stay_so() -> None:
    assert over_looks(0.0, (3, 6)) == 0 and over_looks(1.0, (3, 6)) == 1 and math.isnan(over_looks(math.nan, (3, 6)))


def test_a_crossing_by_luck_is_as_rare_as_it_says() -> None:
    looks = planned(3, 10)
    sums = np.random.default_rng(0).normal(size=(40_000, 10)).cumsum(axis=1)[:, np.array(looks) - 1]
    largest = np.abs(sums / np.sqrt(looks)).max(axis=1)
    assert (largest > stats.norm.isf(0.01)).mean() == pytest.approx(over_looks(0.02, looks), abs=0.003)


def test_a_verdict_counts_comparisons_and_looks() -> None:
    random = np.random.default_rng(0)
    scores = {
        c: {s: (random.random(300) < share).astype(float) for s in range(3)}
        for c, share in zip("abc", (0.9, 0.85, 0.5), strict=True)
    }
    compared, looks = differences(scores, "a"), (3, 6, 10)
    reached = verdicts(scores, "a", looks)
    expected = holm([over_looks(d.p, looks) for d in compared.values()])
    assert [v.p_holm for v in reached.values()] == expected.tolist() and [v.differ for v in reached.values()] == [
        False,
        True,
    ]
    assert reached["b"].level == at_each_look(LEVEL / 2, looks) < LEVEL / 2
    assert verdicts(scores, "a")["b"].p == compared["b"].p
    assert verdicts(scores, "a", variances=dict.fromkeys("abc", 0.01))["b"].measured.over_examples == 0.02
