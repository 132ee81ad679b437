"""Sentences about limits: whether a candidate holds them, and which comes nearest where none does."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.read.study_folder import Study
from analysis.read.timings import timing
from analysis.tell.wording import choice_name, enumeration
from analysis.weigh.limits import limits
from record.limits import Limit, measured


def limit_sentences(study: Study, row: Mapping[Any, Any]) -> list[str]:
    """ "It is certainly under latency_ms_p99 5 ms: 4.2 ms (4 to 4.6)."; nothing for a study without limits."""
    of = limits(study)
    return [f"It is {enumeration([_judged(study, row, limit) for limit in of])}."] if of else []


def nearest_miss(study: Study, rows: pd.DataFrame, of: Sequence[Limit]) -> str:
    """That no candidate holds the limits, and how far the nearest one is from them."""
    records = rows.to_dict("records")
    nearest = min(records, key=lambda row: max(limit.excess(timing(study, row, limit.name)) for limit in of))
    judged = enumeration([_judged(study, nearest, limit) for limit in of])
    return f"no candidate is {enumeration([str(limit) for limit in of])}; the nearest is {choice_name(nearest, study)}: {judged}"


def _judged(study: Study, row: Mapping[Any, Any], limit: Limit) -> str:
    timed = timing(study, row, limit.name)
    return f"{limit.verdict(timed)} {limit}: {measured(limit.name, timed)}"
