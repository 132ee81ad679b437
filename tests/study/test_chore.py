"""What a driver does again and again must not take its time."""

from __future__ import annotations

import time

from study.chore import Chore


def test_a_chore_is_done_when_it_is_due_or_asked_for() -> None:
    done: list[int] = []
    chore = Chore(lambda: done.append(1), every=1000)
    chore.if_due()
    chore.if_due()
    assert len(done) == 1
    chore()
    assert len(done) == 2


def test_a_chore_takes_a_tenth_of_the_time_at_most() -> None:
    """20 ms of work leave 180 ms for the rest."""
    chore = Chore(lambda: time.sleep(0.02))
    started = time.monotonic()
    chore()
    assert chore.due - started >= 0.2
