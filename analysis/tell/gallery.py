"""Test images for the page: the most confident mistakes of the best candidate, and one image of each class."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.read.study_folder import Study
from analysis.tell.wording import trial_name
from analysis.weigh.examples import Example, examples

SIDE = 192  # of a thumbnail at most; larger images are shown with every second, third, ... pixel


class Picture(NamedTuple):
    source: str  # a data URL
    caption: str


class Gallery(NamedTuple):
    title: str
    note: str
    pictures: list[Picture]


def galleries(study: Study) -> list[Gallery]:
    """None where a study kept no test images, or it is not known which ones."""
    found = []
    for each in examples(study):
        by = trial_name({"study": each.study, "trial": each.candidate}, study)
        parts = [
            ("The worst mistakes", "the most confident wrong answers", each.mistakes),
            ("One image of each class", "the first test image", each.of_classes),
        ]
        for title, what, shown in parts:
            note = f"Of the test images that the study kept: {what}. Named by the {each.runs} confirm runs of {by}."
            pictures = [Picture(_data_url(one.image), _caption(one, each.runs)) for one in shown]
            found += [Gallery(title, note, pictures)] if pictures else []
    return found


def _caption(example: Example, runs: int) -> str:
    sure = "" if math.isnan(example.confidence) else f" ({example.confidence:.0%} sure)"
    return f"{example.label}, named {example.named}{sure} by {example.runs} of {runs}"


def _data_url(image: npt.NDArray[np.uint8]) -> str:
    from matplotlib.image import imsave

    step = math.ceil(max(image.shape[:2]) / SIDE)
    file = io.BytesIO()
    imsave(file, np.ascontiguousarray(image[::step, ::step]), format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
