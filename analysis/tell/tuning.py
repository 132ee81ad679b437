"""In words: why a comparison of models may be one of how well each was tuned."""

import math
from collections.abc import Iterable

import pandas as pd

from analysis.read.candidates import terms
from analysis.read.study_folder import Study
from analysis.tell.wording import enumeration, shortened
from analysis.weigh.tuning import BEST_TRIALS, Budget, Tuning, may_catch_up, tuning

MAX_CELLS = 8  # whose trials are counted one by one


def caveats(study: Study) -> list[str]:
    """One sentence for each way in which cells were tuned too little, or not alike."""
    found = tuning(study)
    return [*_at_ends(found), *_gaining(study, found), *_unequal(found.unequal)]


def other_settings(study: Study, pairs: pd.DataFrame) -> list[str]:
    """That the most accurate candidate may lead only as its rivals were tuned; nothing where it leads by more than tuning
    explains. `pairs`: rows of `comparisons`."""
    show = terms(study).show_points
    behind = list(may_catch_up(study, pairs))
    unknown = [cell for cell, _, spread in behind if math.isnan(spread)]
    close = [
        f"{cell} is {show(gap)} behind but its best {BEST_TRIALS} trials lie {show(spread)} apart"
        for cell, gap, spread in behind
        if not math.isnan(spread)
    ]
    reasons = [f"fewer than {BEST_TRIALS} trials of {shortened(unknown, MAX_CELLS)} are complete"] if unknown else []
    reasons = [*([shortened(close, MAX_CELLS)] if close else []), *reasons]
    return [f"Other settings may close the gap: {'; '.join(reasons)}."] if reasons else []


def _at_ends(found: Tuning) -> Iterable[str]:
    for setting, end in dict.fromkeys((at.setting, at.end) for at in found.at_ends):
        cells = [at.cell for at in found.at_ends if (at.setting, at.end) == (setting, end)]
        yield (
            f"The best {setting} of {enumeration(cells)} lies at the {end} end of its range: widen search.{setting}, the "
            "best may lie beyond."
        )


def _gaining(study: Study, found: Tuning) -> Iterable[str]:
    if found.gaining:
        gains = [f"{cell} ({terms(study).show_points(gain)})" for cell, gain, _ in found.gaining]
        yield (
            f"The last third of the trials still raised the expected best of {enumeration(gains)} by more than the luck of "
            "one training: more trials may find better."
        )


def _unequal(budgets: list[Budget]) -> Iterable[str]:
    if not budgets:
        return
    fewest, most = (pick(budgets, key=lambda budget: budget.complete) for pick in (min, max))
    if len(budgets) <= MAX_CELLS:
        numbers = enumeration([f"{budget.cell} {budget.complete}" for budget in budgets])
    else:
        numbers = f"from {fewest.complete} ({fewest.cell}) to {most.complete} ({most.cell})"
    ended = {"stopped early": sum(b.pruned for b in budgets), "failed": sum(b.failed for b in budgets)}
    why = enumeration([f"{number} {how}" for how, number in ended.items() if number])
    yield f"Complete trials per cell differ: {numbers}{f' ({why})' if why else ''}."
