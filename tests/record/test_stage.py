"""How long a study still takes, on hand-worked numbers."""

from __future__ import annotations

from record.ledger import Stage

EXPECTED = {"search": 100.0, "confirm": 40.0}


def test_the_timings_say_it_until_a_trial_is_done() -> None:
    stage = Stage("search", 10, 0.0, 1000.0, EXPECTED)
    assert stage.remaining_seconds(0.0, 1000.0) == 140.0
    assert stage.remaining_seconds(0.5, 1020.0) == 120.0


def test_then_the_pace_of_this_run_says_it_which_later_phases_share() -> None:
    stage = Stage("search", 10, 4.0, 1000.0, EXPECTED)  # four were done before
    assert stage.remaining_seconds(6.0, 1040.0) == 4 * 20.0 + 2 * 40.0  # each takes twice as long as expected
    assert Stage("confirm", 4, 0.0, 1000.0, EXPECTED).remaining_seconds(2.0, 1010.0) == 10.0


def test_without_timings_the_first_epoch_says_it() -> None:
    stage = Stage("search", 4, 0.0, 1000.0)
    assert stage.remaining_seconds(0.0, 1010.0) is None
    assert stage.remaining_seconds(0.5, 1010.0) == 70.0


def test_a_stage_is_read_as_it_was_recorded() -> None:
    stage = Stage("search", 10, 4.5, 1000.0, EXPECTED)
    assert Stage.read(stage.recorded()) == stage
