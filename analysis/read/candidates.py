"""What may be chosen from: the trials that ended, and the confirmed candidates with their spread over seeds."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.read.columns import has_values
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study
from models.engines import EAGER
from record import figures
from record.figures import CONTENDED, TRIALS
from record.folder import COMPLETE, PHASES, PRUNED
from record.pareto import pareto_mask
from record.tasks import Terms

_, SEARCH, CONFIRM = PHASES
UNCONFIRMED = "unconfirmed, optimistic"  # the validation figure of one training that was chosen among many by it
_CONDITIONS = ("image_size",)  # settings that conditions.py states where all trials share them


def terms(study: Study) -> Terms:
    """What the study's task calls its quality, its speed and its examples.

    Raises `StudyError` where merged studies measure different things.
    """
    tasks = list(dict.fromkeys(study.tasks.values()))
    if len(tasks) > 1:
        qualities = " and ".join(task.quality for task in tasks)
        raise StudyError(f"{', '.join(study.names)} measure {qualities}: give studies of one task at a time")
    return tasks[0]


def speed(study: Study) -> str:
    """The column of the speed measured alone, such as `inference_images_per_second`."""
    return terms(study).speed


def settings(study: Study) -> list[str]:
    """The columns that hold what a person sets: those that the task always has, and whatever the spaces search or cross."""
    return [name for name in _all_settings(study) if name not in _CONDITIONS or study.trials[name].nunique() > 1]


def _all_settings(study: Study) -> list[str]:
    names = {figure.name for task in study.tasks.values() for figure in figures.of(task.name, TRIALS) if figure.setting}
    names |= {name for spec in study.specs.values() for name in _dimensions(spec)}
    return [name for name in study.trials if name in names and has_values(study.trials, name)]


def _dimensions(spec: dict[str, Any]) -> set[str]:
    """The settings that a space searches or crosses, for all its models or for one."""
    models = spec.get("models")
    entries = list(models.values()) if isinstance(models, dict) else models
    entries = [spec, *(entries if isinstance(entries, list) else [])]
    dimensions = [entry.get(key) for entry in entries if isinstance(entry, dict) for key in ("search", "factors")]
    return {str(name) for names in dimensions if isinstance(names, dict) for name in names}


def identity(study: Study) -> list[str]:
    """The columns that name what may be chosen: ("study",) "model", "trial" and, in a study of several engines, "engine"."""
    return [*study.keys, "trial", *(["engine"] if study.several_engines else [])]


def eager(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of eager PyTorch, by whose answers models are compared."""
    return rows[rows["engine"] == EAGER] if "engine" in rows else rows


def outcomes(study: Study) -> list[str]:
    """The columns that say what a trial reached, and what it costs when it has the hardware to itself."""
    return [
        figure.name
        for figure in figures.of(terms(study).name, TRIALS)
        if figure.better and not figure.name.startswith(CONTENDED)
    ]


def searched(study: Study) -> pd.DataFrame:
    """The search trials that ran their whole budget: one row each, with the accuracy on the validation split."""
    trials = study.trials
    return trials[(trials["phase"] == SEARCH) & (trials["state"] == COMPLETE)].reset_index(drop=True)


def tried(study: Study) -> pd.DataFrame:
    """The search trials that reached anything, in the order in which they started: those that were stopped early, too."""
    trials = study.trials
    ended = (trials["phase"] == SEARCH) & trials["state"].isin([COMPLETE, PRUNED])
    return trials[ended & trials[terms(study).validation].notna()].reset_index(drop=True)


def confirm_runs(study: Study) -> pd.DataFrame:
    """The confirm runs that ended, with `candidate` the search trial that each repeats, in the order of their seeds.

    Their accuracies and speeds are eager PyTorch's.
    """
    return _confirm_runs(study).sort_values("seed", kind="stable")


def _confirm_runs(study: Study) -> pd.DataFrame:
    runs = study.trials[(study.trials["phase"] == CONFIRM) & (study.trials["state"] == COMPLETE)]
    return runs.assign(candidate=runs["candidate"].fillna(runs["trial"]))


def engine_runs(study: Study) -> pd.DataFrame:
    """`confirm_runs` in each engine that none of a candidate's runs was refused in, with the engine's accuracies and speeds."""
    runs = _confirm_runs(study)
    if not study.several_engines:
        return runs
    by, task = [*study.keys[:-1], "trial"], terms(study)
    timed = [figure.name for figure in figures.of(task.name, figures.ENGINES) if figure.measured]
    own = [task.validation, task.tested, "engine", *(name for name in timed if name in runs)]
    tested = study.engines[study.engines["engine"].ne(EAGER) & study.engines[task.tested].notna()]
    others = runs.drop(columns=own).merge(tested[[*by, *own, "accuracy_difference", "equal_classes"]], on=by)
    for name in map(str, runs):  # what was measured with eager PyTorch only is not known of the others
        if name.startswith(("val_", "test_")) and name not in (*own, f"test_{task.examples}"):
            others[name] = np.nan
    both = pd.concat([runs.assign(accuracy_difference=0.0, equal_classes=1.0), others], ignore_index=True)
    seeds = both.groupby([*study.keys, "candidate", "engine"])["trial"].transform("size")
    return both[seeds == both.groupby([*study.keys, "candidate"])["seed"].transform("nunique")]


def confirmed(study: Study) -> pd.DataFrame:
    """One row per confirmed candidate, under its search trial's name, and engine, where engines were measured: measures are
    means over its seeds.

    `seeds` counts the runs and `test_<quality>_std` is the sample standard deviation over them (NaN for one seed).
    """
    runs = engine_runs(study)
    runs = runs.assign(trial=runs["candidate"]).drop(columns=["candidate", "seed"])
    by = identity(study)
    # The mean of three times 0.1 is not 0.1, so settings are not averaged.
    measures = runs.select_dtypes("float").columns.difference(_all_settings(study))
    how = {name: "mean" if name in measures else "first" for name in runs.columns.drop(by)}
    groups = runs.groupby(by, sort=False)
    tested = terms(study).tested
    return groups.agg(how).assign(seeds=groups.size(), **{f"{tested}_std": groups[tested].std()}).reset_index()


def choices(study: Study) -> tuple[pd.DataFrame, str]:
    """The rows to decide from and their accuracy column: confirmed candidates on the test split, else the search.

    The test split decides only when every model that finished a trial has a confirmed candidate: a confirm phase that
    is half done would compare some models and leave the others out.
    """
    search, repeated, task = searched(study), confirmed(study), terms(study)
    if len(repeated) and _models(search, study.keys) <= _models(repeated[repeated[task.tested].notna()], study.keys):
        return repeated, task.tested
    return search, task.validation


def front(rows: pd.DataFrame, accuracy: str, speed_column: str) -> pd.DataFrame:
    """Those of `rows` that no other beats in both accuracy and speed, slowest first."""
    values = rows[[speed_column, accuracy]].to_numpy(dtype=float, na_value=float("nan"))
    return rows[pareto_mask(values, [True, True])].sort_values(speed_column, kind="stable")


def _models(rows: pd.DataFrame, keys: list[str]) -> set[tuple[str, ...]]:
    return set(rows[keys].itertuples(index=False, name=None))
