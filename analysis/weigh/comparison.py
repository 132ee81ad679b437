"""Which confirmed candidates differ: intervals over seeds and test images, tests against the best, chance to be on the front.

Two things make an accuracy uncertain: other test images and another training. record/crossed.py weighs both in one test
of all stored predictions. A user asks which candidate is the best, so the most accurate one is compared with each
other one, and with nothing else: fewer tests are corrected for (Hsu, "Multiple Comparisons", 1996).
"""

from typing import Any

import numpy as np
import pandas as pd

from analysis.read.candidates import (
    confirm_runs,
    confirmed,
    eager,
    engine_runs,
    identity,
    speed,
    terms,
)
from analysis.read.study_folder import Study
from analysis.weigh.limits import within_limits
from analysis.weigh.statistics import (
    Bools,
    Floats,
    accuracy_interval,
    bootstrap_accuracies,
    front_probability,
    student_interval,
    wilson_interval,
)
from analysis.weigh.tradeoff import most_accurate
from models.engines import EAGER
from record.contents import read_right
from record.crossed import differences, examples_needed, seeds_needed
from record.looks import Looks, planned
from record.tasks import Terms
from record.verdicts import LEVEL, verdicts

DRAWS = 2000
RightByEngine = dict[str, dict[tuple[str, ...], Bools]]


def answers_right(study: Study, engine: str | None = None) -> dict[tuple[str, ...], Bools]:
    """(study,) candidate -> (seeds, images), whether each run classified each test image correctly, with eager PyTorch or in
    an engine.

    A candidate is left out if the predictions of one of its runs are missing or do not fit the labels.
    """
    right = {}
    for name, folder in study.folders.items():
        runs = confirm_runs(study)
        runs = runs[runs["study"] == name] if "study" in runs else runs
        for candidate, own in runs.groupby("candidate", sort=False):
            if (own_right := read_right(folder, own["trial"].tolist(), engine)) is not None:
                right[(*([name] if "study" in runs else []), str(candidate))] = own_right
    return right


def intervals(study: Study) -> pd.DataFrame:
    """One row per confirmed candidate, and engine where there are several: how certain its test accuracy is, most accurate
    first.

    `low`, `high`: 95 % over seeds and test images together (of one seed: over images alone, Wilson; of BLEU: over seeds
    alone, Student), and `interval` says which. `student_*`: over seeds; `wilson_*`: over images, for one model of this
    accuracy; `front_probability`: share of the draws in which the candidate is on the front of test accuracy and speed,
    with the speed taken as exact. `accuracy_difference`, `difference_low`, `difference_high`: in a study of several engines,
    the accuracy against eager PyTorch's of the same trainings on the same images, and its 95 % interval over seeds and
    images. What cannot be computed is NaN.
    """
    task, candidates = terms(study), confirmed(study)
    if candidates.empty:
        against = _AGAINST_EAGER if study.several_engines else ()
        return candidates.reindex(columns=[*identity(study), "seeds", task.tested, *_MEASURES, *against])
    scores = _scores(study)
    by = identity(study)
    rows = [_interval(task, row, scores[tuple(row[i] for i in by)]) for row in candidates.to_dict("records")]
    table = pd.DataFrame(rows, index=candidates.index)
    right = _right_by_engine(study, candidates)
    table["front_probability"] = _front_probability(study, candidates, right)
    shown = [*by, "seeds", task.tested, f"{task.tested}_std"]
    joined = candidates[shown].join(table[list(_MEASURES)])
    if study.several_engines:
        joined = joined.join(_against_eager(study, candidates, right))
    return joined.sort_values(task.tested, ascending=False, kind="stable").reset_index(drop=True)


_MEASURES = (
    "low", "high", "interval", "student_low", "student_high", "wilson_low", "wilson_high", "front_probability",
)  # fmt: skip


_AGAINST_EAGER = ("accuracy_difference", "difference_low", "difference_high")


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
    """The columns of `identity`, of a candidate -> the test accuracies of its runs, in the order of their seeds."""
    by = ["candidate" if name == "trial" else name for name in identity(study)]
    runs = engine_runs(study).sort_values("seed", kind="stable")
    return dict(tuple(runs.groupby(by, sort=False)[terms(study).tested]))


def _against_eager(study: Study, candidates: pd.DataFrame, right: RightByEngine) -> pd.DataFrame:
    """For the rows of `candidates`, confirmed ones in an engine: the paired difference to eager PyTorch with its interval."""
    lines = []
    for row in candidates.to_dict("records"):
        line = dict(zip(_AGAINST_EAGER, (row["accuracy_difference"], np.nan, np.nan), strict=True))
        engine, key = row["engine"], tuple(row[name] for name in _identity(study))
        scores = {name: right[name].get(key) for name in (engine, EAGER)}
        if engine != EAGER and not any(each is None for each in scores.values()):
            tables = {name: dict(enumerate(each.astype(float))) for name, each in scores.items() if each is not None}
            if measured := differences(tables, engine).get(EAGER):
                half = measured.half_width(LEVEL)
                line |= {"difference_low": measured.mean - half, "difference_high": measured.mean + half}
        lines.append(line)
    return pd.DataFrame(lines, index=candidates.index)


def _right_by_engine(study: Study, candidates: pd.DataFrame) -> RightByEngine:
    """`answers_right` of each engine of the candidates."""
    names = dict.fromkeys([EAGER, *candidates.get("engine", [])])
    return {name: answers_right(study, None if name == EAGER else name) for name in names}


