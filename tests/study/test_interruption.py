"""Ctrl-C and SIGTERM are remembered even where the exception that they raise is swallowed."""

from __future__ import annotations

import contextlib
import signal

import pytest

from study.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_swallowed_interruption_is_raised_at_the_next_check(number: signal.Signals) -> None:
    interruption, before = Interruption(), signal.getsignal(number)
    with interruption.caught():
        interruption.check()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(number) is before


def test_an_interruption_is_raised_at_once() -> None:
    with Interruption().caught(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
