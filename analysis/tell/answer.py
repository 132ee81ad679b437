"""The study's answer in plain sentences: which candidate for which need, how sure that is, and what would make it surer."""

import math
from typing import Any, NamedTuple

import pandas as pd

from analysis.read.candidates import choices, front, quality, searched, settings, speed
from analysis.read.study_folder import Study
from analysis.tell.summary import unit
from analysis.weigh.comparison import LEVEL
from analysis.weigh.statistics import wilson_interval
from analysis.weigh.tradeoff import fastest_within, knee, most_accurate_above

_PHASES = ("profile", "search", "confirm")


class Answer(NamedTuple):
    """`needs` that one candidate answers, its name, and what is known of it, sentence by sentence."""

    needs: list[str]
    trial: str
    sentences: list[str]


def answers(study: Study, sure: pd.DataFrame, pairs: pd.DataFrame) -> list[Answer]:
    """One answer a candidate that some need singles out; `sure` and `pairs` from comparison.py.

    Candidates are chosen by validation accuracy and described by the test split, which chooses nothing. Empty where no
    trial has finished.
    """
    rows, accuracy = choices(study)
    by = f"val_{quality(study)}"
    rows = rows[rows[by].notna()]
    if rows.empty:
        return []
    one_point = 1.0 if quality(study) == "bleu" else 0.01
    best = most_accurate_above(rows, -math.inf, by, speed(study))
    if best.empty:  # no speed was measured
        best = rows.nlargest(1, by)
    picks = {
        "Most accurate": best,
        "Fastest within 1 point of the best": fastest_within(rows, one_point, by, speed(study)),
        "Best balance (knee of the front)": knee(rows, by, speed(study)),
        "Fastest on the front": front(rows, by, speed(study)).tail(1),
    }
    top = best.iloc[0].to_dict()
    needs: dict[Any, list[str]] = {}
    for need, pick in picks.items():
        for index in pick.index:
            needs.setdefault(index, []).append(need)
    return [
        Answer(named, name(row, study), _sentences(study, row, top, accuracy, sure, pairs))
        for index, named in needs.items()
        for row in [rows.loc[index].to_dict()]
    ]


def name(row: dict[Any, Any], study: Study) -> str:
    return "/".join(str(row[key]) for key in (*study.keys[:-1], "trial"))


def _sentences(
    study: Study,
    row: dict[Any, Any],
    top: dict[Any, Any],
    accuracy: str,
    sure: pd.DataFrame,
    pairs: pd.DataFrame,
) -> list[str]:
    is_top = name(row, study) == name(top, study)
    lines = [_measured(study, row, accuracy, sure)]
    if accuracy.startswith("test"):
        lines += _against_all(study, row, pairs) if is_top else [_against(study, row, top, accuracy, pairs)]
    elif not is_top:
        lines.append(_exchange(study, row, top, accuracy))
    return lines


def _measured(study: Study, row: dict[Any, Any], accuracy: str, sure: pd.DataFrame) -> str:
    chosen = [f"{key.replace('_', ' ')} {number(row[key])}" for key in settings(study) if not pd.isna(row[key])]
    title = accuracy.replace("_", " ").replace("val ", "validation ").replace("bleu", "BLEU")
    text = f"{row['model']} with {', '.join(chosen)}: " if chosen else f"{row['model']}: "
    text += f"{title} {share(row[accuracy], study)}"
    low, high, over = _interval(study, row, accuracy, sure)
    if not math.isnan(low):
        text += f" (95 % interval {share(low, study)} to {share(high, study)}, over {over})"
    if not pd.isna(value := row.get(speed(study))):
        text += f", {value:,.0f} {unit(speed(study))} alone on the hardware"
    return text + "."


def _interval(study: Study, row: dict[Any, Any], accuracy: str, sure: pd.DataFrame) -> tuple[float, float, str]:
    if accuracy.startswith("val"):
        images = _images(study, row, "validation")
        if quality(study) != "accuracy" or not images:
            return math.nan, math.nan, ""
        return *wilson_interval(row[accuracy] * images, images), f"{images:,} validation images, one training"
    own = sure[(sure[[*study.keys, "trial"]] == [row[key] for key in [*study.keys, "trial"]]).all(axis=1)].iloc[0]
    seeds = f"{row['seeds']} seed{'s' * (row['seeds'] != 1)}"
    tested = f"{row['test_images']:,} test images" if not pd.isna(row.get("test_images")) else "the test images"
    over = {"seeds and images": f"{seeds} and {tested}", "seeds": seeds, "images": f"{tested}, {seeds}"}
    return own["low"], own["high"], over.get(own["interval"], "")


def _images(study: Study, row: dict[Any, Any], split: str) -> int:
    data = study.environments[row.get("study", study.names[0])].get("data")
    count = data.get(split) if isinstance(data, dict) else None
    return count if isinstance(count, int) else 0


