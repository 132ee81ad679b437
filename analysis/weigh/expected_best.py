"""The best accuracy to expect of a search with n trials, from the trials of a longer one."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.read.candidates import terms, tried
from analysis.read.study_folder import Study
from analysis.weigh.statistics import Floats

MIN_TRIALS = 5  # of a cell; with fewer there is no curve to speak of
MAX_STEPS = 60  # numbers of trials at which a long search's curve is computed
BAND = 0.9  # of the searches


def expected_best(values: npt.ArrayLike, trials: int) -> float:
    """Mean of the best of `trials` different ones of `values` (N,), over all such choices; trials is 1 to N.

    Sum of x_(i) C(i-1, n-1) / C(N, n) over the sorted values: the estimator of Tang et al., "Showing Your Work Doesn't
    Always Work", ACL 2020, without the bias of Dodge et al., "Show Your Work", EMNLP 2019, who draw with replacement.
    """
    ascending = np.sort(np.asarray(values, dtype=float))
    size = len(ascending)
    if not 1 <= trials <= size:
        raise ValueError(f"trials must lie between 1 and {size}, not {trials}")
    i = np.arange(size, 1, -1)
    # The weight of the largest value is n/N; each next smaller one's is (i - n)/(i - 1) times that before, 0 below rank n.
    weights = np.cumprod(np.concatenate([[trials / size], np.maximum(i - trials, 0) / (i - 1)]))
    return float(weights @ ascending[::-1])


def band(values: npt.ArrayLike, trials: int, share: float = BAND) -> tuple[float, float]:
    """Between which two of `values` (N,) the best of `trials` lies in that share of the searches, were they done again.

    Another search draws other trials, so they are drawn with replacement: P(best <= x_(i)) = (i/N)^n (Dodge et al.).
    """
    ascending: Floats = np.sort(np.asarray(values, dtype=float))
    chances = (np.arange(1, len(ascending) + 1) / len(ascending)) ** trials
    # Within rounding, as in tables of quantiles: 0.05 ** (1 / n) ** n is not 0.05.
    low, high = np.searchsorted(chances, [(1 - share) / 2 - 1e-12, (1 + share) / 2 - 1e-12])
    return float(ascending[low]), float(ascending[high])


def expected_best_curves(study: Study) -> pd.DataFrame:
    """One row per cell and number of trials: (study,) model, cell, trials, accuracy, low, high.

    `accuracy`: what the best of so many of the cell's trials reaches in validation, were they drawn at random; `low`,
    `high`: the `band`. Early-stopped trials count with what they had reached, failed ones not at all. Cells with fewer
    than `MIN_TRIALS` are left out.
    """
    parts = []
    for key, rows in tried(study).groupby([*study.keys, "cell"], sort=False):
        values = rows[terms(study).validation].to_numpy(dtype=float)
        if len(values) < MIN_TRIALS:
            continue
        numbers = np.unique(np.linspace(1, len(values), min(len(values), MAX_STEPS)).round().astype(int)).tolist()
        part = pd.DataFrame({"trials": numbers, "accuracy": [expected_best(values, n) for n in numbers]})
        part[["low", "high"]] = [band(values, n) for n in numbers]
        parts.append(part.assign(**dict(zip([*study.keys, "cell"], map(str, key), strict=True))))
    columns = [*study.keys, "cell", "trials", "accuracy", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
