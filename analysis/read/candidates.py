"""What may be chosen from: the trials that ended, and the confirmed candidates with their spread over seeds."""

import pandas as pd

from analysis.read.study_folder import Study, StudyError
from record import tasks
from record.pareto import pareto_mask
from record.tasks import Terms

_SETTINGS = ("lr", "train_size", "tome_ratio")


def terms(study: Study) -> Terms:
    """What the study's task calls its quality, its speed and its examples.

    Raises `StudyError` where merged studies measure different things.
    """
    named = {str(spec.get("task")) for spec in study.specs.values()}
    measured = [
        task for task in tasks.TASKS.values() if task.name in named or _has_values(study.trials, task.validation)
    ]
    if len(measured) > 1:
        qualities = " and ".join(task.quality for task in measured)
        raise StudyError(f"{', '.join(study.names)} measure {qualities}: ask about one kind at a time")
    return measured[0] if measured else tasks.TASKS[tasks.DEFAULT]


def quality(study: Study) -> str:
    """What the study measures as accuracy: "accuracy" (0..1), or "bleu" (0..100) of translations."""
    return terms(study).quality


def examples(study: Study) -> str:
    """What a model is trained on and `train_size` counts: "images", or "pairs" of sentences."""
    return terms(study).training_examples


def speed(study: Study) -> str:
    """The column of the speed measured alone, such as `inference_images_per_second`; a filled one before an empty one."""
    names = study.trials.columns.astype(str)
    columns = [name for name in names if name.startswith("inference_") and name.endswith("_per_second")]
    columns = [name for name in columns if _has_values(study.trials, name)] or columns
    usual = terms(study).speed
    return usual if usual in columns else columns[0]


def settings(study: Study) -> list[str]:
    """The columns that hold what a person sets: the usual three, and whatever the spaces search or cross."""
    named = set(_SETTINGS)
    for spec in study.specs.values():
        models = spec.get("models")
        entries = list(models.values()) if isinstance(models, dict) else models
        for entry in [spec, *(entries if isinstance(entries, list) else [])]:
            for key in ("search", "factors"):
                dimensions = entry.get(key) if isinstance(entry, dict) else None
                named.update(map(str, dimensions) if isinstance(dimensions, dict) else ())
    return [name for name in study.trials if name in named and _has_values(study.trials, name)]


def searched(study: Study) -> pd.DataFrame:
    """The search's trials that ran their whole budget: one row each, its accuracy on the validation split."""
    trials = study.trials
    return trials[(trials["phase"] == "search") & (trials["state"] == "complete")].reset_index(drop=True)


def confirmed(study: Study) -> pd.DataFrame:
    """One row a confirmed candidate, under its search trial's name: measures are means over its seeds.

    `seeds` counts the runs and `test_<quality>_std` is the sample standard deviation over them (NaN for one seed).
    """
    trials = study.trials
    runs = trials[(trials["phase"] == "confirm") & (trials["state"] == "complete")]
    runs = runs.assign(trial=runs["candidate"].fillna(runs["trial"])).drop(columns=["candidate", "seed"])
    by = [*study.keys, "trial"]
    measures = [name for name in runs.select_dtypes("float") if name not in settings(study)]
    how = {name: "mean" if name in measures else "first" for name in runs.columns.drop(by)}
    groups = runs.groupby(by, sort=False)
    test = f"test_{quality(study)}"
    spread: dict[str, pd.Series] = {"seeds": groups.size()}
    if test in runs:
        spread[f"{test}_std"] = groups[test].std()
    return groups.agg(how).assign(**spread).reset_index()


def choices(study: Study) -> tuple[pd.DataFrame, str]:
    """The rows to decide from and their accuracy column: confirmed candidates on the test split, else the search.

    The test split decides only when every model that finished a trial has a confirmed candidate: a confirm phase that
    is half done would compare some models and leave the others out.
    """
    found, repeated = searched(study), confirmed(study)
    test = f"test_{quality(study)}"
    if len(repeated) and _models(found, study.keys) <= _models(repeated[repeated[test].notna()], study.keys):
        return repeated, test
    return found, f"val_{quality(study)}"


def front(rows: pd.DataFrame, accuracy: str, speed_column: str) -> pd.DataFrame:
    """Those of `rows` that no other beats in both accuracy and speed, slowest first."""
    values = rows[[speed_column, accuracy]].to_numpy(dtype=float, na_value=float("nan"))
    return rows[pareto_mask(values, [True, True])].sort_values(speed_column, kind="stable")


def _models(rows: pd.DataFrame, keys: list[str]) -> set[tuple[str, ...]]:
    return set(rows[keys].itertuples(index=False, name=None))


def _has_values(frame: pd.DataFrame, column: str) -> bool:
    return column in frame and bool(frame[column].notna().any())
