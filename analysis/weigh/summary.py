"""The study in one table: one row per model, its best candidate."""

import pandas as pd

from analysis.read.candidates import (
    choices,
    confirmed,
    front,
    identity,
    searched,
    settings,
    speed,
    terms,
)
from analysis.read.study_folder import Study
from analysis.weigh.limits import holding, limits, within_limits
from analysis.weigh.tradeoff import best_per_model
from record import figures
from record.folder import STATES

_COSTS = ("train_seconds", "parameters", "gflops_per_image", "gflops_per_sentence", "peak_memory_mb")


def summary(study: Study) -> pd.DataFrame:
    """One row per model (and study): its best candidate with settings, speed and cost, and its trials by state.

    A model with confirmed candidates is shown by the one with the best validation accuracy, so that this choice leaves
    the test split unused: `test_accuracy` is its mean over `seeds` runs, `test_accuracy_std` their standard deviation.
    Other models are shown by their best search trial and have no test accuracy. `on_front`: no candidate of any
    model beats this one in both accuracy and speed. The states count the trials of the search. With limits, all this is
    said of the candidates that hold them, or may; a model that has none keeps an empty row. Where no model has one, all
    are shown, and none is on the front.
    """
    words, speed_column = terms(study), speed(study)
    best = best_candidates(study)
    rows, accuracy = choices(study)
    winners = front(holding(study, rows, limits(study)), accuracy, speed_column)
    names = identity(study)
    best["on_front"] = best.set_index(names).index.isin(winners.set_index(names).index)
    measures = [words.tested, f"{words.tested}_std", "seeds", words.validation]
    costs = [name for name in _COSTS if figures.BY_NAME[name].of(words.name)]
    reached = [*measures, *settings(study), "epochs", speed_column, *costs]
    columns = [*names, *reached, "on_front", "weights", "data"]
    table = _counts(study).merge(best.reindex(columns=columns), on=study.keys, how="left")
    return table[[*columns, *STATES]].astype({"seeds": "Int64", "on_front": "boolean"})


def best_candidates(study: Study) -> pd.DataFrame:
    """Each model's candidate with the best validation accuracy: a confirmed one if there is any, else a search trial.

    In a study of several engines the best of all of them, of equals the fastest. With limits, of those that hold them, or
    may, if any does.
    """
    candidates = confirmed(study)
    if study.several_engines:
        candidates = candidates.sort_values(speed(study), ascending=False, kind="stable")
    repeated_before_once = within_limits(study, pd.concat([candidates, searched(study)], ignore_index=True))
    best = [
        best_per_model(rows, terms(study).validation, study.keys)
        for _, rows in repeated_before_once.groupby(repeated_before_once["seeds"].isna())
    ]
    return pd.concat([*best, repeated_before_once.head(0)]).drop_duplicates(study.keys).reset_index(drop=True)


def _counts(study: Study) -> pd.DataFrame:
    """One row per model, in the order of trials.csv, with the number of its search trials in each state."""
    trials = study.trials.assign(**{state: study.trials["state"] == state for state in STATES})
    trials.loc[trials["phase"] != "search", list(STATES)] = False
    return trials.groupby(study.keys, sort=False)[list(STATES)].sum().reset_index()