def _against_all(study: Study, row: dict[Any, Any], pairs: pd.DataFrame) -> list[str]:
    """What the tests say of the most accurate candidate and all others."""
    own = pairs[(pairs["first"] == row["trial"]) | (pairs["second"] == row["trial"])]
    if "study" in own:
        own = own[own["study"] == row["study"]]
    if own.empty or own["p_holm"].isna().all():
        return ["Its difference from the others was not tested: no second seed and no stored predictions."]
    other = own["second"].where(own["first"] == row["trial"], own["first"])
    same = other[~own["differ"]].tolist()
    better = other[own["differ"] & (own["second"] == row["trial"])].tolist()
    lines = []
    if better:
        lines.append(f"On the test split it is beaten by {listed(better)}, which it beat in validation.")
    if not same and not better:
        lines.append(f"It is more accurate than every other candidate (p = {own['p_holm'].max():.2g} at most).")
    if same:
        lines.append(f"It cannot be told apart from {listed(same)} in accuracy.")
        nearest = own[~own["differ"] & own["images_needed"].notna()].sort_values("images_needed")
        if len(nearest):
            lines.append(_to_be_surer(study, row, nearest.iloc[0]))
    return lines


def _to_be_surer(study: Study, row: dict[Any, Any], pair: pd.Series) -> str:
    other = pair["second"] if pair["first"] == row["trial"] else pair["first"]
    if pair["p_images"] < LEVEL:
        return f"To tell it from {other} would take more seeds; there are test images enough."
    images = float(f"{pair['images_needed']:.2g}")
    lead = abs(pair["only_first"] - pair["only_second"]) / row["test_images"]
    return (
        f"To tell it from {other} would take about {images:,.0f} test images instead of {row['test_images']:,} "
        f"(the two models compared are {points(lead, study)} apart)."
    )


def _against(study: Study, row: dict[Any, Any], top: dict[Any, Any], accuracy: str, pairs: pd.DataFrame) -> str:
    both = {row["trial"], top["trial"]}
    pair = pairs[pairs["first"].isin(both) & pairs["second"].isin(both)]
    if "study" in pair:
        pair = pair[(pair["study"] == row["study"]) & (row["study"] == top["study"])]
    text = _exchange(study, row, top, accuracy)
    if pair.empty or pd.isna(pair["p_holm"].iloc[0]):
        return text + " Whether they differ was not tested."
    p = pair["p_holm"].iloc[0]
    if pair["differ"].iloc[0]:
        return text + f" The difference is significant (p = {p:.2g}, corrected for {len(pairs)} pairs)."
    return text + f" In accuracy the two cannot be told apart (p = {p:.2g})."


def _exchange(study: Study, row: dict[Any, Any], top: dict[Any, Any], accuracy: str) -> str:
    faster = row[speed(study)] / top[speed(study)]
    gap = row[accuracy] - top[accuracy]
    return (
        f"{faster:.2f} times as fast as {name(top, study)}, "
        f"measured {points(gap, study)} {'more' if gap > 0 else 'less'} accurate."
    )


def status(study: Study) -> list[str]:
    """What of the study is not done: phases, trials that run or failed, candidates that were not confirmed."""
    lines = []
    trials = study.trials
    for key, spec in study.specs.items():
        done = study.environments[key].get("duration_seconds")
        phases = spec.get("phases") if isinstance(spec.get("phases"), list) else list(_PHASES)
        missing = [str(phase) for phase in phases or [] if not isinstance(done, dict) or phase not in done]
        if missing:
            of = f" of {key}" if len(study.specs) > 1 else ""
            lines.append(f"The study{of} is not finished (it runs still, or was stopped): {listed(missing)} not done.")
    if count := int((trials["state"] == "running").sum()):
        lines.append(f"{count} trial{'s' * (count > 1)} had begun and not ended.")
    if len(trials) and (trials["state"] == "failed").all():
        lines.append("All trials failed; nothing can be concluded.")
    elif searched(study).empty:
        lines.append("No trial has run its whole budget yet.")
    elif choices(study)[1].startswith("val"):
        lines.append(
            "Not every model has a confirmed candidate: figures are of single trainings on the validation split, and as "
            "the best of many they are optimistic. Differences are not tested."
        )
    return lines


def share(value: float, study: Study) -> str:
    """0.968 -> "96.8 %"; BLEU as it is."""
    return f"{value:.1f}" if quality(study) == "bleu" else f"{100 * value:.1f} %"


def points(difference: float, study: Study) -> str:
    size = abs(difference) * (1 if quality(study) == "bleu" else 100)
    return f"{size:.1f} {'BLEU' if quality(study) == 'bleu' else 'points'}"


def number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def listed(names: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
