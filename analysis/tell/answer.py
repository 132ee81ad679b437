"""The answer in plain sentences: which candidate for which need, how certain that is, and what would make it more certain."""

import math
from typing import Any, NamedTuple

import pandas as pd

from analysis.read.candidates import (
    UNCONFIRMED,
    choices,
    front,
    identity,
    searched,
    settings,
    speed,
    terms,
    tried,
)
from analysis.read.data_facts import baseline, class_sizes, study_of
from analysis.read.study_folder import Study
from analysis.read.timings import doubt
from analysis.tell.limits import limit_sentences
from analysis.tell.tuning import caveats, other_settings
from analysis.tell.wording import choice_name, count, enumeration, setting
from analysis.weigh.learning import has_learnt
from analysis.weigh.limits import within_limits
from analysis.weigh.tradeoff import fastest_within, knee, most_accurate
from models.engines import EAGER
from record import figures
from record.folder import FAILED, PHASES, RUNNING

MAX_CLASS_RATIO = 1.5  # largest over smallest class of the test split; beyond it, balanced accuracy is told
SAME_POINTS = 0.05  # a smaller difference is shown as none


class Answer(NamedTuple):
    """`needs` that one candidate meets, its name, and what is known about it, sentence by sentence."""

    needs: list[str]
    trial: str
    sentences: list[str]


def answers(study: Study, intervals: pd.DataFrame, pairs: pd.DataFrame) -> list[Answer]:
    """One answer per candidate that meets a need; `intervals` and `pairs` as weigh/comparison.py computes them.

    Candidates are chosen by validation accuracy and described by the test split, which chooses nothing but that a model
    has learnt something, and that none stands for balance or speed which another beats in both there. Where the space has
    limits, they are those that hold them, or may, if there are any. Empty where no trial has finished or none has learnt:
    `not_learnt` says so.
    """
    rows, accuracy = recommendable(study)
    words, speed_column = terms(study), speed(study)
    by = words.validation
    if rows.empty:
        return []
    best = most_accurate(rows, by, speed_column)
    unbeaten = front(rows, accuracy, speed_column)
    picks = {
        "Most accurate": best,
        "Fastest within 1 point of the best": fastest_within(rows, words.point, by, speed_column),
        "Best balance (knee of the front)": knee(unbeaten, by, speed_column),
        "Fastest on the front": front(unbeaten, by, speed_column).tail(1),
    }
    top = best.iloc[0].to_dict()
    needs: dict[Any, list[str]] = {}
    for need, pick in picks.items():
        for index in pick.index:
            needs.setdefault(index, []).append(need)
    return [
        Answer(met, choice_name(row, study), _sentences(study, row, top, accuracy, intervals, pairs))
        for index, met in needs.items()
        for row in [rows.loc[index].to_dict()]
    ]


def recommendable(study: Study) -> tuple[pd.DataFrame, str]:
    """The candidates that have learnt something and hold the limits, or may, if any does, and their accuracy column."""
    rows, accuracy = choices(study)
    rows = rows[rows[terms(study).validation].notna()]
    rows = rows[has_learnt(study, rows, accuracy).fillna(True).astype(bool)]
    return within_limits(study, rows), accuracy


def not_learnt(study: Study) -> list[str]:
    """That no model learnt anything and what to do, or which ones did not; nothing where all did, or where the study does
    not say what is reached without learning."""
    rows, accuracy = choices(study)
    learnt = has_learnt(study, rows, accuracy)
    failed = rows[learnt.eq(False).fillna(False).astype(bool)]
    if failed.empty:
        return []
    if len(failed) == int(learnt.notna().sum()):
        [best] = failed.nlargest(1, accuracy).to_dict("records")
        return [
            f"No model learnt anything, so none is recommended: the best is {_beside_baseline(study, best, accuracy)}. "
            "Train for more epochs, search other learning rates, add training data, and check the labels."
        ]
    if accuracy == terms(study).validation:  # of a search, models: a trial with a bad learning rate is no news
        models = rows[study.keys].apply(tuple, axis=1)
        failed = failed[~models[failed.index].isin(models[learnt.fillna(True).astype(bool)])]
        failed = failed.sort_values(accuracy, ascending=False, kind="stable").drop_duplicates(study.keys)
    reached = [_beside_baseline(study, row, accuracy) for row in failed.to_dict("records")]
    return [f"Learnt nothing, and not recommended: {each}." for each in reached]


def _beside_baseline(study: Study, row: dict[Any, Any], accuracy: str) -> str:
    words = terms(study)
    return (
        f"{choice_name(row, study)} with {figures.BY_NAME[accuracy].label} {words.show(row[accuracy])}, not above the "
        f"{words.show(baseline(study, study_of(study, row), accuracy))} of {words.baseline}"
        f"{' beyond noise' if words.is_share else ''}"
    )


