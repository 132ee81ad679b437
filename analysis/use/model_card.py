"""The model card of an exported model: what it is, how good and how fast it was measured, how to use it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.read.conditions import conditions
from analysis.read.study_folder import Study
from analysis.use.exported_model import WEIGHTS, ExportedModel
from analysis.weigh.statistics import wilson_interval


def model_card(study: Study, row: pd.Series, exported: ExportedModel) -> str:
    """Markdown. `row` is the model's row of trials.csv."""
    title = f"{exported.model}: {exported.data or 'unknown data'}"
    sections = [
        f"# {title}",
        f"An image classifier with {len(exported.classes)} classes, trial `{exported.trial}` of the study "
        f"`{exported.study}`.",
        "## Measured",
        _table(("figure", "value"), _figures(row)),
        _list(_conditions(study, row)),
        *_seeds(study, row),
        "## Use",
        f"`python -m analysis predict DIR image.jpg...` prints class and probability of each image. `{WEIGHTS}` also "
        "serves as `--weights` of a later study.",
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


def _figures(row: pd.Series) -> list[tuple[str, str]]:
    lines = []
    if pd.notna(row["test_accuracy"]):
        lines.append(("test accuracy", _with_interval(row["test_accuracy"], row["test_images"])))
    forms = {
        "val_accuracy": ("validation accuracy", "{:.4f}"),
        "inference_images_per_second": ("inference speed, measured alone", "{:,.0f} images/s"),
        "latency_ms": ("latency of one image, measured alone", "{:.2f} ms"),
        "train_seconds": ("training time, from the isolated timing", "{:,.1f} s"),
        "parameters": ("parameters", "{:,.0f}"),
        "gflops_per_image": ("computation", "{:.4g} GFLOP an image"),
    }
    lines += [(name, form.format(row[key])) for key, (name, form) in forms.items() if pd.notna(row.get(key))]
    return lines


def _with_interval(accuracy: float, images: Any) -> str:
    if pd.isna(images):
        return f"{accuracy:.4f}"
    right = round(accuracy * images)
    low, high = wilson_interval(right, int(images))
    return f"{accuracy:.4f} ({right} of {images} images; 95 % Wilson interval {low:.3f} to {high:.3f})"


def _conditions(study: Study, row: pd.Series) -> list[str]:
    """What the figures hold for, of this model alone."""
    trials, profile = study.trials, study.profile
    mine = replace(
        study, trials=trials[trials["trial"] == row["trial"]], profile=profile[profile["model"] == row["model"]]
    )
    return conditions(mine)


def _seeds(study: Study, row: pd.Series) -> list[str]:
    """How much the figure depends on the seed."""
    runs = study.trials[study.trials["candidate"] == row["candidate"]]["test_accuracy"].dropna()
    if pd.isna(row["candidate"]) or len(runs) < 2:
        return []
    return [
        f"The same settings were trained with {len(runs)} seeds: test accuracy {runs.mean():.4f}, "
        f"standard deviation {runs.std():.4f}. Expect that mean of a new training, not the figure of this run."
    ]


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
