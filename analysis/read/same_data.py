"""Whether several studies may be compared: they need the same data and the same test images."""

import numpy as np

from analysis.read.errors import StudyError
from analysis.read.study_folder import Study
from record.contents import read_predictions

_FACTS = ("source", "validation", "test", "classes", "images_per_class")  # of environment.json's data


def check_same_data(study: Study) -> None:
    """Raises `StudyError`, in one line, where merged studies were not tested on the same images."""
    first, *others = study.names
    for other in others:
        if difference := _difference(study, first, other):
            raise StudyError(
                f"{first} and {other} have different data ({difference}), so one front of both would mean nothing: ask each "
                "study alone"
            )


def hardware_notes(study: Study) -> list[str]:
    """One line where merged studies were timed on different hardware."""
    if "study" not in study.profile or "hardware" not in study.profile:
        return []
    places = study.profile.groupby("study", sort=False)["hardware"].agg(
        lambda used: " and ".join(used.dropna().unique())
    )
    told = "; ".join(f"{name}: {place or 'not said'}" for name, place in places.items())
    return [f"Speeds were measured on different hardware ({told}): compare them within a study only."] * (
        places.nunique() > 1
    )


def _difference(study: Study, first: str, other: str) -> str | None:
    """In what they differ; None where nothing that both say differs."""
    facts, others = (study.environments[name].get("data") for name in (first, other))
    if isinstance(facts, dict) and isinstance(others, dict):
        for key in _FACTS:
            if key in facts and key in others and facts[key] != others[key]:
                return f"{key.replace('_', ' ')}: {_short(facts[key])} and {_short(others[key])}"
    used = [
        sorted(study.trials.loc[study.trials["study"] == name, "data"].dropna().unique()) for name in (first, other)
    ]
    if all(used) and used[0] != used[1]:
        return " and ".join(", ".join(each) for each in used)
    labels = [read_predictions(study.folders[name].labels) for name in (first, other)]
    known = [each for each in labels if each is not None]
    return "other test images" if len(known) == 2 and not np.array_equal(known[0], known[1]) else None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
