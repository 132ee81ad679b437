"""Early stopping: hand-worked rungs and ranks, trials that may not replace each other, decisions that follow from the record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.cells import Cell
from study.early_stopping import CONTINUE, STOP, Gains, decide, is_out, is_rung
from study.ledger import Trial
from study.space.schema import EarlyStopping

RULE = EarlyStopping(grace_epochs=2, reduction_factor=3)


def trial(
    name: str, accuracies: list[float], entry: str = "vit", train_size: int = 500, phase: str = "search"
) -> Trial:
    rows = [{"epoch": i + 1, "val_accuracy": a} for i, a in enumerate(accuracies)]
    return Trial(name, Cell(entry, phase=phase), {"train_size": train_size}, 0, 20, rows=rows)


def decision(trial: Trial, peers: list[Trial], gains: Gains = lambda _: ()) -> str | None:
    """What is decided when the trial's last row comes."""
    *trial.rows, row = trial.rows
    return decide(trial, row, [trial, *peers], RULE, "val_accuracy", gains)


def test_rungs_are_the_grace_times_powers_of_the_factor() -> None:
    assert [epoch for epoch in range(1, 60) if is_rung(epoch, RULE)] == [2, 6, 18, 54]


@pytest.mark.parametrize(
    ("value", "peers", "out"),
    [
        (0.1, [], False),  # nothing to compare with
        (0.1, [0.9], False),  # two values: a third of two is none, so nothing is stopped
        (0.1, [0.9, 0.8], True),  # three: the best one stays
        (0.9, [0.1, 0.8], False),
        (0.8, [0.9, 0.1, 0.2, 0.3, 0.4], False),  # six: the best two stay
        (0.7, [0.9, 0.8, 0.2, 0.3, 0.4], True),
        (0.8, [0.9, 0.1], False),  # the second of three: one that starts faster may end lower
        (0.7, [0.9, 0.8, 0.1, 0.2], True),  # a third of five is one, but the best two stay
        (0.5, [0.5, 0.5], False),  # a tie with the best is not worse than it
    ],
)
def test_only_the_best_share_goes_on(value: float, peers: list[float], out: bool) -> None:
    assert is_out(value, peers, 3) is out


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(2, 5))
def test_of_all_that_reach_a_rung_together_the_best_share_survives(values: list[float], factor: int) -> None:
    survivors = [v for i, v in enumerate(values) if not is_out(v, values[:i] + values[i + 1 :], factor)]
    survivor_count = min(len(values), max(2, len(values) // factor))
    if len(values) < factor:
        assert survivors == values
    else:
        assert sorted(survivors, reverse=True)[:survivor_count] == sorted(values, reverse=True)[:survivor_count]
        assert all(v >= sorted(values, reverse=True)[survivor_count - 1] for v in survivors)


def test_trials_are_compared_at_the_same_epoch_with_the_same_model_and_no_larger_train_size_only() -> None:
    good = [trial("a", [0.2, 0.8, 0.9]), trial("b", [0.2, 0.7])]
    assert decision(trial("slow", [0.1, 0.1]), good) == STOP
    assert decision(trial("fast", [0.1, 0.9]), good) == CONTINUE
    assert decision(trial("early", [0.1]), good) is None  # epoch 1 is not a rung
    other_model = [trial("a", [0.9, 0.9], entry="resnet18"), trial("b", [0.9, 0.9], entry="resnet18")]
    other_size = [trial("a", [0.9, 0.9], train_size=2000), trial("b", [0.9, 0.9], train_size=2000)]
    too_short = [trial("a", [0.9]), trial("b", [0.9])]
    for peers in (other_model, other_size, too_short):
        assert decision(trial("slow", [0.1, 0.1]), peers) == CONTINUE
    assert decision(trial("wasteful", [0.1, 0.1], train_size=2000), good) == STOP


def test_a_trial_is_judged_by_those_that_are_as_fast_only() -> None:
    """Two slower and more accurate ones end the slow trial, but not the fast one, whose place they cannot take."""
    speeds = {"a": (100.0,), "b": (100.0,), "slow": (100.0,), "fast": (200.0,)}
    accurate = [trial("a", [0.2, 0.8]), trial("b", [0.2, 0.7])]
    assert decision(trial("slow", [0.1, 0.5]), accurate, lambda t: speeds[t.name]) == STOP
    assert decision(trial("fast", [0.1, 0.5]), accurate, lambda t: speeds[t.name]) == CONTINUE
    cheaper_but_slower = {"a": (100.0, -5.0), "b": (100.0, -5.0), "slow": (100.0, -9.0), "fast": (200.0, -9.0)}
    assert decision(trial("fast", [0.1, 0.5]), accurate, lambda t: cheaper_but_slower[t.name]) == CONTINUE


def test_models_that_were_not_timed_are_compared_by_cell() -> None:
    def of(name: str, ratio: float, accuracies: list[float]) -> Trial:
        made = trial(name, accuracies)
        return replace(made, cell=Cell("vit", (("tome_ratio", ratio),)))

    others = [of("a", 0.0, [0.2, 0.8]), of("b", 0.0, [0.2, 0.7])]
    assert decision(of("same", 0.0, [0.1, 0.5]), others, lambda _: None) == STOP
    assert decision(of("other", 0.5, [0.1, 0.5]), others, lambda _: None) == CONTINUE


@given(st.data())
def test_every_cell_has_a_trial_that_is_never_stopped(data: st.DataObject) -> None:
    """Whatever the accuracies and the order in which rows come, and although each ratio is faster than the one before."""
    trials = [
        Trial(f"{ratio}-{i}", Cell("vit", (("tome_ratio", ratio),)), {"train_size": 500}, 0, 20)
        for ratio in (0.2, 0.4, 0.6)
        for i in range(3)
    ]
    running = list(trials)
    while running:
        trial = data.draw(st.sampled_from(running))
        row = {"epoch": len(trial.rows) + 1, "val_accuracy": data.draw(st.sampled_from([0.1, 0.5, 0.9]))}
        decided = decide(trial, row, trials, RULE, "val_accuracy", lambda t: (dict(t.cell.factors)["tome_ratio"],))
        trial.rows.append(row)
        if decided == STOP or len(trial.rows) == trial.epochs:
            running.remove(trial)
    complete = {trial.cell for trial in trials if len(trial.rows) == trial.epochs}
    assert complete == {trial.cell for trial in trials}


def test_the_best_of_a_cell_goes_on_whatever_faster_cells_reach() -> None:
    def of(name: str, ratio: float, accuracies: list[float]) -> Trial:
        return replace(trial(name, accuracies), cell=Cell("vit", (("tome_ratio", ratio),)))

    speeds = {0.0: 100.0, 0.8: 200.0}
    gains = lambda t: (speeds[dict(t.cell.factors)["tome_ratio"]],)  # noqa: E731
    faster_and_better = [of("a", 0.8, [0.2, 0.8]), of("b", 0.8, [0.2, 0.7])]
    assert decision(of("first", 0.0, [0.1, 0.5]), faster_and_better, gains) == CONTINUE
    assert decision(of("second", 0.0, [0.1, 0.4]), [*faster_and_better, of("first", 0.0, [0.1, 0.5])], gains) == STOP


def test_the_last_epoch_decides_nothing() -> None:
    last = Trial("last", Cell("vit"), {"train_size": 500}, 0, 2, rows=trial("last", [0.1, 0.1]).rows)
    assert decision(last, [trial("a", [0.2, 0.8]), trial("b", [0.2, 0.7])]) is None


def test_the_confirm_phase_stops_nothing() -> None:
    others = [trial(n, [0.9, 0.9], phase="confirm") for n in "abc"]
    assert decision(trial("slow", [0.1, 0.1], phase="confirm"), others) is None
