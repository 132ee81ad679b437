"""The model card of an exported model: what it is, how accurate and fast it was measured to be, how to use it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.read.candidates import SEARCH, UNCONFIRMED
from analysis.read.conditions import conditions
from analysis.read.study_folder import Study
from analysis.use.exported_model import WEIGHTS, ExportedModel
from analysis.weigh.statistics import wilson_interval
from models.engines import Difference
from record import figures
from record.figures import Figure
from record.tasks import IMAGE_CLASSIFICATION

_TESTED = IMAGE_CLASSIFICATION.tested


def model_card(study: Study, row: pd.Series, exported: ExportedModel, difference: Difference | None = None) -> str:
    """Markdown. `row` is the model's row of trials.csv, `difference` that of its engine's answers from PyTorch's."""
    title = f"{exported.model}: {exported.data or 'unknown data'}"
    sections = [
        f"# {title}",
        f"An image classifier with {len(exported.classes)} classes, trial `{exported.trial}` of the study "
        f"`{exported.study}`.",
        "## Measured",
        _table(("figure", "value"), _figures(row, exported)),
        _list(_conditions(study, row)),
        *_seeds(study, row),
        "## Use",
        "`python -m analysis predict DIR image.jpg...` prints class and probability of each image.",
        _engine(exported, difference),
        _preprocessing(exported),
        f"Classes, in the order of the outputs: {', '.join(exported.classes)}.",
        "## Training",
        _table(("setting", "value"), [(name, f"`{value}`") for name, value in exported.settings.items()]),
        "## Model options",
        _table(("option", "value"), [(name, f"`{value}`") for name, value in exported.options.items()]),
        "## Versions",
        ", ".join(f"{name} {version}" for name, version in exported.versions.items()) or "not recorded",
    ]
    if commit := study.environment.get("git_commit"):
        sections.append(f"Code: commit {commit}")
    return "\n\n".join(sections) + "\n"


def _figures(row: pd.Series, exported: ExportedModel) -> list[tuple[str, str]]:
    """Meaning and value of each figure; the test accuracy comes first, with its interval."""
    known = [figures.BY_NAME[name] for name in exported.figures if figures.BY_NAME[name].better]
    lines = [(figure.meaning, _value(row[figure.name], figure)) for figure in known if figure.name != _TESTED]
    if pd.notna(row[_TESTED]):
        lines.insert(0, ("test accuracy", _with_interval(row[_TESTED], row["test_images"])))
    return lines


def _value(value: float, figure: Figure) -> str:
    if figure.unit == "share":
        return f"{value:.4f}"
    return f"{value:,.0f} {figure.unit}".strip() if value >= 1000 else f"{value:.4g} {figure.unit}".strip()


def _with_interval(accuracy: float, images: Any) -> str:
    if pd.isna(images):
        return f"{accuracy:.4f}"
    right = round(accuracy * images)
    low, high = wilson_interval(right, int(images))
    return f"{accuracy:.4f} ({right} of {images} images; 95 % Wilson interval {low:.3f} to {high:.3f})"


def _conditions(study: Study, row: pd.Series) -> list[str]:
    """What the figures of this model hold for."""
    trials, profile = study.trials, study.profile
    mine = replace(
        study, trials=trials[trials["trial"] == row["trial"]], profile=profile[profile["model"] == row["model"]]
    )
    return conditions(mine)


def _seeds(study: Study, row: pd.Series) -> list[str]:
    """How much the accuracy depends on the seed, or that nobody knows."""
    if row["phase"] == SEARCH:
        return [f"One training of a search, chosen by its validation figures: they are {UNCONFIRMED}."]
    runs = study.trials[study.trials["candidate"] == row["candidate"]][_TESTED].dropna()
    if pd.isna(row["candidate"]) or len(runs) < 2:
        return []
    return [
        f"The same settings were trained with {len(runs)} seeds: test accuracy {runs.mean():.4f}, "
        f"standard deviation {runs.std():.4f}. Expect a new training to reach that mean, not the figure of this run."
    ]


def _engine(exported: ExportedModel, difference: Difference | None) -> str:
    if difference is None:
        return f"Engine: {exported.engine}. `{WEIGHTS}` can also be the `--weights` of a later study."
    return (
        f"Engine: {exported.engine}, checked on validation images: {difference}. The figures above are PyTorch's: measure "
        "speed and accuracy with this engine before you rely on them. Its file takes uint8 images (batch, height, width, "
        "3), decoded and cropped, of any batch size, and returns logits; what follows the crop below is part of it."
    )


def _preprocessing(exported: ExportedModel) -> str:
    steps = exported.preprocessing
    decoded = f"{steps.decoded_size} x {steps.decoded_size} pixels" if steps.decoded_size else "the input size"
    return (
        f"Input: RGB; the shorter side is scaled to {decoded} and the centre cropped, then resized (bilinear) to "
        f"{steps.image_size} x {steps.image_size}, divided by 255, minus mean {_triple(steps.mean)}, divided by "
        f"standard deviation {_triple(steps.std)}, by channel."
    )


def _triple(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [header, ("---", "---"), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
