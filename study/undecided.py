"""Which candidates the answer hangs on: those whose place beside the most accurate one more seeds could settle."""

from __future__ import annotations

import numpy as np

from record.contents import read_right
from record.crossed import Floats
from record.folder import COMPLETE, CONFIRM
from record.verdicts import Verdict, verdicts
from study.ledger import Ledger, Trial, number

MIN_CHANCE = 0.2  # of being told apart by the most seeds: below it, seeds are better spent elsewhere


def undecided(ledger: Ledger, candidates: list[Trial], seeds: int) -> list[Trial]:
    """The most accurate candidate and those that it is not told apart from yet, but may be with more seeds.

    seeds: only the runs of so many first seeds count, so that a resumed study decides as it did before. Empty where
    nothing is left to decide, or predictions are missing. As in the analysis, validation says which candidate is the most
    accurate, and the test split whether another one differs from it.
    """
    runs = [run for run in ledger.in_phase(CONFIRM, COMPLETE) if run.seed - ledger.spec.seed <= seeds]
    by_candidate = {c.name: [run for run in runs if run.candidate == c.name] for c in candidates}
    by_candidate = {name: own for name, own in by_candidate.items() if own}
    scores = _scores(ledger, by_candidate)
    if len(scores) < 2:
        return []
    metric = ledger.spec.terms.validation
    first = max(by_candidate, key=lambda name: np.mean([number(run.last, metric) for run in by_candidate[name]]))
    looks = ledger.spec.confirm.looks
    reached = verdicts(scores, first, looks)
    open_to = {name for name, verdict in reached.items() if may_be_decided(verdict, seeds, looks[-1])}
    return [c for c in candidates if c.name in open_to or (open_to and c.name == first)]


def may_be_decided(verdict: Verdict, seeds: int, most: int) -> bool:
    """Whether more than `seeds` seeds, up to `most`, are worth their time to tell two candidates apart."""
    return not verdict.differ and seeds < most and verdict.chance(most) >= MIN_CHANCE


def _scores(ledger: Ledger, by_candidate: dict[str, list[Trial]]) -> dict[str, dict[int, Floats]]:
    """Candidate -> seed -> score of each test example, or of the whole split for a score that is not a share of examples.

    Empty where predictions are missing: without them nobody knows how much the test images explain.
    """
    scores: dict[str, dict[int, Floats]] = {}
    for name, runs in by_candidate.items():
        seeds = [run.seed for run in runs]
        if not ledger.spec.terms.is_share:
            by_run = [np.array([number(run.last, ledger.spec.terms.tested)]) for run in runs]
        elif (right := read_right(ledger.folder, [run.name for run in runs])) is not None:
            by_run = list(right.astype(float))
        else:
            return {}
        scores[name] = dict(zip(seeds, by_run, strict=True))
    return scores
