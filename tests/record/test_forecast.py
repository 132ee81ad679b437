"""The forecast against cases worked by hand, what exchangeable trials must do, and simulations with a known end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from record import forecast
from record.forecast import Curve, Floats, best_draws, cell_draws, end_draws, height, interval, quality
from study.search import tpe

NONE_RUNNING = np.empty((0, 500))


def trial(*values: float, epochs: int | None = None, entry: str = "vit", ended: bool = True) -> Curve:
    return Curve(entry, entry, epochs or len(values), values, ended)


@given(st.floats(0, 1))
def test_quality_is_the_inverse_of_height(share: float) -> None:
    assert quality(height(share)) == pytest.approx(share, abs=1e-9)


def test_the_interval_is_the_shortest_that_holds_enough_draws() -> None:
    # Four of five lie in [1, 2] and in [2, 9]; one more or less would be too few or too many.
    assert interval(np.array([9.0, 2.0, 1.0, 1.2, 1.5])) == (1.0, 2.0)
    # Where most draws bring nothing better, what there is now is the lower end.
    assert interval(np.array([0.9] * 7 + [0.91, 0.95, 0.99]), 0.8) == (0.9, 0.91)


def test_a_trial_that_has_all_its_epochs_ends_where_it_is() -> None:
    assert set(end_draws(trial(0.3, 0.7, ended=False), [], np.random.default_rng(0), 9)) == {0.7}


def test_a_running_trial_ends_as_its_peers_did() -> None:
    random = np.random.default_rng(0)
    gains = random.normal(1.0, 0.02, 40)
    peers = [
        trial(float(quality(1.0 + 0.01 * i)), float(quality(1.0 + 0.01 * i + gain))) for i, gain in enumerate(gains)
    ]
    running = trial(float(quality(1.2)), epochs=2, ended=False)
    low, high = interval(end_draws(running, peers, random))
    assert quality(2.0) < low < quality(2.2) < high < quality(2.4)
    # Stopped trials, other models and other budgets say nothing of its end.
    others = [trial(0.3, epochs=2), trial(0.3, 0.99, entry="resnet"), trial(0.3, 0.9, 0.99)]
    alone = end_draws(running, [], np.random.default_rng(1))
    assert (end_draws(running, others, np.random.default_rng(1)) == alone).all()


def test_the_fewer_epochs_are_known_the_wider_is_the_interval() -> None:
    def width(known: int) -> float:
        low, high = interval(end_draws(trial(*[0.5] * known, epochs=16, ended=False), [], np.random.default_rng(0)))
        return float(height(high) - height(low))

    assert width(1) > width(4) > width(12) > 0


def test_without_peers_an_error_that_fell_less_falls_less() -> None:
    """After 4 of 16 epochs: one that halved is expected to fall by 4^0.35, one that stayed or grew by half that exponent."""
    for first, exponent in ((0.0, 0.35), (0.5, 0.175), (0.6, 0.175)):
        drawn = end_draws(trial(first, 0.5, 0.5, 0.5, epochs=16, ended=False), [], np.random.default_rng(0))
        assert np.median(height(drawn)) == pytest.approx(float(height(0.5)) + exponent * math.log(4), abs=0.02)


def test_trials_of_a_search_that_learns_count_twice() -> None:
    """Of 8 known trials, 2 more fill the space; from the eleventh on each is as good as two at random."""
    assert forecast.FILLING_TRIALS == tpe.FILLING_TRIALS
    known = [trial(0.5 + 0.02 * i) for i in range(8)]
    ends = np.array([curve.values[-1] for curve in known])
    for more, random_trials in ((1, 1), (2, 2), (5, 8)):
        expected = best_draws(ends, NONE_RUNNING, [random_trials], np.random.default_rng(0), 500)
        assert (cell_draws("vit", known, [more], np.random.default_rng(0), 500) == expected).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_more_trials_are_never_worse_and_no_more_change_nothing(ended: list[float], seed: int) -> None:
    draws = best_draws(np.array(ended), NONE_RUNNING, [0, 1, 5, 100], np.random.default_rng(seed), 50)
    assert draws[0] == pytest.approx(max(ended), abs=1e-9)
    assert (np.diff(draws, axis=0) >= 0).all() and (draws <= 1).all()


def test_a_new_best_is_as_likely_as_among_exchangeable_trials() -> None:
    """Of m + n trials in a random order, the best is among the last n with probability n / (m + n)."""
    random = np.random.default_rng(0)
    for known, more in ((1, 1), (4, 4), (8, 4), (6, 30)):
        better = []
        for _ in range(200):
            ended = quality(random.normal(2.0, 0.3, known))
            better.append((best_draws(ended, NONE_RUNNING, [more], random, 200) > ended.max() + 1e-9).mean())
        assert np.mean(better) == pytest.approx(more / (known + more), abs=0.1)


def normal(count: int, random: np.random.Generator) -> Floats:
    return random.normal(random.uniform(1, 3), random.uniform(0.05, 0.5), count)


def around_an_optimum(count: int, random: np.random.Generator) -> Floats:
    """Two settings drawn at random, a best one somewhere, and luck."""
    settings, best = random.uniform(-1, 1, (count, 2)), random.uniform(-0.7, 0.7, 2)
    height = random.uniform(1.5, 3.5) - random.uniform(0.2, 2) * ((settings - best) ** 2).sum(axis=1)
    return height + random.normal(0, random.uniform(0.02, 0.15), count)


@pytest.mark.parametrize("reached", [normal, around_an_optimum])
@pytest.mark.parametrize(("known", "more"), [(4, 4), (8, 8), (8, 32)])
def test_intervals_of_the_best_hold_where_the_truth_is_known(reached, known: int, more: int) -> None:
    random = np.random.default_rng(known + more)
    held = []
    for _ in range(300):
        all_trials = quality(reached(known + more, random))
        low, high = interval(best_draws(all_trials[:known], NONE_RUNNING, [more], random, 400)[0])
        held.append(low - 1e-9 <= all_trials.max() <= high + 1e-9)
    assert 0.7 <= np.mean(held) <= 0.95


def test_intervals_of_ends_hold_where_the_truth_is_known() -> None:
    """Curves that fall as power laws to a floor of their own, seen through a validation split of 500 images."""
    random = np.random.default_rng(0)

    def curve() -> Curve:
        floor, decay = random.uniform(0.02, 0.3), random.uniform(0.3, 1.2)
        errors = floor + (0.9 - floor) * np.arange(1, 13) ** -decay
        return trial(*(1 - random.binomial(500, errors) / 500).tolist())

    held = []
    for _ in range(40):
        trials = [curve() for _ in range(12)]
        for i, whole in enumerate(trials):
            running = whole._replace(values=whole.values[:4], ended=False)
            low, high = interval(end_draws(running, trials[:i], random, 500))
            held.append(low <= whole.values[-1] <= high)
    assert 0.7 <= np.mean(held) <= 0.95


def test_running_trials_of_a_cell_may_become_its_best() -> None:
    random = np.random.default_rng(0)
    ended = [trial(0.5, 0.6), trial(0.4, 0.5)]
    promising = trial(0.59, epochs=2, ended=False)
    without = cell_draws("vit", ended, [0], random)[0]
    assert set(without.round(9)) == {0.6}
    assert cell_draws("vit", [*ended, promising], [0], random)[0].mean() > 0.62
    # A trial that failed before its first epoch is one more that was not good.
    failed = Curve("vit", "vit", 2, (), True)
    assert cell_draws("vit", [*ended, failed], [5], np.random.default_rng(0))[0].mean() < 1
    assert math.isclose(cell_draws("vit", [failed], [0], random)[0].max(), 0.0, abs_tol=1e-9)