def _sentences(
    study: Study,
    row: dict[Any, Any],
    top: dict[Any, Any],
    accuracy: str,
    intervals: pd.DataFrame,
    pairs: pd.DataFrame,
) -> list[str]:
    is_top = choice_name(row, study) == choice_name(top, study)
    lines = [_measured(study, row, accuracy, intervals), *limit_sentences(study, row)]
    if accuracy == terms(study).tested:
        lines += _against_eager(study, row, intervals)
        lines += _against_all(study, row, pairs) if is_top else [_against(study, row, top, accuracy, pairs)]
    elif not is_top:
        lines.append(_exchange(study, row, top, accuracy))
    return [*lines, *caveats(study)] if is_top else lines


def _measured(study: Study, row: dict[Any, Any], accuracy: str, intervals: pd.DataFrame) -> str:
    words = terms(study)
    chosen = [setting(key, row[key]) for key in settings(study) if not pd.isna(row[key])]
    engine = f" in {row['engine']}" if study.several_engines else ""
    text = f"{row['model']}{engine} with {', '.join(chosen)}: " if chosen else f"{row['model']}{engine}: "
    text += f"{figures.BY_NAME[accuracy].label} {words.show(row[accuracy])}"
    if accuracy == words.validation:
        text += f" ({UNCONFIRMED}: the best of {count(len(searched(study)), 'single training')})"
    else:
        low, high, over = interval(study, row, intervals)
        text += "" if math.isnan(low) else f" (95 % interval {words.show(low)} to {words.show(high)}, over {over})"
    sizes = class_sizes(study, study_of(study, row)).get("test", (1, 1))
    if sizes[1] > MAX_CLASS_RATIO * sizes[0] and not pd.isna(balanced := row.get("test_balanced_accuracy")):
        text += f", {figures.BY_NAME['test_balanced_accuracy'].label} {words.show(balanced)} since classes are unequal"
    if not pd.isna(value := row.get(speed(study))):
        reason = doubt(study, row)
        how = f"({reason})" if reason else "alone on the hardware"
        text += f", {value:,.0f} {figures.BY_NAME[speed(study)].unit} {how}"
    return text + "."


def _own(study: Study, row: dict[Any, Any], intervals: pd.DataFrame) -> pd.Series:
    """The row of `intervals` that is of the same choice."""
    names = identity(study)
    return intervals[(intervals[names] == [row[key] for key in names]).all(axis=1)].iloc[0]


def _against_eager(study: Study, row: dict[Any, Any], intervals: pd.DataFrame) -> list[str]:
    """What the engine does to the accuracy; nothing for eager PyTorch itself."""
    if not study.several_engines or row["engine"] == EAGER:
        return []
    words, own = terms(study), _own(study, row, intervals)
    gap, low, high = (own[name] for name in ("accuracy_difference", "difference_low", "difference_high"))
    ends = [round(end / words.point, 1) + 0.0 for end in (low, high)]  # 0.0 added, since -0.0 has a sign
    between = "" if math.isnan(low) else f" (95 % interval {ends[0]:+.1f} to {ends[1]:+.1f})"
    how = f"{words.show_points(gap)} {'more' if gap > 0 else 'less'} accurate than"
    how = "as accurate as" if abs(gap) < SAME_POINTS * words.point else how
    return [f"In {row['engine']} it is {how} in eager PyTorch, the same trainings on the same images{between}."]


def interval(study: Study, row: dict[Any, Any], intervals: pd.DataFrame) -> tuple[float, float, str]:
    """(low, high, what it is over) of a confirmed candidate's accuracy: 95 %; NaN where it cannot be computed."""
    own = _own(study, row, intervals)
    seeds = count(row["seeds"], "seed")
    tested = f"{row['test_images']:,} test images" if not pd.isna(row.get("test_images")) else "the test images"
    over = {"seeds and images": f"{seeds} and {tested}", "seeds": seeds, "images": f"{tested}, {seeds}"}
    return own["low"], own["high"], over.get(own["interval"], "")


def _against_all(study: Study, row: dict[Any, Any], pairs: pd.DataFrame) -> list[str]:
    """What the tests say about the most accurate candidate and all others."""
    if study.several_engines and len(pairs) and row["trial"] not in set(pairs["first"]):
        return [f"Models are compared by their answers in eager PyTorch: {_eager_pair(row, pairs)}"]
    own = pairs[pairs["first"] == row["trial"]]
    if "study" in own:
        own = own[own["study"] == row["study"]]
    untested = own.loc[own["p_holm"].isna(), "second"].tolist()
    own = own[own["p_holm"].notna()]
    if own.empty:
        return ["Whether it differs from the others was not tested: that takes two candidates with two seeds each."]
    similar = own.loc[~own["differ"], "second"].tolist()
    better = own.loc[own["differ"] & (own["difference"] < 0), "second"].tolist()
    lines, there = [], " in eager PyTorch" if study.several_engines else ""
    if better:
        lines.append(f"On the test split it is beaten by {enumeration(better)}, which it beat in validation.")
    if not similar and not better and not untested:
        p, tuned, doubts = own["p_holm"].max(), as_tuned(study, row), other_settings(study, own)
        if doubts:
            lines.append(
                f"{tuned.capitalize()}, it did better than every other candidate{there} (p = {p:.2g} at most)."
            )
        else:
            lines.append(f"It is more accurate than every other candidate{there}, each {tuned} (p = {p:.2g} at most).")
        lines += doubts
    if similar:
        lines.append(f"It cannot be told apart from {enumeration(similar)} in accuracy{there}.")
        lines.append(what_would_decide(study, row, own[~own["differ"]]))
    if untested:
        lines.append(
            f"Whether it differs from {enumeration(untested)} was not tested: they share fewer than two seeds."
        )
    return lines