def _front_probability(study: Study, candidates: pd.DataFrame, by_engine: RightByEngine) -> pd.Series:
    """For the rows of `candidates`; NaN in a study that lacks a prediction, a speed or a second seed."""
    result = pd.Series(np.nan, index=candidates.index)
    groups = candidates.groupby("study", sort=False) if "study" in candidates else [("", candidates)]
    for _, rows in groups:
        keys = rows[_identity(study)].itertuples(index=False, name=None)
        engines = rows["engine"] if study.several_engines else [EAGER] * len(rows)
        right = [by_engine[engine].get(key) for engine, key in zip(engines, keys, strict=True)]
        known = [each for each in right if each is not None and len(each) > 1]
        if rows[speed(study)].notna().all() and len(known) == len(rows):
            drawn = bootstrap_accuracies(known, DRAWS, np.random.default_rng(0))
            result[rows.index] = front_probability(drawn, rows[speed(study)])
    return result


def comparisons(study: Study) -> pd.DataFrame:
    """One row for each confirmed candidate but its study's `first`, which all others are compared with: of those within the
    limits of the space, in any engine, the most accurate in validation, so that the test split does not choose what it
    tests. All answers are eager PyTorch's.

    `difference`: by how much `first` is more accurate than `second` on the test split; `low`, `high`: its interval, all
    those of a study together with 95 %; `p` is that of record/crossed.py (of all looks, where seeds are added until the
    answer is decided), `p_holm` corrected for the number of rows; `differ` whether the two are told apart. Where they are
    not: `images_needed`, the test images with which the same seeds would tell them apart four times in five, and
    `seeds_needed`, the seeds with the same images; NaN where no number would.
    """
    candidates, right = confirmed(study), answers_right(study)
    candidates = candidates[candidates[terms(study).tested].notna()]
    groups = candidates.groupby("study", sort=False) if "study" in candidates else [("", candidates)]
    found = [_against_first(study, str(name), rows, right) for name, rows in groups if len(eager(rows)) > 1]
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COMPARED.items()})
    table = pd.concat(found, ignore_index=True) if found else empty
    return table if "study" in candidates else table.drop(columns="study")


_COMPARED = {
    "study": "str", "first": "str", "second": "str", "difference": "float64", "low": "float64", "high": "float64",
    "p": "float64", "p_holm": "float64", "differ": "bool", "images_needed": "float64", "seeds_needed": "float64",
}  # fmt: skip


def _against_first(study: Study, name: str, rows: pd.DataFrame, right: dict[tuple[str, ...], Bools]) -> pd.DataFrame:
    """The comparisons of one study, whose confirmed candidates in all engines `rows` are; `right` as of `answers_right`."""
    task, held = terms(study), within_limits(study, rows)["trial"]
    rows = eager(rows)
    first = str(most_accurate(rows[rows["trial"].isin(held)], task.validation, task.speed)["trial"].iloc[0])
    scores, binomial = _scores_by_seed(study, name, rows, right)
    reached = verdicts(scores, first, _looks(study, name), binomial)
    lines: list[dict[str, Any]] = []
    for second in rows["trial"]:
        line = {"study": name, "first": first, "second": second, "differ": False}
        if second in reached:
            verdict = reached[second]
            measured, half = verdict.measured, verdict.measured.half_width(verdict.level)
            line |= {"difference": measured.mean, "low": measured.mean - half, "high": measured.mean + half}
            line |= {"p": verdict.p, "p_holm": verdict.p_holm, "differ": verdict.differ}
            if not verdict.differ:
                line |= {"images_needed": examples_needed(measured, verdict.level)}
                line |= {"seeds_needed": seeds_needed(measured, verdict.level)}
        if second != first:
            lines.append(line)
    return pd.DataFrame(lines, columns=list(_COMPARED)).astype(_COMPARED)


def _looks(study: Study, name: str) -> Looks:
    """The numbers of seeds at which the study tests by plan; () where it does so once."""
    spec = study.specs[name or study.names[0]]
    confirm = spec.get("confirm")
    if not isinstance(confirm, dict) or not confirm.get("until"):
        return ()
    return planned(confirm["seeds"], confirm.get("most"))


def _scores_by_seed(
    study: Study, name: str, rows: pd.DataFrame, right: dict[tuple[str, ...], Bools]
) -> tuple[dict[str, dict[int, Floats]], dict[str, float]]:
    """(candidate -> seed -> scores of the test examples; {}). Where predictions are missing, the scores are means over
    the test split, and the second is what the split adds to each one's variance: p (1 - p) / images, as if the
    models erred independently."""
    task, runs = terms(study), confirm_runs(study)
    runs = runs[runs["study"] == name] if "study" in runs else runs
    seeds = {candidate: runs.loc[runs["candidate"] == candidate, "seed"].tolist() for candidate in rows["trial"]}
    own = {key[-1]: answers for key, answers in right.items() if key[:-1] in ((), (name,))}
    if own.keys() >= seeds.keys():
        return {c: dict(zip(seeds[c], own[c].astype(float), strict=True)) for c in seeds}, {}
    means: dict[str, dict[int, Floats]] = {candidate: {} for candidate in rows["trial"]}
    for run in runs[runs[task.tested].notna() & runs["candidate"].isin(rows["trial"])].to_dict("records"):
        means[run["candidate"]][int(run["seed"])] = np.array([run[task.tested]])
    if not task.is_share or f"test_{task.examples}" not in rows:
        return means, {}
    binomial = rows[task.tested] * (1 - rows[task.tested]) / rows[f"test_{task.examples}"]
    return means, dict(zip(rows["trial"], binomial.fillna(0.0), strict=True))


def _identity(study: Study) -> list[str]:
    """The columns that name a candidate: ("study",) "trial"."""
    return [*study.keys[:-1], "trial"]
