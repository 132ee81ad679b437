"""The test over seeds and examples together: against tables worked by hand, integrals, and studies with known truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from record.crossed import Difference, differences, examples_needed, seeds_needed, tail

Scores = dict[str, dict[int, np.ndarray]]


def made_up(
    accuracies: dict[str, float], images: int, seeds: int, deviation: float, random: np.random.Generator
) -> Scores:
    """Candidates of these accuracies, whose seeds deviate by `deviation`, and for all of which the same images are hard."""
    hard = random.normal(size=images)
    scores: Scores = {}
    for name, accuracy in accuracies.items():
        own = random.normal(size=images)
        for seed in range(seeds):
            reached = np.clip(accuracy + deviation * random.normal(), 0.01, 0.999)
            noise = 0.7 * hard + 0.4 * own + math.sqrt(0.35) * random.normal(size=images)
            scores.setdefault(name, {})[seed] = (noise < stats.norm.ppf(reached)).astype(float)
    return scores


def test_the_parts_of_the_variance_are_those_of_a_table_worked_by_hand() -> None:
    # Differences by seed and image: [1, 0, 1, 0], [1, 0, 0, -1]; mean 1/4. Means of seeds 1/2, 0; of images 1, 0, 1/2, -1/2.
    first = {1: np.array([1.0, 1, 1, 0]), 2: np.array([1.0, 1, 0, 0])}
    second = {1: np.array([0.0, 1, 0, 0]), 2: np.array([0.0, 1, 0, 1])}
    found = differences({"a": first, "b": second}, "a")["b"]
    # Sums of squares: all 3.5, seeds 0.5, images 2.5, rest 0.5; mean squares 0.5, 2.5/3, 0.5/3, each over 2 x 4 cells.
    assert found.mean == 0.25 and (found.seeds, found.examples, found.freedom) == (2, 4, 1)
    assert found.over_seeds == pytest.approx(0.5 / 8)
    assert found.interaction == pytest.approx(0.5 / 3 / 8)
    assert found.over_examples == pytest.approx((2.5 - 0.5) / 3 / 8)


def test_the_freedom_of_pooled_seeds_is_less_where_they_move_one_candidate_alone() -> None:
    """Satterthwaite: the square of the sum of squares over the sum of their squares. Residuals of a candidate that seeds move
    alone, by 1, 0 and -1 points: 3/4 of that, of each of the others -1/4; 12^2 / (9^2 + 3 x 1) = 12/7 candidates' worth."""
    still = {seed: np.array([0.9]) for seed in range(3)}
    moved = {seed: np.array([0.9 + (1 - seed) / 100]) for seed in range(3)}
    scores = {"a": still, "b": still, "c": still, "d": moved}
    assert [d.freedom for d in differences(scores, "a").values()] == pytest.approx([12 / 7 * 2] * 3)
    alike = {name: {seed: np.array([0.9 + shift[seed] / 100]) for seed in range(3)} for name, shift in
             {"a": (1, -1, 0), "b": (-1, 0, 1), "c": (0, 1, -1)}.items()}  # fmt: skip
    assert [d.freedom for d in differences(alike, "a").values()] == pytest.approx([2 * 2] * 2)


def test_seeds_alone_are_students_test() -> None:
    assert tail(0.03, 0.0001, 2, 0.0) == pytest.approx(2 * stats.t.sf(3, 2), rel=1e-9)
    a, b = [0.90, 0.93, 0.91, 0.95], [0.89, 0.90, 0.91, 0.91]
    scores = {name: {seed: np.array([x]) for seed, x in enumerate(values)} for name, values in (("a", a), ("b", b))}
    assert differences(scores, "a")["b"].p == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 6, 30])
@pytest.mark.parametrize("examples", [0.1, 1.0, 10.0])
def test_p_is_behrens_and_fishers_integral(freedom: int, examples: float) -> None:
    """Given the true variance, which is freedom / chi-square of the measured one, a normal tail."""

    def given_the_variance(chi2: float) -> float:
        return stats.chi2.pdf(chi2, freedom) * 2 * stats.norm.sf(2.5 / math.sqrt(freedom / chi2 + examples))

    reference = sum(integrate.quad(given_the_variance, *ends)[0] for ends in ((0, 0.01), (0.01, 1), (1, 400)))
    assert tail(2.5, 1.0, freedom, examples) == pytest.approx(reference, rel=1e-6)