def _eager_pair(row: dict[Any, Any], pairs: pd.DataFrame) -> str:
    """How the candidate compares with the one that is the most accurate in eager PyTorch."""
    pair = pairs[pairs["second"] == row["trial"]]
    if "study" in pair:
        pair = pair[pair["study"] == row["study"]]
    if pair.empty or pd.isna(p := pair["p_holm"].iloc[0]):
        return "whether it differs there from the most accurate one was not tested."
    verdict = "differs from" if pair["differ"].iloc[0] else "cannot be told apart from"
    return f"there it {verdict} {pair['first'].iloc[0]}, the most accurate (p = {p:.2g})."


def as_tuned(study: Study, row: dict[Any, Any]) -> str:
    """Seeds and images say nothing of settings that were not tried, so a claim names the search that it rests on: the trials
    that were really run, which a time budget may have cut."""
    trials = tried(study)
    if "study" in trials:
        trials = trials[trials["study"] == row["study"]]
    per_cell = trials.groupby("cell").size()
    low, high = int(per_cell.min()), int(per_cell.max())
    return f"as tuned with {f'{low:,} to ' if low < high else ''}{count(high, 'trial')} per cell"


def what_would_decide(study: Study, row: dict[Any, Any], similar: pd.DataFrame) -> str:
    """For the candidate that is the easiest to tell apart."""
    for needed, unit, having in (
        ("seeds_needed", "seeds", int(row["seeds"])),
        ("images_needed", "test images", row.get("test_images")),
    ):
        if similar[needed].notna().any():
            pair = similar.sort_values(needed).iloc[0]
            number = float(f"{pair[needed]:.2g}")
            return (
                f"Telling it apart from {pair['second']} would take about {number:,.0f} {unit} instead of {having:,} "
                f"({terms(study).show_points(pair['difference'])} lie between them as measured)."
            )
    return "The differences are too small, as measured, to say how many seeds or test images would tell them apart."


def _against(study: Study, row: dict[Any, Any], top: dict[Any, Any], accuracy: str, pairs: pd.DataFrame) -> str:
    pair = pairs[(pairs["first"] == top["trial"]) & (pairs["second"] == row["trial"])]
    if "study" in pair:
        pair = pair[(pair["study"] == row["study"]) & (row["study"] == top["study"])]
    text = _exchange(study, row, top, accuracy)
    if row["trial"] == top["trial"]:  # in another engine
        return text
    if pair.empty or pd.isna(pair["p_holm"].iloc[0]):
        return text + " Whether they differ was not tested."
    p = pair["p_holm"].iloc[0]
    there = " in eager PyTorch" if study.several_engines else ""
    if pair["differ"].iloc[0]:
        return (
            f"{text} The difference{there} is significant, each {as_tuned(study, row)} (p = {p:.2g}, corrected for "
            f"{count(len(pairs), 'comparison')})."
        )
    return text + f" The two cannot be told apart in accuracy{there} (p = {p:.2g})."


def _exchange(study: Study, row: dict[Any, Any], top: dict[Any, Any], accuracy: str) -> str:
    ratio = row[speed(study)] / top[speed(study)]
    gap = row[accuracy] - top[accuracy]
    return (
        f"It is {ratio:.2f} times as fast as {choice_name(top, study)} and was "
        f"measured {terms(study).show_points(gap)} {'more' if gap > 0 else 'less'} accurate."
    )


def status(study: Study) -> list[str]:
    """What is not done yet: phases, trials that are running or failed, candidates that were not confirmed."""
    lines = []
    trials = study.trials
    for key, spec in study.specs.items():
        done = study.environments[key].get("duration_seconds")
        phases = spec.get("phases") if isinstance(spec.get("phases"), list) else PHASES
        missing = [str(phase) for phase in phases or () if not isinstance(done, dict) or phase not in done]
        if missing:
            of = f" {key}" if len(study.specs) > 1 else ""
            lines.append(f"The study{of} is not finished (still running, or stopped): {enumeration(missing)} not done.")
    if running := int((trials["state"] == RUNNING).sum()):
        lines.append(f"{count(running, 'trial')} started but did not finish.")
    if len(trials) and (trials["state"] == FAILED).all():
        lines.append("All trials failed; nothing can be concluded.")
    elif searched(study).empty:
        lines.append("No trial has completed its budget yet.")
    elif choices(study)[1] == terms(study).validation:
        lines.append(
            "Not every model has a confirmed candidate: all figures come from single trainings on the validation split "
            f"and, being the best of many, are {UNCONFIRMED}; no interval over images would hold for them. Differences are "
            "not tested."
        )
    return lines
