"""Whether a model learnt anything: whether its quality is above what is reached without learning, beyond noise."""

import math
from typing import Any

import pandas as pd

from analysis.read.candidates import terms
from analysis.read.data_facts import baseline, study_of, validation_images
from analysis.read.study_folder import Study
from analysis.weigh.statistics import binomial_p

LEVEL = 0.05  # that any of several models which learnt nothing seems to have learnt


def has_learnt(study: Study, rows: pd.DataFrame, quality: str) -> pd.Series:
    """For each of `rows`, True or False, or NA where the study does not say; `quality`: the column to judge by.

    An accuracy is above the share of the most frequent class by an exact binomial test, one-sided at LEVEL over all rows
    together (Bonferroni): the best of a hundred trials at chance is well above it. The mean over seeds is judged as one
    training is, because the question is whether every training stayed at the baseline; then images alone are the noise.
    Seeds at 90 % and 10 % have learnt something, however uncertain their mean is. A BLEU is compared as it is.
    """
    tests = max(1, int(rows[quality].notna().sum()))
    learnt = [_has_learnt(study, row, quality, LEVEL / tests) for row in rows.to_dict("records")]
    return pd.Series(learnt, index=rows.index, dtype="boolean")


def _has_learnt(study: Study, row: dict[Any, Any], quality: str, level: float) -> bool | None:
    name, words = study_of(study, row), terms(study)
    value, nothing = float(row[quality]), baseline(study, name, quality)
    if math.isnan(value) or math.isnan(nothing):
        return None
    if not words.is_share:
        return value > nothing
    tested = row.get(f"test_{words.examples}")
    images = validation_images(study, name) if quality == words.validation else 0 if pd.isna(tested) else tested
    return binomial_p(value * images, images, nothing) < level if images else None
