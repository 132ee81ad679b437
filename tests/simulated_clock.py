"""A clock for tests of timings: no machine is so quiet that real ones could decide."""

from __future__ import annotations


class SimulatedClock:
    """Takes the place of the module `time`. Only `sleep` takes time, and a look at it a microsecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
