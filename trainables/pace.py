"""How fast the processor is just now: a yardstick that is timed in turns with whatever else is.

A processor's speed changes within seconds: its clock, its heat, and, on a rented machine, neighbours that nobody here can
see. Measured on two rented cores with nothing else running: a ViT's inference, timed for a second at a time, differs by
10 to 15 % (standard deviation), and neighbouring seconds are alike; its ratio to the yardstick differs by 2 to 5 %. Of
convolutions in bfloat16, which change more there than all else, the yardstick sees half.
"""

from __future__ import annotations

import statistics
import time

import torch

from trainables import device as hardware

TURN = 0.025  # seconds of the yardstick between two turns of what is timed
FIRST_TURNS = 6  # that decide what is usual
BATCH, TOKENS, WIDTH, HEADS = 64, 17, 64, 4  # a call takes about a millisecond


class Yardstick:
    """A small layer of a Transformer: products of matrices, exponentials, and traffic with the memory, as models have them.

    It computes on the CPU with the threads that torch has when it is made. There is none for a GPU, which nothing else uses
    while something is timed: its pace is always 1.
    """

    def __init__(self, device: torch.device) -> None:
        self._threads = torch.get_num_threads()
        self._layer: torch.nn.Module | None = None
        self.usual = 1.0
        if device.type == "cpu":
            with torch.random.fork_rng(devices=[]):
                layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, batch_first=True, norm_first=True)
                self._layer, self._tokens = layer.eval(), torch.randn(BATCH, TOKENS, WIDTH)
            self.turn()  # warms up
            self.usual = statistics.median(self.turn() for _ in range(FIRST_TURNS))

    @property
    def seconds(self) -> float | None:
        """The usual duration of the yardstick; None for a GPU."""
        return None if self._layer is None else self.usual

    def turn(self) -> float:
        """The duration of the yardstick now, in seconds."""
        if self._layer is None:
            return self.usual
        durations, ends = [], time.perf_counter() + TURN
        with torch.inference_mode(), hardware.threads(self._threads):
            while (start := time.perf_counter()) < ends:
                self._layer(self._tokens)
                durations.append(time.perf_counter() - start)
        return statistics.fmean(durations)
