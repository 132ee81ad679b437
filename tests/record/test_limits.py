"""Limits: what holds certainly, perhaps or not, by hand; and what may be limited."""

from __future__ import annotations

import math

import pytest

from record import figures, tasks
from record.errors import UserError
from record.limits import CERTAINLY, NOT, PERHAPS, Limit, best, ends, known, measured, parse, worst

IMAGES = tasks.IMAGE_CLASSIFICATION.name
P99, SPEED = "latency_ms_p99", "inference_images_per_second"
BUSY = "other processes took 30% of the processor time"


def p99(value: float, low: float, high: float | None, busy: str | None = None) -> dict[str, object]:
    return {P99: value, f"{P99}_low": low, f"{P99}_high": high, "busy": busy}


@pytest.mark.parametrize(
    ("limit", "row", "verdict"),
    [
        (Limit(P99, 5.0), p99(4.0, 3.5, 4.9), CERTAINLY),
        (Limit(P99, 5.0), p99(4.0, 3.5, 5.0), CERTAINLY),  # the limit itself is allowed
        (Limit(P99, 5.0), p99(4.0, 3.5, 5.1), PERHAPS),
        (Limit(P99, 5.0), p99(6.0, 4.9, 7.0), PERHAPS),
        (Limit(P99, 5.0), p99(6.0, 5.1, 7.0), NOT),
        (Limit(P99, 5.0), p99(4.0, 3.5, None), PERHAPS),  # too few calls to bound it
        (Limit(P99, 5.0), p99(4.0, 3.5, math.nan), PERHAPS),  # as a table has it
        (Limit(P99, 5.0), p99(6.0, 5.1, None), NOT),
        (Limit(P99, 5.0), p99(6.0, 5.1, 7.0, BUSY), PERHAPS),  # without the disturbance it may be faster
        (Limit(P99, 5.0), p99(4.0, 3.5, 4.9, BUSY), CERTAINLY),
        (Limit(SPEED, 500.0), {SPEED: 300, f"{SPEED}_q1": 280, f"{SPEED}_q3": 320, "busy": BUSY}, PERHAPS),
        (Limit(P99, 5.0), {P99: 5.5}, NOT),  # no interval was measured
        # Turns that differ: 4.8 may be 5.3, and 5.5 be 5; but 30 is not 5.
        (Limit(P99, 5.0), p99(4.8, 4.7, 4.9) | {"uncertainty": 0.11}, PERHAPS),
        (Limit(P99, 5.0), p99(5.5, 5.4, 5.6) | {"uncertainty": 0.11}, PERHAPS),
        (Limit(P99, 5.0), p99(30.0, 29.0, 31.0) | {"uncertainty": 0.11}, NOT),
        (Limit(SPEED, 500.0), {SPEED: 520, f"{SPEED}_q1": 505, f"{SPEED}_q3": 530, "uncertainty": 0.11}, PERHAPS),
        (Limit("parameters", 1e6), {"parameters": 1_000_001, "uncertainty": 0.11}, NOT),
        (Limit(P99, 5.0), {}, PERHAPS),
        (Limit("parameters", 1e6), {"parameters": 1_000_000}, CERTAINLY),
        (Limit("parameters", 1e6), {"parameters": 1_000_001, "busy": BUSY}, NOT),  # nothing disturbs a number
        (Limit(SPEED, 500.0), {SPEED: 520, f"{SPEED}_q1": 505, f"{SPEED}_q3": 530}, CERTAINLY),
        (Limit(SPEED, 500.0), {SPEED: 520, f"{SPEED}_q1": 490, f"{SPEED}_q3": 530}, PERHAPS),
        (Limit(SPEED, 500.0), {SPEED: 450, f"{SPEED}_q1": 440, f"{SPEED}_q3": 470}, NOT),
    ],
)  # fmt: skip
def test_verdicts_by_hand(limit: Limit, row: dict[str, object], verdict: str) -> None:
    assert limit.verdict(row) == verdict


def test_several_limits_are_held_as_the_worst_and_several_settings_as_the_best() -> None:
    assert worst([CERTAINLY, PERHAPS]) == PERHAPS and worst([PERHAPS, NOT]) == NOT and worst([]) == CERTAINLY
    assert best([NOT, PERHAPS]) == PERHAPS and best([NOT, CERTAINLY]) == CERTAINLY and best([NOT]) == NOT


def test_limits_in_words_and_by_which_factor_they_are_missed() -> None:
    assert str(Limit(P99, 5.0)) == "under latency_ms_p99 5 ms"
    assert str(Limit("parameters", 10e6)) == "under parameters 10,000,000"
    assert str(Limit(SPEED, 500.0)) == "above inference_images_per_second 500 images/s"
    assert (
        measured(P99, p99(4.2, 4.0, 4.6)) == "4.2 ms (4 to 4.6)"
        and measured("parameters", {"parameters": 19008}) == "19,008"
    )
    assert Limit(P99, 5.0).excess({P99: 7.5}) == 1.5 and Limit(SPEED, 500.0).excess({SPEED: 250.0}) == 2.0


@pytest.mark.parametrize("task", tasks.TASKS)
def test_what_is_measured_alone_and_has_a_direction_may_be_limited(task: str) -> None:
    names = known(task)
    assert {P99, "latency_ms", "parameters", "peak_memory_mb", tasks.terms(task).speed} <= set(names)
    assert not {"train_seconds", tasks.terms(task).validation, "batch", "spread"} & set(names)
    assert {figures.BY_NAME[name].better for name in names} == {"more", "less"}


def test_intervals_stand_in_columns_of_the_profile() -> None:
    assert ends(P99) == [f"{P99}_low", f"{P99}_high"] and ends(SPEED) == [f"{SPEED}_q1", f"{SPEED}_q3"]
    assert ends("parameters") == []


def test_an_option_is_read_and_refused_in_a_line() -> None:
    assert parse("latency_ms_p99=5", IMAGES) == Limit(P99, 5.0) and parse("parameters=10e6", IMAGES).value == 1e7
    for text, words in (
        ("latency_ms_p99", "write NAME=NUMBER"),
        ("latency_ms_p98=5", "did you mean 'latency_ms_p99'"),
        ("val_accuracy=0.9", "'val_accuracy' is not a figure that is measured alone"),
        ("latency_ms_p99=fast", "a number above 0 is needed, got 'fast'"),
        ("latency_ms_p99=nan", "a number above 0"),
        ("latency_ms_p99=-1", "a number above 0"),
    ):
        with pytest.raises(UserError, match=words):
            parse(text, IMAGES)
