"""Intervals and tests against scipy, statsmodels and hand-worked numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from analysis.weigh.statistics import (
    accuracy_interval,
    bootstrap_accuracies,
    front_probability,
    holm,
    images_to_tell_apart,
    mcnemar,
    student_interval,
    welch,
    wilson_interval,
)
from record.pareto import pareto_mask

EXACT = {"rel": 0, "abs": 1e-9}


def test_student_interval_of_three_seeds_by_hand() -> None:
    # mean 0.92, s = 0.02, t(0.975, 2) = 4.302652729911275: half-width 4.3026... x 0.02 / sqrt(3)
    half = 4.302652729911275 * 0.02 / math.sqrt(3)
    assert student_interval([0.90, 0.92, 0.94]) == pytest.approx((0.92 - half, 0.92 + half), **EXACT)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_student_interval_agrees_with_statsmodels(values: list[float]) -> None:
    assert student_interval(values) == pytest.approx(DescrStatsW(values).tconfint_mean(), **EXACT)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_agrees_with_statsmodels(counted: tuple[int, int]) -> None:
    right, total = counted
    assert wilson_interval(right, total) == pytest.approx(proportion_confint(right, total, method="wilson"), **EXACT)


def test_nothing_measured_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert all(math.isnan(bound) for bound in (*student_interval([0.9]), *accuracy_interval([0.9], 100)))
    assert math.isnan(welch([0.9], [0.8, 0.7]))
    assert holm([]).size == 0
    with pytest.raises(ValueError, match="between 0 and total=10"):
        wilson_interval(11, 10)


def test_interval_over_seeds_and_images_by_hand() -> None:
    # Seeds: 0.02^2 / 3; images: 0.92 x 0.08 / 400; Satterthwaite's degrees of freedom from both.
    of_seeds, of_images = 0.0004 / 3, 0.92 * 0.08 / 400
    freedom = (of_seeds + of_images) ** 2 / (of_seeds**2 / 2 + of_images**2 / 399)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(of_seeds + of_images)
    assert accuracy_interval([0.90, 0.92, 0.94], 400) == pytest.approx((0.92 - half, 0.92 + half), **EXACT)


def test_interval_over_seeds_and_images_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        # Image i is hard for all models alike, and each seed has its own skill: the truth is their mean, 0.8.
        hard = random.normal(0, 0.1, 300)
        skill = random.normal(0.8, 0.02, 3)
        right = random.random((3, 300)) < np.clip(skill[:, None] + hard, 0, 1)
        low, high = accuracy_interval(right.mean(axis=1), 300)
        covered += low <= 0.795 <= high  # clipping at 1 takes about half a point off 0.8
    assert 0.94 < covered / 2000 < 1


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_mcnemar_agrees_with_statsmodels(only_first: int, only_second: int, both: int) -> None:
    first = [True] * only_first + [False] * only_second + [True] * both
    second = [False] * only_first + [True] * only_second + [True] * both
    result = mcnemar(first, second)
    exact = only_first + only_second < 25
    assert result.test == ("exact" if exact else "chi-square")
    assert (result.only_first, result.only_second) == (only_first, only_second)
    if not exact and only_first == only_second:
        assert result.p == 1  # the correction for continuity must not make equal counts differ
    else:
        reference = reference_mcnemar([[both, only_first], [only_second, 0]], exact=exact, correction=True)
        assert result.p == pytest.approx(reference.pvalue, **EXACT)


def test_mcnemar_by_hand() -> None:
    # 1 against 9 disagreements: 2 x (C(10, 0) + C(10, 1)) / 2^10 = 22 / 1024
    right = np.ones(20, dtype=bool)
    first, second = right.copy(), right.copy()
    first[:9], second[9] = False, False
    assert mcnemar(first, second).p == pytest.approx(22 / 1024, **EXACT)
    with pytest.raises(ValueError, match="same items"):
        mcnemar([True], [True, False])


@settings(deadline=None, max_examples=10)  # statsmodels collects garbage at each call: half a second in a large process
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], **EXACT)
    with_gap = holm([*p_values, math.nan])
    assert with_gap[:-1] == pytest.approx(holm(p_values), **EXACT)
    assert math.isnan(with_gap[-1])


def test_welch_agrees_with_scipy() -> None:
    a, b = [0.90, 0.92, 0.94], [0.85, 0.86, 0.90]
    assert welch(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, **EXACT)
    assert welch([0.9, 0.9], [0.9, 0.9]) == 1
    assert welch([0.9, 0.9], [0.8, 0.8]) == 0


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6))
def test_front_probability_of_one_draw_is_the_front(points: list[tuple[int, int]]) -> None:
    accuracies, speeds = zip(*points, strict=True)
    expected = pareto_mask([*zip(speeds, accuracies, strict=True)], [True, True])
    assert front_probability([accuracies], speeds).tolist() == expected.astype(float).tolist()
    both = front_probability([accuracies, accuracies], speeds)
    assert both.tolist() == expected.astype(float).tolist()


def test_bootstrap_spreads_as_seeds_and_images_do() -> None:
    random = np.random.default_rng(1)
    skills = np.linspace(0.7, 0.9, 20)
    right = random.random((20, 500)) < skills[:, None]
    drawn = bootstrap_accuracies([right, right[:1]], 2000, np.random.default_rng(0))
    accuracies = right.mean(axis=1)
    of_images = right.mean(axis=0).var() / 500
    assert drawn[:, 0].mean() == pytest.approx(accuracies.mean(), abs=0.002)
    assert drawn[:, 0].var() == pytest.approx(accuracies.var() / 20 + of_images, rel=0.15)
    assert drawn[:, 1].var() == pytest.approx(right[0].var() / 500, rel=0.15)  # one seed: images alone


def test_images_to_tell_apart_by_hand() -> None:
    # Disagreement 0.1, difference 0.02: (1.95996 sqrt(0.1) + 0.84162 sqrt(0.1 - 0.0004))^2 / 0.0004
    expected = (1.959963984540054 * math.sqrt(0.1) + 0.8416212335729143 * math.sqrt(0.0996)) ** 2 / 0.0004
    assert images_to_tell_apart(0.1, 0.02) == pytest.approx(expected, **{"rel": 1e-9})
    assert images_to_tell_apart(0.1, 0.0) == math.inf


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 60), st.integers(0, 59), st.integers(0, 300))
def test_more_images_are_needed_wherever_those_at_hand_show_nothing(gap: int, second: int, more: int) -> None:
    first = second + gap
    kinds = np.repeat(
        [0, 1, 2], [first + second + more, first, second]
    )  # the models agree on half of the images or more
    if mcnemar(kinds != 2, kinds != 1).p >= 0.05:
        assert images_to_tell_apart((first + second) / len(kinds), gap / len(kinds)) > len(kinds)


def test_that_many_images_find_the_difference_four_times_in_five() -> None:
    images = round(images_to_tell_apart(0.2, 0.05))
    random = np.random.default_rng(0)
    kinds = random.choice(3, size=(1000, images), p=[0.8, 0.125, 0.075])
    detected = [mcnemar(row != 2, row != 1).p < 0.05 for row in kinds]
    assert np.mean(detected) == pytest.approx(0.8, abs=0.05)
