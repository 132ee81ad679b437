"""The answer for whoever reads one paragraph: which model to take, what is likely, what is proven, how to be surer."""

import math
from typing import Any, NamedTuple

import pandas as pd

from analysis.read.candidates import UNCONFIRMED, front, searched, speed, terms
from analysis.read.study_folder import Study
from analysis.read.timings import doubt
from analysis.tell.answer import as_tuned, interval, not_learnt, recommendable, what_would_decide
from analysis.tell.limits import nearest_miss
from analysis.tell.tuning import caveats, other_settings
from analysis.tell.wording import choice_name, count, enumeration, shortened
from analysis.weigh.limits import column, holding, limits, verdicts
from analysis.weigh.tradeoff import most_accurate
from record import figures
from record.folder import COMPLETE, FAILED, RUNNING, SEARCH
from record.limits import PERHAPS

MAX_NAMES = 4
MAX_SEEDS = 50  # that anybody would train
SAME_POINTS = 0.05  # a smaller difference is shown as none


class Headline(NamedTuple):
    """`use` is one sentence; `parts` are (title, sentences): what is likely, what is proven, how to be surer."""

    use: str
    parts: list[tuple[str, list[str]]]


def headline(study: Study, intervals: pd.DataFrame, pairs: pd.DataFrame) -> Headline:
    """`intervals` and `pairs` as weigh/comparison.py computes them. Where nothing can be recommended, `use` says why."""
    rows, accuracy = recommendable(study)
    if rows.empty:
        return Headline((not_learnt(study) or ["No model can be recommended: no trial has finished."])[0], [])
    top = most_accurate(rows, terms(study).validation, speed(study)).iloc[0].to_dict()
    is_tested = accuracy == terms(study).tested
    rivals = _rivals(top, pairs) if is_tested else pairs.head(0)
    parts = [
        ("Likely", [*_expected(study, top, intervals, is_tested), *_leaning(study, rivals)]),
        ("Proven", _proven(study, top, rivals)),
        ("To be surer", [*_surer(study, top, rivals, is_tested), *caveats(study)]),
    ]
    return Headline(_use(study, rows, top, accuracy, rivals), [(title, lines) for title, lines in parts if lines])


def _rivals(top: dict[Any, Any], pairs: pd.DataFrame) -> pd.DataFrame:
    """The tested comparisons of `top`, seen from its side: `difference` is by how much it is better than `second`."""
    pairs = pairs[pairs["p_holm"].notna()]
    if "study" in pairs:
        pairs = pairs[pairs["study"] == top["study"]]
        own_names = {name: pairs["study"] + "/" + pairs[name] for name in ("first", "second")}
        pairs, top = pairs.assign(**own_names), top | {"trial": f"{top['study']}/{top['trial']}"}
    own = pairs[pairs["first"] == top["trial"]]
    if len(own):
        return own
    other = pairs[pairs["second"] == top["trial"]]  # the best one in an engine need not be that in eager PyTorch
    turned = {
        "second": other["first"],
        "difference": -other["difference"],
        "low": -other["high"],
        "high": -other["low"],
    }
    return other.assign(**turned)


def _use(study: Study, rows: pd.DataFrame, top: dict[Any, Any], accuracy: str, rivals: pd.DataFrame) -> str:
    words = terms(study)
    text = f"{_missed(study, rows)} {_called(study, top)}: {_reached(study, top, accuracy)}{_fast(study, top)}"
    similar = rivals.loc[~rivals["differ"], "second"].tolist()
    better = rivals.loc[rivals["differ"] & (rivals["difference"] < 0), "second"].tolist()
    if better:
        text += f", but new {words.examples} showed {shortened(better, MAX_NAMES)} to be more accurate"
    elif similar:
        text += f"; whether it is more accurate than {shortened(similar, MAX_NAMES)} is not decided"
    elif accuracy == words.tested and rivals.empty and len(rows) > 1 and "study" not in rows:
        text += "; whether it is more accurate than the others was not tested"
    if "study" in rows and rows["study"].nunique() > 1:
        text += "; candidates of different studies were not tested against each other"
    return f"{text}{_faster(study, rows, top, accuracy)}{_missing(study)}."


def _missing(study: Study) -> str:
    """The contenders that failed in every training: who is told which one is best must know who did not take part."""
    cell = "cell" if "cell" in study.trials else "model"
    by_contender = study.trials[study.trials["phase"] == SEARCH].groupby([*study.keys[:-1], cell], sort=False)["state"]
    names = [
        "/".join(map(str, name))
        for name, states in by_contender
        if (states == FAILED).any() and not states.isin([COMPLETE, RUNNING]).any()
    ]
    verb = "was" if len(names) == 1 else "were"
    return f"; {shortened(names, MAX_NAMES)} {verb} not compared, since every training failed" if names else ""


def _missed(study: Study, rows: pd.DataFrame) -> str:
    """How the sentence begins: whether a candidate holds the limits of the space."""
    of = limits(study)
    if holding(study, rows, of).empty:
        miss = nearest_miss(study, rows, of)
        return f"{miss[0].upper()}{miss[1:]}. Without limits, use"
    return "Use"


def _called(study: Study, row: dict[Any, Any]) -> str:
    return f"{row['model']} ({choice_name(row, study)})"


