"""Early stopping within a stratum, decided from recorded rows: a resumed study decides as an uninterrupted one does.

This is asynchronous successive halving (arXiv 1810.05934) in its stopping form: at the epochs `grace_epochs` x
`reduction_factor`^k a trial goes on only if it is among the best 1/`reduction_factor` of the trials that have reached
that epoch so far. A stratum is one model entry with one train size: a trial is not compared with trials that learn from
other data or start from other weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from record.folder import SEARCH
from study.ledger import Trial, number
from study.space.schema import EarlyStopping


def is_rung(epoch: int, rule: EarlyStopping) -> bool:
    """Whether trials are compared after this epoch."""
    rung = rule.grace_epochs
    while rung < epoch:
        rung *= rule.reduction_factor
    return rung == epoch


def is_out(value: float, peers: Sequence[float], reduction_factor: int) -> bool:
    """Whether `value` is not among the best 1/reduction_factor of itself and its peers (higher is better).

    Fewer than `reduction_factor` values are too few to judge by, so nothing is stopped.
    """
    survivors = (len(peers) + 1) // reduction_factor
    return survivors >= 1 and sum(peer > value for peer in peers) >= survivors


def should_stop(trial: Trial, trials: Iterable[Trial], rule: EarlyStopping, metric: str) -> bool:
    """Whether the trial, whose last row is recorded, is to be stopped now."""
    epoch = len(trial.rows)
    if trial.cell.phase != SEARCH or not is_rung(epoch, rule):
        return False
    peers = [
        number(peer.rows[epoch - 1], metric)
        for peer in trials
        if peer is not trial and stratum(peer) == stratum(trial) and len(peer.rows) >= epoch
    ]
    return is_out(number(trial.last, metric), peers, rule.reduction_factor)


def stratum(trial: Trial) -> tuple[object, ...]:
    return trial.cell.phase, trial.cell.entry, trial.params.get("train_size")
