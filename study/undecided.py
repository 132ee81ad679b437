"""Which candidates the answer hangs on: those whose place beside the most accurate one more seeds could settle."""

from __future__ import annotations

import numpy as np

from record.contents import read_predictions
from record.crossed import Floats
from record.folder import COMPLETE, CONFIRM
from record.verdicts import Verdict, verdicts
from study.ledger import Ledger, Trial, number

MIN_CHANCE = 0.2  # of being told apart by the most seeds: below it, seeds are better spent elsewhere


def undecided(ledger: Ledger, candidates: list[Trial], seeds: int) -> list[Trial]:
    """The most accurate candidate and those that it is not told apart from yet, but may be with more seeds.

    seeds: only the runs of so many first seeds count, so that a resumed study decides as it did before. Empty where
    nothing is left to decide. As in the analysis, validation says which candidate is the most accurate, and the test
    split whether another one differs from it.
    """
    runs = [run for run in ledger.in_phase(CONFIRM, COMPLETE) if run.seed - ledger.spec.seed <= seeds]
    by_candidate = {c.name: [run for run in runs if run.candidate == c.name] for c in candidates}
    by_candidate = {name: own for name, own in by_candidate.items() if own}
    if len(by_candidate) < 2:
        return []
    metric = ledger.spec.terms.validation
    first = max(by_candidate, key=lambda name: np.mean([number(run.last, metric) for run in by_candidate[name]]))
    looks = ledger.spec.confirm.looks
    reached = verdicts(_scores(ledger, by_candidate), first, looks)
    open_to = {name for name, verdict in reached.items() if may_be_decided(verdict, seeds, looks[-1])}
    return [c for c in candidates if c.name in open_to or (open_to and c.name == first)]


def may_be_decided(verdict: Verdict, seeds: int, most: int) -> bool:
    """Whether more than `seeds` seeds, up to `most`, are worth their time to tell two candidates apart."""
    return not verdict.differ and seeds < most and verdict.chance(most) >= MIN_CHANCE


def _scores(ledger: Ledger, by_candidate: dict[str, list[Trial]]) -> dict[str, dict[int, Floats]]:
    """Candidate -> seed -> score of each test example; of the whole split, where that is all that was kept."""
    labels = read_predictions(ledger.folder.labels)
    scores: dict[str, dict[int, Floats]] = {name: {} for name in by_candidate}
    for name, own in by_candidate.items():
        for run in own:
            predicted = None if labels is None else read_predictions(ledger.folder.predictions(run.name))
            if predicted is None or labels is None or predicted.shape != labels.shape:
                return {
                    n: {r.seed: np.array([number(r.last, ledger.spec.terms.tested)]) for r in own}
                    for n, own in by_candidate.items()
                }
            scores[name][run.seed] = (predicted == labels).astype(float)
    return scores
