"""How accuracy grows with epochs and with data, and what token merging costs and gains: frames, nothing drawn."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from analysis.read.candidates import confirmed, quality, searched, speed
from analysis.read.study_folder import Study
from analysis.weigh.tradeoff import best_per_model

MAX_SIZES = 8  # more distinct train sizes than this were searched as a range: they are taken together
EXTRAPOLATED = (2, 10)  # times the largest size that was tried
_CURVE = ("train_size", "accuracy", "low", "high", "extrapolated")


def learning_curves(study: Study, others: int = 20) -> pd.DataFrame:
    """Accuracy over epochs: columns (study,) model, trial, line, epoch, accuracy.

    `line` is "best" for the model's best candidate (its confirm runs where there are any) and "other" for at most
    `others` more search trials a model, evenly over their accuracies, early-stopped ones included.
    """
    accuracy = f"val_{quality(study)}"
    if accuracy not in study.epochs:
        return pd.DataFrame(columns=[*study.keys, "trial", "line", "epoch", "accuracy"])
    trials = study.trials[study.trials["state"].isin(["complete", "pruned", "running"])]
    trials = trials.assign(of=_names(study, trials, "candidate").fillna(_names(study, trials, "trial")))
    is_best = trials["of"].isin(_best_candidates(study, accuracy))
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


def _best_candidates(study: Study, accuracy: str) -> pd.Series:
    repeated = best_per_model(confirmed(study), accuracy, study.keys)
    once = best_per_model(searched(study), accuracy, study.keys)
    return _names(study, pd.concat([repeated, once]).drop_duplicates(study.keys), "trial")


def _names(study: Study, rows: pd.DataFrame, column: str) -> pd.Series:
    """Names that are unique over merged studies: `study/trial`."""
    return rows["study"] + "/" + rows[column] if "study" in rows else rows[column]


def _evenly(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]


@dataclass(frozen=True)
class SizeScaling:
    """One model's accuracy over its number of training images.

    `points`: columns train_size, accuracy, trial: the best trial at each size (in each range of sizes, where many were
    tried). `curve`: train_size, accuracy, low, high, extrapolated, along the fit and at the EXTRAPOLATED sizes; empty
    where `refused` says why there is no fit. `exponent` and `coefficient`: error = coefficient x train_size ^ -exponent,
    the error being 1 - accuracy, or 100 - BLEU.
    """

    model: str
    points: pd.DataFrame
    curve: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(_CURVE)))
    exponent: float = float("nan")
    coefficient: float = float("nan")
    refused: str = ""


def size_scaling(study: Study) -> list[SizeScaling]:
    """The models whose trials were given more than one train size, each with its power law."""
    accuracy = f"val_{quality(study)}"
    full = 100.0 if accuracy == "val_bleu" else 1.0
    found = []
    for key, rows in searched(study).groupby(study.keys, sort=False):
        points = _best_by_size(rows.dropna(subset=["train_size", accuracy]), accuracy)
        if len(points) > 1:
            found.append(power_law("/".join(map(str, key)), points, full))
    return found


def _best_by_size(rows: pd.DataFrame, accuracy: str) -> pd.DataFrame:
    sizes = rows["train_size"].astype(float)
    groups = pd.cut(np.log(sizes), MAX_SIZES, labels=False) if sizes.nunique() > MAX_SIZES else sizes
    best = rows.loc[rows.groupby(groups)[accuracy].idxmax()].sort_values("train_size")
    points = best[["train_size", accuracy, "trial"]].rename(columns={accuracy: "accuracy"})
    return points.astype({"train_size": "float64"}).reset_index(drop=True)


def power_law(model: str, points: pd.DataFrame, full: float = 1.0) -> SizeScaling:
    """Fit error = c x size^-k by least squares on logarithms, with the 95 % prediction interval of one more training.

    full: the accuracy of no error. A power law without a floor keeps promising more (Hestness et al., arXiv 1712.00409):
    beyond the sizes that were tried it is a guess. Refused with fewer than three sizes or with an error of zero.
    """
    if len(points) < 3:
        return SizeScaling(model, points, refused=f"{len(points)} sizes were tried; a fit takes three")
    error = full - points["accuracy"].to_numpy()
    if (error <= 0).any():
        return SizeScaling(model, points, refused="at one size nothing was wrong: no error is left to fit")
    x, y = np.log(points["train_size"].to_numpy(dtype=float)), np.log(error)
    line = stats.linregress(x, y)
    spread = np.sqrt(((y - line.intercept - line.slope * x) ** 2).sum() / (len(x) - 2))
    largest = float(np.exp(x.max()))
    sizes = np.append(np.geomspace(np.exp(x.min()), largest, 25), [largest * times for times in EXTRAPOLATED])
    at = np.log(sizes)
    half = spread * np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half *= stats.t.ppf(0.975, len(x) - 2)
    middle = line.intercept + line.slope * at
    curve = pd.DataFrame(
        {
            "train_size": sizes,
            "accuracy": full - np.minimum(np.exp(middle), full),
            "low": full - np.minimum(np.exp(np.minimum(middle + half, 50)), full),
            "high": full - np.minimum(np.exp(middle - half), full),
            "extrapolated": np.arange(len(sizes)) >= 25,
        }
    )
    return SizeScaling(model, points, curve, float(-line.slope), float(np.exp(line.intercept)))


def merging_curve(study: Study) -> pd.DataFrame:
    """Accuracy and speed-up over tome_ratio: columns model, trial, tome_ratio, accuracy, speed_up, baseline_ratio.

    Models that were given one ratio only are left out. `speed_up` is against the same model at `baseline_ratio`, the
    lowest ratio that it was timed at; NaN where it was not.
    """
    accuracy, speed_column = f"val_{quality(study)}", speed(study)
    columns = ["model", "trial", "tome_ratio", "accuracy", "speed_up", "baseline_ratio"]
    parts = []
    for key, rows in searched(study).dropna(subset=["tome_ratio", accuracy]).groupby(study.keys, sort=False):
        if rows["tome_ratio"].nunique() < 2:
            continue
        timed = rows[["tome_ratio", speed_column]]
        profile = study.profile
        if speed_column in profile:
            own = (profile[study.keys] == list(key)).all(axis=1)
            timed = pd.concat([profile[own][["tome_ratio", speed_column]], timed])
        timed = timed.dropna()
        lowest = timed["tome_ratio"].min()
        base = timed.loc[timed["tome_ratio"] == lowest, speed_column].median()
        part = rows.assign(
            model="/".join(map(str, key)),
            accuracy=rows[accuracy],
            speed_up=rows[speed_column] / base,
            baseline_ratio=lowest,
        )
        parts.append(part[columns].sort_values("tome_ratio"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
