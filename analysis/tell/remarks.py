"""What the report says around its pictures and tables: fits, how speed was measured, what was run, what to be wary of."""

from collections.abc import Sequence
from typing import Any

from analysis.read.candidates import settings, speed, terms
from analysis.read.conditions import conditions, disturbed_timings, interpolation_error
from analysis.read.study_folder import Study
from analysis.tell.pictures.data import Findings
from analysis.tell.pictures.importance import SettingImportance
from analysis.tell.pictures.sizes import DataScaling
from analysis.tell.pictures.tuning import ExpectedBest
from analysis.tell.tuning import caveats
from analysis.tell.wording import enumeration
from analysis.weigh.scaling import SizeScaling
from record import figures

MAX_TIMING_RATIO = 1.25  # between two timings of one setting: more than a quiet machine's spread


def remarks(study: Study, findings: Findings) -> dict[str, list[str]]:
    """By picture: what it rests on."""
    return {
        ExpectedBest.name: caveats(study),
        DataScaling.name: _power_laws(study, findings.size_scaling),
        SettingImportance.name: [f"{line}." for line in findings.importance_remarks],
    }


def _power_laws(study: Study, models: Sequence[SizeScaling]) -> list[str]:
    lines = []
    laws = [
        f"{model.model} {model.coefficient:.3g} x {terms(study).training_examples}^-{model.exponent:.2f} "
        f"({len(model.points)} sizes)"
        for model in models
        if not model.refused
    ]
    if laws:
        lines.append(
            f"Fitted error: {enumeration(laws)}. The fit goes through the best trial at each size, so a size with more "
            "trials looks slightly better."
        )
    for reason in dict.fromkeys(model.refused for model in models if model.refused):
        names = [model.model for model in models if model.refused == reason]
        lines.append(f"No power law for {enumeration(names)} ({reason}).")
    return lines


def speed_method(study: Study) -> list[str]:
    if study.profile.empty:
        return ["No speed was measured alone: the profile phase was skipped or has not run."]
    return [
        *(f"{line}." for line in conditions(study) if "measured" in line or "disturbed" in line),
        "Every model was timed after a warm-up, with nothing else of the study running: "
        f"{figures.BY_NAME[speed(study)].unit} is the median of repeated runs. A trial's speed is that of its setting, "
        "interpolated where its tome_ratio lies between two that were timed; confirmed candidates are timed at their exact "
        "setting. train_seconds is what the trial's epochs cost alone; columns that start with "
        f"{figures.CONTENDED} were measured while other trials ran.",
        *(f"{line}." for line in interpolation_error(study)),
    ]


def unsteady_timings(study: Study) -> list[str]:
    """What else used the machine during the timings, as they say themselves, and as it shows: a setting timed in the
    profile phase and again for the confirm phase should have the same speed both times."""
    lines = [f"{line}: speeds may be far too low, and ranked wrongly." for line in disturbed_timings(study)]
    column = speed(study)
    timed = study.profile[study.profile[column].gt(0)] if column in study.profile else study.profile.head(0)
    by = [
        name
        for name in dict.fromkeys([*study.keys, *settings(study), "image_size", "batch", "engine"])
        if name in timed
    ]
    speeds = timed.groupby(by, dropna=False)[column] if len(timed) else None
    ratio = float((speeds.max() / speeds.min()).max()) if speeds is not None else 1.0
    if ratio < MAX_TIMING_RATIO:
        return lines
    return [
        *lines,
        f"The same setting, timed again later, was up to {ratio:.1f} times as fast: something else was using the "
        "machine during one of the timings, so compare speeds with care.",
    ]


def environment(study: Study) -> list[tuple[str, str]]:
    """environment.json as (title, text), with data and weights of the trials."""
    lines: list[tuple[str, str]] = []
    for name, content in study.environments.items():
        if len(study.names) > 1:
            lines.append(("study", name))
        lines += [(key.replace("_", " "), _words(value)) for key, value in content.items() if key != "space"]
    used = [line.split(": ", 1) for line in conditions(study) if line.startswith(("Data", "Weights"))]
    return [*lines, *((title, text) for title, text in used)]


def _words(value: Any) -> str:
    """A JSON value in words: {"cpu": "EPYC", "gpus": []} -> "cpu EPYC; gpus none"."""
    if isinstance(value, dict):
        return "; ".join(f"{str(key).replace('_', ' ')} {_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    return "unknown" if value is None else str(value)