def _reached(study: Study, row: dict[Any, Any], accuracy: str) -> str:
    words = terms(study)
    where = "new" if accuracy == words.tested else "validation"
    shown = words.show(row[accuracy])
    what = f"{where} {words.examples}"
    text = f"{shown} of {what} right" if words.is_share else f"{words.label} {shown} on {what}"
    return text if accuracy == words.tested else f"{text} ({UNCONFIRMED})"


def _fast(study: Study, row: dict[Any, Any]) -> str:
    """Speed and hardware, and what is doubtful about them and about the limits."""
    if pd.isna(value := row.get(speed(study))):
        return ", speed not measured"
    timed = study.profile[study.profile["study"] == row["study"]] if "study" in study.profile else study.profile
    places = timed["hardware"].dropna().unique() if "hardware" in timed else []
    text = f", {value:,.0f} {figures.BY_NAME[speed(study)].unit} on {places[0] if len(places) == 1 else 'the hardware'}"
    doubts = [reason] if (reason := doubt(study, row)) else []
    if of := limits(study):
        [held] = verdicts(study, pd.DataFrame([row]), of).to_dict("records")
        unsure = [str(limit) for limit in of if held[column(limit)] == PERHAPS]
        doubts += [f"not certainly {enumeration(unsure)}"] if unsure else []
    return text + (f" ({'; '.join(doubts)})" if doubts else "")


def _faster(study: Study, rows: pd.DataFrame, top: dict[Any, Any], accuracy: str) -> str:
    """What to use for more speed: the next one on the front and the fastest, of those that none beats on new examples."""
    by = speed(study)
    on_front = front(front(rows, accuracy, by), terms(study).validation, by)
    faster = on_front[on_front[by] > (1 + figures.NOISE) * top[by]].to_dict("records")
    options = []
    for row in faster if len(faster) < 3 else [faster[0], faster[-1]]:
        said = [*filter(None, [doubt(study, row)]), _difference(study, row[accuracy] - top[accuracy])]
        options.append(f"{_called(study, row)} with {row[by]:,.0f} ({'; '.join(said)})")
    unit = figures.BY_NAME[by].unit
    return f"; if you need more than {top[by]:,.0f} {unit}, use {' or '.join(options)}" if options else ""


def _difference(study: Study, gap: float) -> str:
    words = terms(study)
    if abs(gap) < SAME_POINTS * words.point:
        return "as accurate"
    return f"{words.show_points(gap)} {'more' if gap > 0 else 'less'}"


def _expected(study: Study, top: dict[Any, Any], intervals: pd.DataFrame, is_tested: bool) -> list[str]:
    words = terms(study)
    if not is_tested:
        tried = count(len(searched(study)), "training")
        return [
            f"Less accurate than that on new {words.examples}: it is the best of {tried}, and was not trained again or tested on "
            f"{words.examples} that did not choose it."
        ]
    low, high, over = interval(study, top, intervals)
    if pd.isna(low):
        return []
    shown = f"{words.show(low)} to {words.show(high)}"
    if words.is_share:
        shown += f" of new {words.examples} right"
    return [f"{shown} (such a range is right 19 times in 20; from {over})."]


def _leaning(study: Study, rivals: pd.DataFrame) -> list[str]:
    """Of the differences that are not proven, how they look."""
    show, open_ones = terms(study).show_points, rivals[~rivals["differ"]].to_dict("records")
    names = [
        f"{row['second']} (measured {show(row['difference'])} {'less' if row['difference'] > 0 else 'more'} accurate)"
        for row in open_ones
    ]
    return [f"Not told apart from {enumeration(names[:MAX_NAMES])}{_more(names)}."] if names else []


def _more(names: list[str]) -> str:
    return f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""


def _proven(study: Study, top: dict[Any, Any], rivals: pd.DataFrame) -> list[str]:
    if rivals.empty:
        return []
    words, there = terms(study), " in eager PyTorch" if study.several_engines else ""
    lines = []
    for sign, word in ((1, "more"), (-1, "less")):
        proven = rivals[rivals["differ"] & (sign * rivals["difference"] > 0)]
        names = [
            f"{row['second']} (by {low / words.point:.1f} to {words.show_points(high)})"
            for row in proven.to_dict("records")
            for low, high in [sorted((abs(row["low"]), abs(row["high"])))]
        ]
        if names:
            lines.append(f"{word.capitalize()} accurate{there} than {enumeration(names[:MAX_NAMES])}{_more(names)}.")
    if not lines:
        return [f"Not yet that it is more accurate than any other{there}."]
    return [*lines, f"This holds for each {as_tuned(study, top)}."]


def _surer(study: Study, top: dict[Any, Any], rivals: pd.DataFrame, is_tested: bool) -> list[str]:
    if not is_tested:
        return [
            f"Let the confirm phase run (--resume): it trains the best again and tests them on new {terms(study).examples}."
        ]
    similar = rivals[~rivals["differ"]]
    if similar.empty:
        return other_settings(study, rivals)
    seeds = float(similar["seeds_needed"].min())
    how = f" More seeds help (--resume --set confirm.seeds={math.ceil(seeds)})." if seeds < MAX_SEEDS else ""
    return [what_would_decide(study, top, similar) + how, *other_settings(study, rivals[rivals["differ"]])]