@given(
    st.floats(-1, 1), st.floats(1e-8, 1), st.floats(0, 1), st.integers(1, 50), st.sampled_from([0.05, 0.01, 0.05 / 7])
)
def test_the_interval_excludes_zero_where_p_is_below_the_level(
    mean: float, seeds: float, examples: float, freedom: int, level: float
) -> None:
    found = Difference(mean, seeds, examples, 3, 100, 0.0, freedom)
    half = found.half_width(level)
    assert tail(half, seeds, freedom, examples) == pytest.approx(level, rel=1e-3)
    if abs(abs(mean) - half) > 1e-4 * half:
        assert (found.p < level) == (abs(mean) > half)


def test_pooling_guards_against_seeds_that_agree_by_luck() -> None:
    """a and b differ alike in all three seeds; c shows how much seeds may move a candidate."""
    means = {"a": [0.90, 0.91, 0.92], "b": [0.88, 0.89, 0.90], "c": [0.85, 0.95, 0.80]}
    scores = {name: {seed: np.array([x]) for seed, x in enumerate(values)} for name, values in means.items()}
    alone = {name: scores[name] for name in "ab"}
    assert differences(alone, "a")["b"].p < 1e-6 < 0.3 < differences(scores, "a")["b"].p


def test_pairs_use_the_seeds_that_both_have() -> None:
    scores = made_up({"a": 0.9, "b": 0.8, "c": 0.7}, 50, 4, 0.01, np.random.default_rng(0))
    del scores["b"][0], scores["b"][2], scores["c"][1], scores["c"][2], scores["c"][3]
    found = differences(scores, "a")
    assert set(found) == {"b"} and found["b"].seeds == 2
    both = [scores["a"][seed] - scores["b"][seed] for seed in (1, 3)]
    assert found["b"].mean == pytest.approx(np.mean(both))


def test_candidates_that_always_agree_do_not_differ() -> None:
    same = {seed: np.array([1.0, 0.0, 1.0]) for seed in range(3)}
    found = differences({"a": same, "b": same}, "a")["b"]
    assert (found.p, found.half_width(0.05)) == (1.0, 0.0)
    assert math.isnan(seeds_needed(found, 0.05)) and math.isnan(examples_needed(found, 0.05))


@pytest.mark.parametrize("deviation", [0.001, 0.01, 0.05])
def test_equal_candidates_are_hardly_ever_told_apart(deviation: float) -> None:
    """Four candidates of the same accuracy, the first compared with the others: an error in at most 5 % of studies."""
    random, errors = np.random.default_rng(1), 0
    for _ in range(300):
        scores = made_up(dict.fromkeys("abcd", 0.9), 200, 3, deviation, random)
        errors += min(found.p for found in differences(scores, "a").values()) < 0.05 / 3
    assert errors <= 24  # of 300 at 5 %: 15, and two standard deviations


def test_five_points_are_found_with_three_seeds_and_360_images() -> None:
    random, found = np.random.default_rng(2), 0
    for _ in range(200):
        scores = made_up({"a": 0.9, "b": 0.85, "c": 0.85, "d": 0.85}, 360, 3, 0.01, random)
        found += sum(d.p < 0.05 / 3 and d.mean > 0 for d in differences(scores, "a").values())
    assert found / 600 > 0.35


def test_what_is_needed_grows_as_the_difference_shrinks() -> None:
    """Seeds cannot make up for few images nor images for few seeds; NaN says that no number would do."""
    clear = Difference(0.05, 1e-5, 1e-4, 3, 1000, 1e-6, 6)
    assert examples_needed(clear, 0.05) < 1000 and seeds_needed(clear, 0.05) <= 3
    close = clear._replace(mean=0.02)
    assert examples_needed(close, 0.05) > 1000 and math.isnan(seeds_needed(close, 0.05))
    noisy = Difference(0.05, 4e-4, 1e-5, 3, 1000, 1e-6, 2)
    assert math.isnan(examples_needed(noisy, 0.05)) and seeds_needed(noisy, 0.05) > 3
    assert math.isnan(examples_needed(clear._replace(mean=0.001), 0.05))
