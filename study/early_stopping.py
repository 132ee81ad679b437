"""Early stopping. A decision is recorded with the row that it was made at, so a resumed study keeps it.

This is asynchronous successive halving (arXiv 1810.05934) in its stopping form: at the epochs `grace_epochs` x
`reduction_factor`^k a trial goes on only if it is among the best 1/`reduction_factor`, or the best two, of the trials
that have reached that epoch so far and may replace it: those of the same model entry that learn from no more images and
are at least as good in every objective that does not depend on learning. A trial that merges more tokens is fast and
less accurate; raced against slower ones it would always lose, and with it the other end of the front. (Schmucker et al.
sort by dominance for the same reason, arXiv 2106.12639.) One that is behind others with fewer images would hardly end
ahead of them. Two, because where few are compared a single one that starts faster would end the trial that ends best.
The best of its own cell goes on in any case: a space crosses factors to learn what each of their values gives, so each
cell has a complete trial.

In simulated studies of four kinds (benchmarks/stopping.py) it keeps 94 to 100 % of the true front's members, where accuracy
alone keeps 55 to 93 %, and trains 65 to 81 % of the epochs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence

from record.folder import SEARCH
from study.ledger import Trial, number
from study.space.schema import EarlyStopping
from trainables.task import Figures

# What a trial gains in the objectives that do not depend on what it learns, such as its speed; None where it was not timed.
Gains = Callable[[Trial], tuple[float, ...] | None]

CONTINUE, STOP = "continue", "stop"  # a row's `decision`
MIN_SURVIVORS = 2


def is_rung(epoch: int, rule: EarlyStopping) -> bool:
    """Whether trials are compared after this epoch."""
    rung = rule.grace_epochs
    while rung < epoch:
        rung *= rule.reduction_factor
    return rung == epoch


def is_out(value: float, peers: Sequence[float], reduction_factor: int) -> bool:
    """Whether `value` is neither among the best 1/reduction_factor of itself and its peers nor among the best two of them
    (higher is better).

    Fewer than `reduction_factor` values are too few to judge by, so nothing is stopped.
    """
    share = (len(peers) + 1) // reduction_factor
    return share >= 1 and sum(peer > value for peer in peers) >= max(share, MIN_SURVIVORS)


def decide(
    trial: Trial, row: Figures, trials: Iterable[Trial], rule: EarlyStopping, metric: str, gains: Gains
) -> str | None:
    """CONTINUE or STOP for a trial whose next row this is; None where the trial is not compared after this epoch.

    The decision depends on which trials have come so far, so it is recorded with the row and never made again.
    """
    epoch = int(number(row, "epoch"))  # which the trial's own rows do not have yet
    if trial.cell.phase != SEARCH or epoch >= trial.epochs or not is_rung(epoch, rule):
        return None
    value = number(row, metric)
    reached = [(peer, number(peer.rows[epoch - 1], metric)) for peer in trials if len(peer.rows) >= epoch]
    if value >= max((other for peer, other in reached if peer.cell == trial.cell), default=-math.inf):
        return CONTINUE
    may_replace = replacing(trial, gains)
    rivals = [other for peer, other in reached if may_replace(peer)]
    return STOP if is_out(value, rivals, rule.reduction_factor) else CONTINUE


def replacing(trial: Trial, gains: Gains) -> Callable[[Trial], bool]:
    """Whether whoever wants the trial's speed could as well take a peer, if that is more accurate."""
    place, size, own = (trial.cell.phase, trial.cell.entry), train_size(trial), gains(trial)

    def may_replace(peer: Trial) -> bool:
        if train_size(peer) > size or (peer.cell.phase, peer.cell.entry) != place:
            return False
        theirs = gains(peer)
        if theirs is None or own is None:
            return peer.cell == trial.cell
        return all(map(operator.ge, theirs, own))

    return may_replace


def train_size(trial: Trial) -> float:
    """The images that a trial learns from, where trials differ in that; infinity for all of them."""
    size = trial.params.get("train_size")
    return math.inf if size is None else float(size)
