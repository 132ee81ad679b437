"""`min_gain_per_hour` on a real ledger: when the search ends, and that a resume decides the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from study import gain
from study.ledger import Ledger
from study.proposals import SearchProposals
from study.space.reading import resolve
from study.space.schema import StudySpec

SPACE = {
    "description": "two models",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy"],
    "phases": ["search"],
    "trials": 5,
    "all_models": {"epochs": 1, "search": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}},
    "models": {"resnet18": {}, "scratch_vit": {}},
}


def spec(min_gain: float | None, **changes: object) -> StudySpec:
    return resolve(SPACE | {"min_gain_per_hour": min_gain} | changes, "test")


def search(ledger: Ledger, epoch_seconds: float, most: int = 99) -> SearchProposals:
    """Run at most so many trials, each a little better or worse than the others."""
    proposals = SearchProposals(ledger)
    for _ in range(most):
        if (trial := proposals.next()) is None:
            break
        accuracy = 0.9 + 0.002 * ((7 * len(ledger.trials)) % 5)
        row = {"epoch": 1, "val_accuracy": accuracy, "train_seconds": epoch_seconds, "eval_seconds": 0.0}
        ledger.record(trial, row)
        ledger.finish(trial, "complete", [accuracy])
    return proposals


def test_the_dearer_a_trial_the_sooner_the_search_ends(tmp_path: Path) -> None:
    counts = {}
    for name, seconds in (("cheap", 1.0), ("dear", 7200.0)):
        (tmp_path / name).mkdir()
        with Ledger(tmp_path / name, spec(0.2)) as ledger:
            proposals = search(ledger, seconds)
            counts[name] = len(ledger.trials)
            assert proposals.done and proposals.gains_little == (name == "dear")
    assert counts["cheap"] == 10 and 2 * gain.MIN_ENDED <= counts["dear"] < 10


def test_a_round_of_trials_is_never_left_half_done(tmp_path: Path) -> None:
    with Ledger(tmp_path, spec(0.2)) as ledger:
        search(ledger, 7200.0, most=2 * gain.MIN_ENDED - 1)
        assert gain.expected_gain_per_hour(ledger, 1) is None
        search(ledger, 7200.0)
        expected = gain.expected_gain_per_hour(ledger, 1)
        assert expected is not None and 0 < expected < 0.2
        # Two at a time take half as long.
        assert gain.expected_gain_per_hour(ledger, 2) == pytest.approx(2 * expected)


def test_an_end_that_was_decided_stays_until_less_gain_or_more_trials_are_wanted(tmp_path: Path) -> None:
    with Ledger(tmp_path, spec(0.2)) as ledger:
        assert search(ledger, 7200.0).gains_little
        ended = len(ledger.trials)
    for wanted in (spec(0.2), spec(0.3)):
        with Ledger(tmp_path, wanted) as ledger:
            assert SearchProposals(ledger).done
    for wanted in (spec(0.1), spec(None), spec(0.2, trials=6)):
        with Ledger(tmp_path, wanted) as ledger:
            assert not SearchProposals(ledger).done
    with Ledger(tmp_path, spec(None)) as ledger:
        assert not search(ledger, 7200.0).gains_little and len(ledger.trials) == 10 > ended


def test_an_interrupted_search_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    counts = []
    for name, most in (("whole", 99), ("in parts", 5)):
        (tmp_path / name).mkdir()
        done = False
        while not done:
            with Ledger(tmp_path / name, spec(1.0)) as ledger:
                done = search(ledger, 2000.0, most).done
        with Ledger(tmp_path / name, spec(1.0)) as ledger:
            counts.append(len(ledger.trials))
    assert counts[0] == counts[1] < 10
