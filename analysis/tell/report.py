"""report.html: the whole study on one page that opens from disk, with its figures, tables and behaviour inside it.

python -m analysis report results/digits_compare
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from analysis.read.candidates import searched, settings, speed
from analysis.read.study_folder import Study, load
from analysis.tell import answer, figures, report_tables
from analysis.tell.summary import conditions, interpolation_error, trials_by_state, unit
from analysis.weigh import importance, scaling
from analysis.weigh.comparison import comparisons, intervals

UNSTEADY = 1.25  # times between two timings of one setting: more than a quiet machine's spread
_HERE = Path(__file__).parent


class Drawn(NamedTuple):
    """A figure as the page takes it: JSON for report.js, and what it shows in words."""

    json: str
    caption: str
    measures: bool


def write_report(folder: Path, path: Path | None = None) -> Path:
    """Write the report of the study in `folder`, finished or not, to `path` (folder/report.html) in one step.

    Raises `StudyError` where the folder is no study or its tables cannot be read.
    """
    page = render(load(folder))
    path = path or folder / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
    return path


def render(study: Study) -> str:
    """The page's HTML."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    assets = {"css": "report.css", "script": "report.js"}
    inlined = {key: Markup((_HERE / file).read_text(encoding="utf-8")) for key, file in assets.items()}
    return environment.get_template("report.html.j2").render(_context(study), **inlined, plotly=Markup(get_plotlyjs()))


def _context(study: Study) -> dict[str, Any]:
    sure, pairs = intervals(study), comparisons(study)
    sizes = scaling.size_scaling(study)
    merged = scaling.merging_curve(study)
    shares, importance_remarks = importance.importance(study)
    return {
        "title": ", ".join(study.names),
        "description": " ".join(str(spec["description"]) for spec in study.specs.values() if spec.get("description")),
        "counts": trials_by_state(study),
        "date": " and ".join(str(e["date"]) for e in study.environments.values() if "date" in e),
        "warnings": [*answer.status(study), *_repeated_timings(study), *study.notes],
        "answers": answer.answers(study, sure, pairs),
        "figures": _figures(study, sure, sizes, merged, shares),
        "tables": {"scaling": report_tables.scaling(sizes, study), "importance": report_tables.importance(shares)},
        "remarks": _remarks(study, sizes, merged, importance_remarks),
        "drawn": _DRAWN,
        "parts": _PARTS,
        "candidates": report_tables.candidates(study, sure),
        "pairs": report_tables.pairs(pairs),
        "trials": report_tables.trials(study),
        "failed": report_tables.failed(study),
        "pruned": report_tables.pruned(study),
        "profile": report_tables.profile(study),
        "speed_method": _speed_method(study),
        "environment": _environment(study),
        "space": "\n".join(yaml.safe_dump(spec, sort_keys=False) for spec in study.specs.values() if spec),
    }


_DRAWN = (
    ("curves", "Learning curves"),
    ("scaling", "More training data"),
    ("merging", "Token merging"),
    ("importance", "Which settings mattered"),
)
_PARTS = (
    ("answer", "Answer"), ("picture", "Accuracy and speed"), *((f"{key}-part", title) for key, title in _DRAWN),
    ("trials", "All trials"), ("stopped", "Failed and stopped"), ("speed", "How speed was measured"),
    ("environment", "What was run"),
)  # fmt: skip


def _figures(
    study: Study, sure: pd.DataFrame, sizes: list[scaling.SizeScaling], merged: pd.DataFrame, shares: pd.DataFrame
) -> dict[str, Drawn]:
    found = {}
    picture, measures = figures.accuracy_vs_speed(study, sure)
    if measures:
        large = "Large: test split, mean over seeds with 95 % interval. Small: " if len(sure) else "Marks: "
        drawn = sum(len(trace.y) for trace in picture.data)
        part = f" ({drawn:,} of the trials, the front among them)" if len(searched(study)) > figures.MOST_POINTS else ""
        caption = (
            f"{large}validation split, one training{part}. Dotted: the Pareto front of the models that are switched "
            "on. Up is more accurate. Point at a mark for its configuration; drag to zoom, double-click to go back."
        )
        found["tradeoff"] = _drawn(picture, caption, measures)
    curves = scaling.learning_curves(study)
    if len(curves):
        caption = "Bold: each model's best candidate, a line a training. Faint: up to 20 other trials a model."
        found["curves"] = _drawn(figures.learning_curves(study, curves), caption)
    if sizes:
        caption = (
            "Line and band: power law of the error with the 95 % interval of one more training. Dotted with open "
            "marks: EXTRAPOLATION beyond the data, which no measurement supports."
        )
        fitted = any(len(model.curve) for model in sizes)
        caption = "Marks: the best trial at each size." + (f" {caption}" if fitted else "")
        found["scaling"] = _drawn(figures.size_scaling(study, sizes), caption)
    if len(merged):
        base = ", ".join(
            f"{m}: {r:.3g}" for m, r in dict(zip(merged["model"], merged["baseline_ratio"], strict=True)).items()
        )
        caption = (
            "Filled marks, left axis: accuracy of each trial (learning rate and other settings differ, too). Open "
            f"marks, right axis: speed relative to the lowest ratio timed ({base})."
        )
        found["merging"] = _drawn(figures.merging(study, merged), caption)
    if len(shares):
        caption = "fANOVA: the share of the variance over the model's complete trials. Solid: accuracy; hatched: speed."
        found["importance"] = _drawn(figures.importance(study, shares), caption)
    return found


