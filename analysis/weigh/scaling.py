"""How accuracy grows with epochs and with data, and what token merging costs and gains: frames, no pictures."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.read.candidates import searched, speed, terms
from analysis.read.study_folder import Study
from analysis.weigh.summary import best_candidates
from record.folder import COMPLETE, PRUNED, RUNNING

MAX_SIZES = 8  # more distinct train sizes mean that a range was searched: they are grouped
EXTRAPOLATED = (2, 4)  # multiples of the largest size tried; further, no simulation shows that the interval holds
SHOWN = 25  # points of a curve along the sizes tried
_CURVE = ("train_size", "accuracy", "low", "high", "extrapolated")
_MERGING = ("model", "trial", "tome_ratio", "accuracy", "speed_up", "baseline_ratio")


def learning_curves(study: Study, others: int = 20) -> pd.DataFrame:
    """Accuracy over epochs: columns (study,) model, trial, line, epoch, accuracy.

    `line` is "best" for the model's best candidate (its confirm runs where there are any) and "other" for at most
    `others` more search trials per model, spread evenly over their accuracies, early-stopped ones included.
    """
    accuracy = terms(study).validation
    trials = study.trials[study.trials["state"].isin([COMPLETE, PRUNED, RUNNING])]
    trials = trials.assign(of=_names(study, trials, "candidate").fillna(_names(study, trials, "trial")))
    is_best = trials["of"].isin(_names(study, best_candidates(study), "trial"))
    repeats = trials[is_best & (trials["phase"] == "confirm")]
    search = trials[trials["phase"] == "search"]
    best_search = search[is_best.loc[search.index] & ~search["of"].isin(repeats["of"])]
    rest = search[~is_best.loc[search.index]].sort_values(accuracy, na_position="first", kind="stable")
    rest = pd.concat([_evenly(rows, others) for _, rows in rest.groupby(study.keys, sort=False)] or [rest])
    wanted = pd.concat([repeats.assign(line="best"), best_search.assign(line="best"), rest.assign(line="other")])
    identity = [*study.keys[:-1], "trial"]
    curves = wanted[[*identity, "line"]].merge(study.epochs, on=identity)
    curves = curves[[*study.keys, "trial", "line", "epoch", accuracy]].rename(columns={accuracy: "accuracy"})
    return curves[curves["accuracy"].notna()].reset_index(drop=True)


def _names(study: Study, rows: pd.DataFrame, column: str) -> pd.Series:
    """Names that are unique over merged studies: `study/trial`."""
    return rows["study"] + "/" + rows[column] if "study" in rows else rows[column]


def _evenly(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]


@dataclass(frozen=True)
class SizeScaling:
    """One model's accuracy over its number of training examples.

    `points`: columns train_size, accuracy, trial: the best trial at each size (in each range of sizes, where many were
    tried). `curve`: train_size, accuracy, low, high, extrapolated, along the fit and at the EXTRAPOLATED sizes; empty
    where `refused` says why there is no fit. `exponent` and `coefficient`: error = coefficient x train_size ^ -exponent,
    where the error is 1 - accuracy, or 100 - BLEU.
    """

    model: str
    points: pd.DataFrame
    curve: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(_CURVE), dtype="float64"))
    exponent: float = float("nan")
    coefficient: float = float("nan")
    refused: str = ""


def size_scaling(study: Study) -> list[SizeScaling]:
    """The models with trials of more than one train size, each with its power law."""
    task = terms(study)
    accuracy, models = task.validation, []
    for key, rows in searched(study).groupby(study.keys, sort=False):
        points = _best_by_size(rows.dropna(subset=["train_size", accuracy]), accuracy)
        if len(points) > 1:
            models.append(power_law("/".join(map(str, key)), points, task.perfect))
    return models


def _best_by_size(rows: pd.DataFrame, accuracy: str) -> pd.DataFrame:
    sizes = rows["train_size"].astype(float)
    groups = pd.cut(np.log(sizes), MAX_SIZES, labels=False) if sizes.nunique() > MAX_SIZES else sizes
    best = rows.loc[rows.groupby(groups)[accuracy].idxmax()].sort_values("train_size")
    points = best[["train_size", accuracy, "trial"]].rename(columns={accuracy: "accuracy"})
    return points.astype({"train_size": "float64"}).reset_index(drop=True)


def power_law(model: str, points: pd.DataFrame, perfect: float = 1.0) -> SizeScaling:
    """Fit error = c x size^-k by least squares on logarithms, with an interval of one more training that holds with 95 %.

    perfect: the accuracy without errors. Most errors have a floor, which few sizes cannot show (Hestness et al., arXiv
    1712.00409), so beyond the sizes tried the law is the best that may come, and the interval reaches from it to no gain at
    all. A training's luck counts as constant in the error or in its logarithm, whichever is more. How often that holds:
    benchmarks/simulated_searches.py. Refused with fewer than three sizes or an error of zero.
    """
    if len(points) < 3:
        return SizeScaling(model, points, refused=f"{len(points)} sizes were tried; a fit needs three")
    error = perfect - points["accuracy"].to_numpy()
    if (error <= 0).any():
        return SizeScaling(model, points, refused="zero error at one size: the power law cannot be fitted")
    x, y = np.log(points["train_size"].to_numpy(dtype=float)), np.log(error)
    line = stats.linregress(x, y)
    fitted, freedom = line.intercept + line.slope * x, len(x) - 2
    spread, error_spread = (np.sqrt((rest**2).sum() / freedom) for rest in (y - fitted, error - np.exp(fitted)))
    largest = float(np.exp(x.max()))
    sizes = np.append(np.geomspace(np.exp(x.min()), largest, SHOWN), [largest * times for times in EXTRAPOLATED])
    at = np.log(sizes)
    middle = line.intercept + line.slope * at
    luck = np.maximum(spread, error_spread / np.exp(middle))
    of_fit = spread * np.sqrt(1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, freedom) * np.hypot(luck, of_fit)
    low = perfect - np.minimum(np.exp(np.minimum(middle + half, 50)), perfect)
    curve = pd.DataFrame(
        {
            "train_size": sizes,
            "accuracy": perfect - np.minimum(np.exp(middle), perfect),
            "low": np.where(sizes > largest, np.minimum(low, low[SHOWN - 1]), low),
            "high": perfect - np.minimum(np.exp(middle - half), perfect),
            "extrapolated": np.arange(len(sizes)) >= SHOWN,
        }
    )
    return SizeScaling(model, points, curve, float(-line.slope), float(np.exp(line.intercept)))


def merging_curve(study: Study) -> pd.DataFrame:
    """Accuracy and speed-up over tome_ratio: columns model, trial, tome_ratio, accuracy, speed_up, baseline_ratio.

    Models tried at one ratio only are left out. `speed_up` is relative to the same model at `baseline_ratio`, the lowest
    ratio that it was timed at; NaN where it was not timed. A model that merges nothing and is otherwise the same (as many
    parameters, the same image size) is ratio 0, with its trials.
    """
    trials = searched(study)
    if "tome_ratio" not in trials:  # a task without token merging
        return pd.DataFrame(columns=list(_MERGING))
    ended = trials[trials[terms(study).validation].notna()]
    models = ended.dropna(subset=["tome_ratio"]).groupby(study.keys, sort=False)
    parts = [_merging_of(study, key, rows, ended) for key, rows in models if rows["tome_ratio"].nunique() > 1]
    return pd.concat(parts, ignore_index=True).drop_duplicates() if parts else pd.DataFrame(columns=list(_MERGING))


def _merging_of(study: Study, key: tuple[Any, ...], rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The curve of the model that `key`, its values of `study.keys`, identifies; `rows`: its search trials."""
    timings = study.profile[(study.profile[study.keys] == list(key)).all(axis=1)]
    unmerged = _unmerged(study, timings)
    others = trials[trials["tome_ratio"].isna()].merge(unmerged[study.keys].drop_duplicates(), on=study.keys)
    rows = pd.concat([rows, others.assign(tome_ratio=0.0)], ignore_index=True)
    columns = ["engine", "tome_ratio", speed(study)]  # a trial is compared with the same model in its own engine
    timed = pd.concat([frame[columns] for frame in (timings, unmerged, rows)]).dropna()
    lowest = timed["tome_ratio"].min()
    speeds = timed[timed["tome_ratio"] == lowest].groupby("engine")[speed(study)].median()
    curve = rows.assign(
        model=rows[study.keys].astype(str).agg("/".join, axis=1),
        accuracy=rows[terms(study).validation],
        speed_up=rows[speed(study)] / rows["engine"].map(speeds),
        baseline_ratio=lowest,
    )
    return curve[list(_MERGING)].sort_values("tome_ratio")


def _unmerged(study: Study, timings: pd.DataFrame) -> pd.DataFrame:
    """The timings, as of ratio 0, of models that merge nothing and are otherwise the one of `timings`."""
    alike = [*study.keys[:-1], "parameters", "image_size"]
    plain = study.profile.iloc[:0]
    if set(alike) <= set(study.profile) and timings["tome_ratio"].gt(0).all():
        same = timings[alike].dropna().drop_duplicates()
        plain = study.profile[study.profile["tome_ratio"].isna()].merge(same, on=alike)
    return plain.assign(tome_ratio=0.0)
