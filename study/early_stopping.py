"""Early stopping within a stratum. A decision is recorded with the row that it was made at, so a resumed study keeps it.

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
from trainables.task import Figures

CONTINUE, STOP = "continue", "stop"  # a row's `decision`


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


def decide(trial: Trial, row: Figures, trials: Iterable[Trial], rule: EarlyStopping, metric: str) -> str | None:
    """CONTINUE or STOP for a trial whose next row this is; None where the trial is not compared after this epoch.

    The decision depends on which trials have come so far, so it is recorded with the row and never made again.
    """
    epoch = int(number(row, "epoch"))
    if trial.cell.phase != SEARCH or epoch >= trial.epochs or not is_rung(epoch, rule):
        return None
    peers = [
        number(peer.rows[epoch - 1], metric)
        for peer in trials
        if peer is not trial and stratum(peer) == stratum(trial) and len(peer.rows) >= epoch
    ]
    return STOP if is_out(number(row, metric), peers, rule.reduction_factor) else CONTINUE


def stratum(trial: Trial) -> tuple[object, ...]:
    return trial.cell.phase, trial.cell.entry, trial.params.get("train_size")
