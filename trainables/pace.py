"""How fast the processor is just now: a yardstick that is timed in turns with whatever else is.

A processor's speed changes within seconds: its clock, its heat, and, on a rented machine, neighbours that nobody here can
see. Measured on two rented cores with nothing else running, three small models timed again and again: inference differs by
9 to 12 % (standard deviation), and by 2 % where it is stated at the pace that the yardstick tells.
"""

from __future__ import annotations

import statistics
import time

import torch

from trainables import device as hardware

TURN = 0.025  # seconds of the yardstick between two turns of what is timed
FIRST_TURNS = 6  # that decide what is usual
ROWS, WIDTH = 1024 * 17, 64  # as a thousand small images have: a call takes some milliseconds


class Yardstick:
    """Half a layer of a Transformer: products of matrices, exponentials, and traffic with the memory, as models have them.

    Its numbers stay where they lay when it was made: how fast new memory is depends on what the process did before, and a
    yardstick that is given some tells more of that than of the processor. It computes on the CPU with the threads that
    torch has when it is made. There is none for a GPU, which nothing else uses while something is timed: its pace is
    always 1.
    """

    def __init__(self, device: torch.device) -> None:
        self._threads = torch.get_num_threads()
        self._is_timed = device.type == "cpu"
        self._turns: list[float] = []
        self.usual = 1.0
        if self._is_timed:
            self._tokens, self._result, self._inner, self._active = (
                torch.ones(ROWS, columns) for columns in (WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH)
            )
            self._up, self._down = torch.ones(WIDTH, 2 * WIDTH) / WIDTH, torch.ones(2 * WIDTH, WIDTH) / WIDTH
            self.turn()  # warms up
            self._turns.clear()
            self.usual = statistics.median(self.turn() for _ in range(FIRST_TURNS))

    @property
    def seconds(self) -> float | None:
        """The median of all its turns so far, which may differ from the usual of the first ones; None for a GPU."""
        return statistics.median(self._turns) if self._is_timed else None

    @property
    def pace(self) -> float:
        """That median over the usual of the first turns: far from 1 only where those were disturbed. What was stated at
        the usual pace is restated by it."""
        return (self.seconds or self.usual) / self.usual

    def turn(self) -> float:
        """The duration of the yardstick now, in seconds."""
        if not self._is_timed:
            return self.usual
        durations: list[float] = []
        ends = time.perf_counter() + TURN
        with torch.inference_mode(), hardware.threads(self._threads):
            while not durations or time.perf_counter() < ends:  # the process may be held up before the first one
                start = time.perf_counter()
                self._compute()
                durations.append(time.perf_counter() - start)
        self._turns.append(statistics.fmean(durations))
        return self._turns[-1]

    def _compute(self) -> None:
        torch.mm(self._tokens, self._up, out=self._inner)
        torch.ops.aten.gelu.out(self._inner, out=self._active)
        torch.mm(self._active, self._down, out=self._result)
        torch.softmax(self._result, -1, out=self._result)
