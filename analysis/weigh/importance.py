"""How much each searched setting moved accuracy and speed, by model: Optuna's fANOVA on the trials in study.db.

fANOVA (Hutter et al., ICML 2014) shares out the variance of a figure over the settings, so it does not matter whether
more of it is better; Optuna's evaluators that do care take a given target as something to be minimised.
"""

import json
import logging
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.read.candidates import quality, searched, speed
from analysis.read.study_folder import Study

if TYPE_CHECKING:
    import optuna

FEWEST = 10  # complete trials of a model; with fewer, a forest of trees finds importance in noise
MOST = 200  # more trials are sampled: the time of the forest grows with them, a second or two a figure at 200
TREES = 32
COLUMNS = ("model", "target", "setting", "importance", "trials")


def importance(study: Study) -> tuple[pd.DataFrame, list[str]]:
    """(frame, remarks): one row a model, target ("accuracy" or "speed") and setting; importances of a target sum to 1.

    Remarks say what could not be had: no study.db, too few complete trials, a figure that never changed.
    """
    rows: list[dict[str, Any]] = []
    remarks: list[str] = []
    targets = {"accuracy": f"val_{quality(study)}", "speed": speed(study)}
    for name, folder in study.folders.items():
        found = searched(study)
        found = found[found["study"] == name] if "study" in found else found
        tried = _tried(folder / "study.db", set(found["trial"]))
        if isinstance(tried, str):
            remarks.append(f"{name}: {tried}")
            continue
        for model, trials in found.groupby("model", sort=False):
            known = trials[trials["trial"].isin(tried)]
            label = f"{name}/{model}" if "study" in found else str(model)
            if len(known) < FEWEST:
                remarks.append(f"{label}: {len(known)} complete trials; importance takes {FEWEST}")
                continue
            known = known.sample(MOST, random_state=0) if len(known) > MOST else known
            for target, column in targets.items():
                shares = _shares([tried[trial] for trial in known["trial"]], known[column])
                if isinstance(shares, str):
                    remarks.append(f"{label}: {target} {shares}")
                    continue
                rows += [
                    {
                        "model": label,
                        "target": target,
                        "setting": key,
                        "importance": value,
                        "trials": len(known),
                    }
                    for key, value in shares.items()
                ]
    return pd.DataFrame(rows, columns=list(COLUMNS)), remarks


Tried = tuple[dict[str, Any], dict[str, "optuna.distributions.BaseDistribution"]]


def _tried(database: Path, wanted: set[str]) -> dict[str, Tried] | str:
    """Trial -> its settings and where they were searched, or why they cannot be had.

    Read by plain SQL: Optuna's own loading brings every epoch of every trial along, and locks and migrates a database
    that a running study is writing.
    """
    from optuna.distributions import json_to_distribution

    if not database.exists():
        return "no study.db in the folder (the study kept its ledger elsewhere)"
    try:
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        try:
            names = dict(
                connection.execute("SELECT trial_id, value_json FROM trial_user_attributes WHERE key = 'trial'")
            )
            params = connection.execute(
                "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params"
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return f"study.db cannot be read: {error}"
    tried: dict[str, Tried] = {}
    parsed: dict[str, Any] = {}
    for trial_id, name, value, distribution in params:
        trial = json.loads(names[trial_id]) if trial_id in names else None
        if trial in wanted:
            if distribution not in parsed:
                parsed[distribution] = json_to_distribution(distribution)
            kind = parsed[distribution]
            settings, kinds = tried.setdefault(trial, ({}, {}))
            settings[name], kinds[name] = kind.to_external_repr(value), kind
    return tried


def _shares(tried: list[Tried], values: pd.Series) -> dict[str, float] | str:
    """Setting -> its share of the variance of `values`, largest first, or why there is none."""
    import optuna

    numbers = values.to_numpy(dtype=float)
    known = np.isfinite(numbers)
    if known.sum() < FEWEST:
        return "was not measured"
    if np.ptp(numbers[known]) == 0:
        return "was the same in every trial"
    logging.getLogger("optuna").setLevel(logging.WARNING)
    memory = optuna.create_study()
    memory.add_trials(
        [
            optuna.create_trial(params=params, distributions=kinds, value=value)
            for (params, kinds), value, use in zip(tried, numbers.tolist(), known, strict=True)
            if use
        ]
    )
    try:
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
        return optuna.importance.get_param_importances(memory, evaluator=evaluator)
    except (RuntimeError, ValueError) as error:
        return f"has no importance: {error}"
