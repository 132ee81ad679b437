"""What environment.json says of a study's data: sizes, classes, and what is reached without having learnt anything."""

import math
from collections.abc import Mapping
from typing import Any

from analysis.read.study_folder import Study
from record import figures

SPLITS = ("train", "validation", "test")


def study_of(study: Study, row: Mapping[Any, Any]) -> str:
    """The name of the study that a row of its tables belongs to."""
    return str(row.get("study", study.names[0]))


def validation_images(study: Study, name: str) -> int:
    """0 where the study does not say."""
    images = _facts(study, name).get("validation")
    return images if isinstance(images, int) else 0


def baseline(study: Study, name: str, quality: str) -> float:
    """The value of the column `quality` of a model that learnt nothing (`Terms.baseline`); NaN where it is not known."""
    by_split = _facts(study, name).get("baseline")
    split = "test" if quality == study.tasks[name].tested else "validation"
    value = by_split.get(split) if isinstance(by_split, dict) else None
    return float(value) if isinstance(value, int | float) else math.nan


def classes(study: Study, name: str) -> list[str]:
    """The names of the classes; [] where the study does not say."""
    names = _facts(study, name).get("classes")
    return list(map(str, names)) if isinstance(names, list) else []


def class_sizes(study: Study, name: str) -> dict[str, tuple[int, int]]:
    """By split: images of its smallest and of its largest class; {} where the study does not say."""
    sizes = _facts(study, name).get("images_per_class")
    sizes = sizes if isinstance(sizes, dict) else {}
    known = {split: sizes[split] for split in SPLITS if isinstance(sizes.get(split), list)}
    return {
        split: (each[0], each[1])
        for split, each in known.items()
        if len(each) == 2 and all(isinstance(size, int) for size in each)
    }


def data_lines(study: Study) -> list[str]:
    """How large the classes are, and what is reached without having learnt anything."""
    lines = []
    for name, words in study.tasks.items():
        of = f" of {name}" if len(study.names) > 1 else ""
        sizes = [f"{split} {low:,} to {high:,}" for split, (low, high) in class_sizes(study, name).items()]
        if sizes:
            lines.append(f"Images per class{of}: {', '.join(sizes)}")
        reached = {column: baseline(study, name, column) for column in (words.validation, words.tested)}
        shown = [f"{figures.BY_NAME[c].label} {words.show(v)}" for c, v in reached.items() if not math.isnan(v)]
        if shown:
            lines.append(f"{words.baseline.capitalize()}{of} reaches {', '.join(shown)}")
    return lines


def data_summaries(study: Study) -> list[str]:
    """What was read and what a person should know of it, such as test images that are also in train."""
    said = [_facts(study, name).get("summary") for name in study.names]
    return [f"Data: {each}." for each in said if each and isinstance(each, str)]


def _facts(study: Study, name: str) -> dict[str, Any]:
    data = study.environments[name].get("data")
    return data if isinstance(data, dict) else {}
