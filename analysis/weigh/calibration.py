"""Whether a classifier is right as often as it says: its probabilities against the share of its answers that are right."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.read.candidates import confirm_runs
from analysis.read.study_folder import Study
from analysis.weigh.statistics import wilson_interval
from analysis.weigh.summary import best_candidates
from record.contents import read_predictions, read_right

BINS = 10  # of equal width


def calibration(study: Study) -> pd.DataFrame:
    """One row per model and bin of probabilities that has answers, in order: (study,) model, trial, probability (their mean),
    accuracy, low, high, answers, error.

    Of each model's best confirmed candidate, all its runs on all test images together. `low`, `high`: Wilson's 95 %, as if
    each image were answered once. `error`: the expected calibration error of the candidate, the mean over all answers of the
    distance between probability and accuracy in their bin (Guo et al., "On Calibration of Modern Neural Networks", 2017).
    """
    columns = [*study.keys, "trial", "probability", "accuracy", "low", "high", "answers", "error"]
    best, runs = best_candidates(study), confirm_runs(study)
    parts = []
    for row in best[[*study.keys, "trial"]].to_dict("records"):
        folder = study.folders[row.get("study", study.names[0])]
        own = runs[(runs[study.keys] == [row[key] for key in study.keys]).all(axis=1)]
        trials = own["trial"][own["candidate"] == row["trial"]].tolist()
        right = read_right(folder, trials) if trials else None
        sure = [each for trial in trials if (each := read_predictions(folder.confidences(trial))) is not None]
        if right is not None and [each.shape for each in sure] == [right.shape[1:]] * len(trials):
            parts.append(
                reliability(np.stack(sure).astype(float), right).assign(
                    **{str(key): value for key, value in row.items()}
                )
            )
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def reliability(probabilities: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """probabilities, right: (runs, images). The rows of `calibration` for one candidate."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    rows = []
    for i in np.unique(bins):
        inside = bins == i
        accuracy, images = float(right[inside].mean()), inside.sum() / len(right)
        low, high = wilson_interval(accuracy * images, images)
        row = {"probability": float(probabilities[inside].mean()), "accuracy": accuracy, "low": low, "high": high}
        rows.append(row | {"answers": int(inside.sum())})
    table = pd.DataFrame(rows)
    gaps = (table["probability"] - table["accuracy"]).abs()
    return table.assign(error=float((gaps * table["answers"]).sum() / table["answers"].sum()))
