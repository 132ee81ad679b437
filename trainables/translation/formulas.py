"""The formulas of the translation task's training: the paper's learning rate, the entropy of smoothed labels."""

from __future__ import annotations

import math


def learning_rate(step: int, width: int, warmup: int, cooldown: float, steps: int) -> float:
    """width^-0.5 x min(step^-0.5, step x warmup^-1.5) (arXiv 1706.03762, section 5.3), falling to 0 at the end.

    step: counts the batches of the whole training, from 1 to `steps`. cooldown: number of batches at the end over which
    the rate falls linearly; 0: it does not, as in the paper.
    """
    rate = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
    return rate * min(1.0, (steps - step + 1) / cooldown) if cooldown else rate


def smoothed_entropy(smoothing: float, classes: int) -> float:
    """Entropy of the smoothed target distribution (nats): what the smoothed cross-entropy cannot fall below."""
    likely, others = 1 - smoothing + smoothing / classes, smoothing / classes
    return -likely * math.log(likely) - ((classes - 1) * others * math.log(others) if others else 0.0)