def _drawn(figure: Any, caption: str, measures: list[figures.Measure] | None = None) -> Drawn:
    from markupsafe import Markup

    figure.layout.template = (
        None  # Plotly's default theme would be repeated in each figure and fight the page's colours
    )
    text = figure.to_json()
    if measures:
        text = f'{text[:-1]}, "measures": {json.dumps([measure._asdict() for measure in measures])}}}'
    # In a script element only these could end it or begin another; in JSON they occur in strings alone.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Drawn(Markup(safe), caption, bool(measures))


def _remarks(
    study: Study, sizes: list[scaling.SizeScaling], merged: pd.DataFrame, importance_remarks: list[str]
) -> dict[str, list[str]]:
    """By figure, what could not be shown and why."""
    reasons = dict.fromkeys(model.refused for model in sizes if model.refused)
    fits = [
        f"No power law for {answer.listed([model.model for model in sizes if model.refused == reason])}: {reason}."
        for reason in reasons
    ]
    laws = [
        f"{model.model} {model.coefficient:.3g} x images^-{model.exponent:.2f} ({len(model.points)} sizes)"
        for model in sizes
        if not model.refused
    ]
    fitted = [
        f"Fitted error: {answer.listed(laws)}. It is fitted to the best trial of each size, so a size that got more "
        "trials looks a little better."
    ] * bool(laws)
    if not sizes:
        fits = ["No model has complete trials of more than one train size."]
    return {
        "curves": [] if study.epochs.size else ["No epoch has been recorded."],
        "scaling": [*fitted, *fits],
        "merging": [] if len(merged) else ["No model has complete trials at more than one tome_ratio."],
        "importance": [f"{line}." for line in importance_remarks],
    }


def _speed_method(study: Study) -> list[str]:
    if study.profile.empty:
        return ["No speed was measured alone: the profile phase was skipped or has not run."]
    return [
        *(f"{line}." for line in conditions(study) if "measured" in line or "disturbed" in line),
        f"Every model was timed with nothing of the study beside it, after a warm-up: {unit(speed(study))} is the "
        "median of repeated runs. A trial's speed is that of its setting, interpolated where its tome_ratio lies "
        "between two that were timed; confirmed candidates are timed at their exact setting. train_seconds is what "
        "the trial's epochs cost alone; columns that begin with contended_ were measured while other trials ran.",
        *(f"{line}." for line in interpolation_error(study)),
    ]


def _repeated_timings(study: Study) -> list[str]:
    """Settings timed in the profile phase and again for the confirm phase should have given the same speed."""
    timed = study.profile[study.profile[speed(study)].gt(0)] if speed(study) in study.profile else study.profile.head(0)
    by = [name for name in dict.fromkeys([*study.keys, *settings(study), "image_size", "batch"]) if name in timed]
    speeds = timed.groupby(by, dropna=False)[speed(study)] if len(timed) else None
    ratio = float((speeds.max() / speeds.min()).max()) if speeds is not None else 1.0
    if ratio < UNSTEADY:
        return []
    return [
        f"The same setting, timed again later, was up to {ratio:.1f} times as fast: something else was using the "
        "machine during one of the timings, so compare speeds with care."
    ]


def _environment(study: Study) -> list[tuple[str, str]]:
    """environment.json as (title, text), whatever of it there is."""
    lines: list[tuple[str, str]] = []
    for study_name, found in study.environments.items():
        if len(study.names) > 1:
            lines.append(("study", study_name))
        lines += [(key.replace("_", " "), _words(value)) for key, value in found.items() if key != "space"]
    lines += [
        (line.split(": ")[0], line.split(": ")[1]) for line in conditions(study) if line.startswith(("Data", "Weights"))
    ]
    return lines


def _words(value: Any) -> str:
    """A JSON value in words: {"cpu": "EPYC", "gpus": []} -> "cpu EPYC; gpus none"."""
    if isinstance(value, dict):
        return "; ".join(f"{str(key).replace('_', ' ')} {_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    return "unknown" if value is None else str(value)
