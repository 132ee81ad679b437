"""Intervals and tests against scipy, statsmodels and hand-worked numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from analysis.weigh.statistics import (
    accuracy_interval,
    bootstrap_accuracies,
    front_probability,
    student_interval,
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
    low, high = wilson_interval(right, total)
    assert (low, high) == pytest.approx(proportion_confint(right, total, method="wilson"), **EXACT)
    assert low <= right / total <= high  # exactly, for whiskers have no negative length


@pytest.mark.parametrize("total", [*range(1, 400)])
def test_wilson_interval_holds_all_and_none(total: int) -> None:
    assert wilson_interval(total, total).high == 1.0 and wilson_interval(0, total).low == 0.0


def test_nothing_measured_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert all(math.isnan(bound) for bound in (*student_interval([0.9]), *accuracy_interval([0.9], 100)))
    with pytest.raises(ValueError, match="between 0 and total=10"):
        wilson_interval(11, 10)


def test_interval_over_seeds_and_images_by_hand() -> None:
    # Seeds: 0.02^2 / 3; images: 0.92 x 0.08 / 400; Satterthwaite's degrees of freedom from both.
    of_seeds, of_images = 0.0004 / 3, 0.92 * 0.08 / 400
    freedom = (of_seeds + of_images) ** 2 / (of_seeds**2 / 2 + of_images**2 / 399)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(of_seeds + of_images)
    assert accuracy_interval([0.90, 0.92, 0.94], 400) == pytest.approx((0.92 - half, 0.92 + half), **EXACT)


def test_all_right_is_not_certain() -> None:
    """36 of 36 images with each of three seeds: Wilson's lower bound is 36 / (36 + 1.96^2) = 0.9036."""
    z2 = stats.norm.ppf(0.975) ** 2
    assert accuracy_interval([1.0, 1.0, 1.0], 36) == pytest.approx((36 / (36 + z2), 1.0), abs=1e-12)
    assert accuracy_interval([0.0, 0.0], 36) == pytest.approx((0.0, z2 / (36 + z2)), abs=1e-12)


@pytest.mark.parametrize("accuracy", [0.95, 0.98, 0.995])
def test_interval_over_seeds_and_images_covers_near_one_as_often_as_it_says(accuracy: float) -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        low, high = accuracy_interval((random.random((3, 100)) < accuracy).mean(axis=1), 100)
        covered += low <= accuracy <= high
    assert covered >= 940


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
