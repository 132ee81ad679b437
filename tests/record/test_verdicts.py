"""Corrections for comparisons and looks: by definition, and where the truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from record.crossed import differences
from record.looks import planned
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


@given(st.integers(2, 6), st.integers(2, 30))
def test_looks_rise_from_the_first_seeds_to_the_most(seeds: int, most: int) -> None:
    looks = planned(seeds, most)
    assert looks[0] == seeds and looks[-1] == max(seeds, most) and list(looks) == sorted(set(looks))


@pytest.mark.parametrize("looks", [(3,), (3, 6, 10), (2, 4, 8, 10)])
def test_luck_alone_crosses_the_level_at_one_of_the_looks_as_rarely_as_it_says(looks: tuple[int, ...]) -> None:
    """Where only seeds vary, whose variance each look estimates anew: the case in which bounds for a known one fail."""
    seeds = np.random.default_rng(0).normal(size=(100_000, looks[-1]))
    lowest = np.min([stats.ttest_1samp(seeds[:, :n], 0, axis=1).pvalue for n in looks], axis=0)
    random = np.random.default_rng(0)
    for share in (0.01, LEVEL):
        told = (lowest < share / len(looks)).mean()
        assert 0.8 * share < told < share + 2.5 * math.sqrt(share / len(lowest))
    run = {name: {seed: random.normal(size=1) for seed in range(looks[-1])} for name in "ab"}
    found = verdicts(run, "a", looks)["b"]
    assert found.p == min(1.0, len(looks) * found.measured.p) and found.level == LEVEL / len(looks)


def test_what_is_certain_or_unknown_stays_so() -> None:
    """Seeds that all differ by the same, that do not differ, and one that is not known."""
    for other, p in ((0.5, 0.0), (0.75, 1.0)):
        scores = {"a": dict.fromkeys(range(4), np.array([0.75])), "b": dict.fromkeys(range(4), np.array([other]))}
        assert verdicts(scores, "a", (2, 4))["b"].p == p
    scores = {"a": {0: np.array([0.5]), 1: np.array([math.nan])}, "b": {0: np.array([0.5]), 1: np.array([0.6])}}
    verdict = verdicts(scores, "a", (2, 4))["b"]
    assert math.isnan(verdict.p) and math.isnan(verdict.p_holm) and not verdict.differ


def test_a_verdict_counts_comparisons_and_looks() -> None:
    random = np.random.default_rng(0)
    scores = {
        c: {s: (random.random(300) < share).astype(float) for s in range(3)}
        for c, share in zip("abc", (0.9, 0.85, 0.5), strict=True)
    }
    compared, looks = differences(scores, "a"), (3, 6, 10)
    reached = verdicts(scores, "a", looks)
    expected = holm([min(1.0, 3 * d.p) for d in compared.values()])
    assert [v.p_holm for v in reached.values()] == expected.tolist() and [v.differ for v in reached.values()] == [
        False,
        True,
    ]
    assert reached["b"].level == LEVEL / 2 / 3
    assert verdicts(scores, "a")["b"].p == compared["b"].p
    assert verdicts(scores, "a", variances=dict.fromkeys("abc", 0.01))["b"].measured.over_examples == 0.02
