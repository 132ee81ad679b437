"""Which confirmed candidates differ: intervals over seeds and test images, pairwise tests, chance to be on the front.

Two things make an accuracy uncertain, and each has its test. Other test images: McNemar's test between one trained model
of each candidate, the one of the first seed (fixed beforehand, so that nothing is picked by its result). Another
training: Welch's test between the candidates' accuracies over seeds. Candidates are told apart only where both tests
find a difference: p is the larger of the two, which tests "they differ in both senses" at its level
(intersection-union; Berger, 1982), and is corrected for the number of pairs (Holm).
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.candidates import confirm_runs, confirmed, speed, terms
from analysis.read.study_folder import Study
from analysis.weigh.statistics import (
    Bools,
    accuracy_interval,
    bootstrap_accuracies,
    front_probability,
    holm,
    images_to_tell_apart,
    mcnemar,
    student_interval,
    welch,
    wilson_interval,
)
from record.contents import read_predictions
from record.tasks import Terms

LEVEL = 0.05
DRAWS = 2000


def answers_right(study: Study) -> dict[tuple[str, ...], Bools]:
    """(study,) candidate -> (seeds, images), whether each run classified each test image correctly.

    A candidate is left out if the predictions of one of its runs are missing or do not fit the labels.
    """
    right = {}
    for name, folder in study.folders.items():
        labels = read_predictions(folder.labels)
        runs = confirm_runs(study)
        runs = runs[runs["study"] == name] if "study" in runs else runs
        for candidate, own in runs.groupby("candidate", sort=False):
            predicted = [read_predictions(folder.predictions(trial)) for trial in own["trial"]]
            if labels is None or any(p is None or p.shape != labels.shape for p in predicted):
                continue
            key = (*([name] if "study" in runs else []), str(candidate))
            right[key] = np.stack([p == labels for p in predicted if p is not None])
    return right


def intervals(study: Study) -> pd.DataFrame:
    """One row per confirmed candidate: how certain its test accuracy is, most accurate first.

    `low`, `high`: 95 % over seeds and test images together (of one seed: over images alone, Wilson; of BLEU: over seeds
    alone, Student), and `interval` says which. `student_*`: over seeds; `wilson_*`: over images, for one model of this
    accuracy; `front_probability`: share of the draws in which the candidate is on the front of test accuracy and speed,
    with the speed taken as exact. What cannot be computed is NaN.
    """
    task, candidates = terms(study), confirmed(study)
    if candidates.empty:
        return candidates.reindex(columns=[*_identity(study), "model", "seeds", task.tested, *_MEASURES])
    scores = _scores(study)
    identity = _identity(study)
    rows = [_interval(task, row, scores[tuple(row[i] for i in identity)]) for row in candidates.to_dict("records")]
    table = pd.DataFrame(rows, index=candidates.index)
    table["front_probability"] = _front_probability(study, candidates)
    shown = [*study.keys, "trial", "seeds", task.tested, f"{task.tested}_std"]
    joined = candidates[shown].join(table[list(_MEASURES)])
    return joined.sort_values(task.tested, ascending=False, kind="stable").reset_index(drop=True)


_MEASURES = (
    "low", "high", "interval", "student_low", "student_high", "wilson_low", "wilson_high", "front_probability",
)  # fmt: skip


def _interval(task: Terms, row: dict[Any, Any], scores: pd.Series) -> dict[str, Any]:
    """`row`: a confirmed candidate; `scores`: what its runs reached on the test split."""
    known = scores.dropna()
    student = student_interval(known)
    images: Any = row.get(f"test_{task.examples}")
    mean = row[task.tested]
    countable = task.is_share and not (pd.isna(images) or pd.isna(mean))
    wilson = wilson_interval(mean * images, int(images)) if countable else (np.nan, np.nan)
    if countable and len(known) > 1:
        over, (low, high) = "seeds and images", accuracy_interval(known, int(images))
    elif countable:
        over, (low, high) = "images", wilson
    else:
        over, (low, high) = "seeds" if len(known) > 1 else "", student
    return {
        "low": low, "high": high, "interval": over, "student_low": student[0], "student_high": student[1],
        "wilson_low": wilson[0], "wilson_high": wilson[1],
    }  # fmt: skip


def _scores(study: Study) -> dict[Any, pd.Series]:
    """(study,) candidate -> the test accuracies of its runs, in the order of their seeds."""
    return dict(
        tuple(confirm_runs(study).groupby([*_identity(study)[:-1], "candidate"], sort=False)[terms(study).tested])
    )


def _front_probability(study: Study, candidates: pd.DataFrame) -> pd.Series:
    """For the rows of `candidates`; NaN in a study that lacks a prediction, a speed or a second seed."""
    result = pd.Series(np.nan, index=candidates.index)
    right = answers_right(study)
    groups = candidates.groupby("study", sort=False) if "study" in candidates else [("", candidates)]
    for _, rows in groups:
        keys = list(rows[_identity(study)].itertuples(index=False, name=None))
        if rows[speed(study)].notna().all() and all(key in right and len(right[key]) > 1 for key in keys):
            drawn = bootstrap_accuracies([right[key] for key in keys], DRAWS, np.random.default_rng(0))
            result[rows.index] = front_probability(drawn, rows[speed(study)])
    return result


def comparisons(study: Study) -> pd.DataFrame:
    """One row per pair of confirmed candidates of the same study, the more accurate one first.

    `p_images` (McNemar; `mcnemar` names the form: exact or chi-square), `p_seeds` (Welch), `p` the larger of those that
    could be computed, `p_holm` corrected for the pairs; `differ` whether they are told apart. `images_needed`: test
    images with which McNemar's test would detect the difference of its two models four times in five; NaN where the
    first model is not the better one.
    """
    right, scores = answers_right(study), _scores(study)
    ranked = sorted(scores, key=lambda key: -np.nan_to_num(scores[key].mean()))
    pairs = [pair for pair in combinations(ranked, 2) if pair[0][:-1] == pair[1][:-1]]
    table = pd.DataFrame([_compare(study, *pair, scores, right) for pair in pairs], columns=_columns(study))
    table = table.astype(dict.fromkeys(("difference", "p_images", "p_seeds", "p", "images_needed"), "float64"))
    table["p_holm"] = table.groupby("study")["p"].transform(holm) if "study" in table else holm(table["p"])
    return table.assign(differ=table["p_holm"] < LEVEL)


def _columns(study: Study) -> list[str]:
    tests = ["difference", "only_first", "only_second", "mcnemar", "p_images", "p_seeds", "p", "images_needed"]
    return [*_identity(study)[:-1], "first", "second", *tests]


def _compare(
    study: Study,
    first: tuple[str, ...],
    second: tuple[str, ...],
    scores: dict[Any, pd.Series],
    right: dict[Any, Bools],
) -> dict[str, Any]:
    a, b = scores[first].dropna(), scores[second].dropna()
    row: dict[str, Any] = dict(zip(_identity(study)[:-1], first[:-1], strict=True))
    row |= {"first": first[-1], "second": second[-1], "difference": a.mean() - b.mean(), "mcnemar": ""}
    row["p_seeds"] = welch(a, b)
    if first in right and second in right:
        one, other = right[first][0], right[second][0]
        test = mcnemar(one, other)
        row |= {"p_images": test.p, "only_first": test.only_first, "only_second": test.only_second}
        row["mcnemar"] = test.test
        disagreement, lead = float((one != other).mean()), float(one.mean() - other.mean())
        row["images_needed"] = images_to_tell_apart(disagreement, lead) if lead > 0 else np.nan
    known = [p for p in (row.get("p_images"), row["p_seeds"]) if p is not None and not np.isnan(p)]
    return row | {"p": max(known, default=np.nan)}


def _identity(study: Study) -> list[str]:
    """The columns that name a candidate: ("study",) "trial"."""
    return [*study.keys[:-1], "trial"]
