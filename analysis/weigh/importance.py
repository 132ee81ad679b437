"""How much each searched setting moved accuracy and speed, per model: Optuna's fANOVA on the trials in study.db.

fANOVA (Hutter et al., ICML 2014) divides the variance of a figure among the settings, so it does not matter whether
more of it is better; Optuna's evaluators for which it matters minimise any given target.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.read.candidates import searched, speed, terms
from analysis.read.study_folder import Study
from analysis.weigh.statistics import Floats

if TYPE_CHECKING:
    import optuna

MIN_TRIALS = (
    20  # complete trials of a model; with fewer, settings are ranked wrongly (benchmarks/simulated_searches.py)
)
MAX_TRIALS = 200  # more are sampled: fitting the forest takes a second or two per figure at 200 trials
TREES = 32
COLUMNS = ("model", "target", "setting", "importance", "trials")

Tried = tuple[dict[str, Any], dict[str, "optuna.distributions.BaseDistribution"]]  # settings, where each was searched


def importance(study: Study) -> tuple[pd.DataFrame, list[str]]:
    """(frame, remarks): one row per model, target ("accuracy" or "speed") and setting; a target's importances sum to 1.

    Remarks say what is missing: no study.db, too few complete trials, a figure that never changed.
    """
    rows: list[dict[str, Any]] = []
    remarks: list[str] = []
    targets = {"accuracy": terms(study).validation, "speed": speed(study)}
    for label, trials, tried in _models(study, remarks):
        known = trials[trials["trial"].isin(tried)]
        if len(known) < MIN_TRIALS:
            remarks.append(f"{label}: {len(known)} complete trials; importance needs {MIN_TRIALS}")
            continue
        known = known.sample(MAX_TRIALS, random_state=0) if len(known) > MAX_TRIALS else known
        for target, column in targets.items():
            shares = _shares([tried[trial] for trial in known["trial"]], known[column])
            if isinstance(shares, str):
                remarks.append(f"{label}: {target} {shares}")
                continue
            same = {"model": label, "target": target, "trials": len(known)}
            rows += [same | {"setting": setting, "importance": share} for setting, share in shares.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS)), remarks


def _models(study: Study, remarks: list[str]) -> Iterator[tuple[str, pd.DataFrame, dict[str, Tried]]]:
    """Each model's label, its complete search trials and what its study.db says of them."""
    for name, folder in study.folders.items():
        trials = searched(study)
        trials = trials[trials["study"] == name] if "study" in trials else trials
        tried = _tried(folder.ledger, set(trials["trial"]))
        if isinstance(tried, str):
            remarks.append(f"{name}: {tried}")
            continue
        for model, own in trials.groupby("model", sort=False):
            yield f"{name}/{model}" if "study" in trials else str(model), own, tried


def _tried(ledger: Path, trials: set[str]) -> dict[str, Tried] | str:
    """Trial -> its settings and where they were searched, or why they cannot be read.

    Read by plain SQL: Optuna's own loading fetches every epoch of every trial, and locks and migrates a database that a
    running study is writing.
    """
    if not ledger.exists():
        return f"no {ledger.name} in the folder (the study kept its ledger elsewhere)"
    try:
        names, params = _read(ledger)
    except sqlite3.Error as error:
        return f"{ledger.name} cannot be read: {error}"
    from optuna.distributions import json_to_distribution

    tried: dict[str, Tried] = {}
    parsed: dict[str, Any] = {}
    for trial_id, name, value, distribution in params:
        trial = json.loads(names[trial_id]) if trial_id in names else None
        if trial in trials:
            if distribution not in parsed:
                parsed[distribution] = json_to_distribution(distribution)
            kind = parsed[distribution]
            settings, kinds = tried.setdefault(trial, ({}, {}))
            settings[name], kinds[name] = kind.to_external_repr(value), kind
    return tried


def _read(ledger: Path) -> tuple[dict[int, str], list[tuple[int, str, float, str]]]:
    """(trial id -> its name as JSON, rows of trial id, setting, value, distribution as JSON). Raises `sqlite3.Error`."""
    connection = sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)
    try:
        names = connection.execute("SELECT trial_id, value_json FROM trial_user_attributes WHERE key = 'trial'")
        params = "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params"
        return dict(names), connection.execute(params).fetchall()
    finally:
        connection.close()


def _shares(tried: list[Tried], values: pd.Series) -> dict[str, float] | str:
    """Setting -> its share of the variance of `values`, largest first, or why there is none."""
    numbers = values.to_numpy(dtype=float)
    known = np.isfinite(numbers)
    if known.sum() < MIN_TRIALS:
        return "was not measured"
    if np.ptp(numbers[known]) == 0:
        return "was the same in every trial"
    try:
        return fanova([settings for settings, is_known in zip(tried, known, strict=True) if is_known], numbers[known])
    except (RuntimeError, ValueError) as error:
        return f"has no importance: {error}"


def fanova(tried: list[Tried], values: Floats) -> dict[str, float]:
    """Setting -> its share of the variance of `values` (trials,), largest first. Raises RuntimeError and ValueError."""
    import optuna

    logging.getLogger("optuna").setLevel(logging.WARNING)
    memory = optuna.create_study()
    trials = zip(tried, values.tolist(), strict=True)
    memory.add_trials(
        [optuna.create_trial(params=params, distributions=kinds, value=value) for (params, kinds), value in trials]
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    return optuna.importance.get_param_importances(memory, evaluator=evaluator)
