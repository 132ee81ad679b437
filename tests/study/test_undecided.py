"""Seeds are added to the candidates that the answer hangs on, and to no other one: on a real ledger, without Ray."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from small_space import space

from record import contents
from record.errors import UserError
from record.folder import CONFIRM
from study.ledger import Ledger, Trial
from study.proposals import ConfirmProposals
from study.space.reading import resolve
from study.space.schema import StudySpec

IMAGES = 2000
LABELS = np.random.default_rng(9).integers(0, 10, IMAGES)


def spec(**confirm: object) -> StudySpec:
    entries = {name: {"model": "scratch_vit", "factors": {}} for name in ("good", "close", "poor")}
    changes = {"trials": 1, "objectives": ["val_accuracy"], "phases": ["search", "confirm"], "early_stopping": None}
    return resolve(space(models=entries, confirm={"seeds": 3} | confirm, **changes), "x")


def searched(ledger: Ledger) -> list[Trial]:
    """One complete search trial of each model entry."""
    from study.proposals import SearchProposals

    proposals = SearchProposals(ledger)
    while (trial := proposals.next()) is not None:
        ledger.record(trial, {"epoch": 1, "val_accuracy": 0.5})
        ledger.finish(trial, "complete", [0.5])
    contents.write_predictions(ledger.folder.labels, LABELS)
    return list(ledger.trials.values())


def train(ledger: Ledger, trial: Trial, accuracies: dict[str, float]) -> None:
    """Let a confirm trial reach an accuracy that deviates by a point from its model's."""
    random = np.random.default_rng([trial.seed, len(trial.cell.entry)])
    reached = accuracies[trial.cell.entry] + 0.01 * random.normal()
    right = random.random(IMAGES) < reached
    contents.write_predictions(ledger.folder.predictions(trial.name), np.where(right, LABELS, (LABELS + 1) % 10))
    ledger.record(trial, {"epoch": 1, "val_accuracy": reached, "test_accuracy": float(right.mean())})
    ledger.finish(trial, "complete", [reached])


def confirm(ledger: Ledger, proposals: ConfirmProposals, accuracies: dict[str, float]) -> dict[str, int]:
    """Run all that is proposed, two at a time; the number of seeds that each model got."""
    while not proposals.done:
        for trial in [trial for trial in (proposals.next(), proposals.next()) if trial]:
            train(ledger, trial, accuracies)
    names = [trial.cell.entry for trial in ledger.in_phase(CONFIRM)]
    return {name: names.count(name) for name in accuracies}


def test_rivals_get_seeds_until_they_are_told_apart_and_clear_losers_none(tmp_path: Path) -> None:
    accuracies = {"good": 0.9, "close": 0.875, "poor": 0.5}
    with Ledger(tmp_path, spec(until="decided", most=12)) as ledger:
        candidates = searched(ledger)
        seeds = confirm(ledger, ConfirmProposals(ledger, candidates), accuracies)
        assert seeds["poor"] == 3 and seeds["good"] == seeds["close"] in (6, 12)
    with Ledger(tmp_path, spec(until="decided", most=12)) as again:
        assert ConfirmProposals(again, [again.trials[c.name] for c in candidates]).done


def test_an_interrupted_round_is_completed_as_it_was_begun(tmp_path: Path) -> None:
    accuracies, looks = {"good": 0.9, "close": 0.88, "poor": 0.5}, spec(until="decided", most=6)
    with Ledger(tmp_path, looks) as ledger:
        candidates = searched(ledger)
        proposals = ConfirmProposals(ledger, candidates)
        for _ in range(9):
            train(ledger, proposals.next(), accuracies)
        begun = proposals.next()  # the first added seed; then the driver dies
        assert begun.seed == 4
    with Ledger(tmp_path, looks) as ledger:
        proposals = ConfirmProposals(ledger, [ledger.trials[c.name] for c in candidates])
        assert proposals.total == 10
        assert confirm(ledger, proposals, accuracies) == {"good": 6, "close": 6, "poor": 3}


def test_seeds_are_not_spent_where_they_cannot_help(tmp_path: Path) -> None:
    """Equal candidates: more seeds would only show that they are alike."""
    with Ledger(tmp_path, spec(until="decided", most=100)) as ledger:
        seeds = confirm(
            ledger, ConfirmProposals(ledger, searched(ledger)), dict.fromkeys(("good", "close", "poor"), 0.9)
        )
        assert max(seeds.values()) < 30


@pytest.mark.parametrize("deadline", [None, -1.0])
def test_a_time_budget_ends_the_adding_of_seeds_but_not_the_first_ones(tmp_path: Path, deadline: float | None) -> None:
    with Ledger(tmp_path, spec(until="decided", most=6)) as ledger:
        candidates = searched(ledger)
        proposals = ConfirmProposals(ledger, candidates, deadline and time.monotonic() + deadline)
        seeds = confirm(ledger, proposals, {"good": 0.9, "close": 0.88, "poor": 0.5})
        assert seeds["close"] == (3 if deadline else 6) and proposals.out_of_time == bool(deadline)


def test_without_it_every_candidate_gets_the_same_seeds(tmp_path: Path) -> None:
    with Ledger(tmp_path, spec()) as ledger:
        proposals = ConfirmProposals(ledger, searched(ledger))
        assert proposals.total == 9
        assert set(confirm(ledger, proposals, {"good": 0.9, "close": 0.89, "poor": 0.5}).values()) == {3}


@pytest.mark.parametrize(
    ("confirm", "message"),
    [
        ({"most": 5}, "confirm.most: needs until: decided"),
        ({"until": "decided", "seeds": 1}, "confirm.until: needs 2 seeds or more"),
        ({"until": "decided", "most": 2}, "confirm.most: must not be below seeds, 3, got 2"),
        ({"until": "certain"}, "confirm.until: "),
    ],
)
def test_a_wrong_plan_is_refused(confirm: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        spec(**confirm)


def test_the_number_of_seeds_has_a_default_that_is_not_below_the_first() -> None:
    assert spec(until="decided").confirm.looks == (3, 6, 10)
    assert spec(until="decided", seeds=20).confirm.looks == (20,)
