"""The terms in which a task is reported: its quality measure, what its speed counts, how values are shown. One line a task."""

from __future__ import annotations

from dataclasses import dataclass

from record.errors import UserError, nearest


@dataclass(frozen=True)
class Terms:
    """What a study of one task calls things; `record.figures` holds its columns, `trainables/<name>/` its code."""

    name: str
    quality: str  # columns val_<quality> and test_<quality>
    label: str  # of the quality on an axis and in a sentence
    perfect: float  # the quality of a model without errors
    point: float  # what people call one point of it
    examples: str  # what inference speed counts: images, sentences
    training_examples: str  # what train_size counts: images, pairs
    baseline: str  # what reaches the quality of a model that learnt nothing
    engines: bool  # whether models/engines run its trained models, and its code is `trainables.task.Deployable`

    @property
    def validation(self) -> str:
        """The column that search and early stopping look at: val_accuracy."""
        return f"val_{self.quality}"

    @property
    def tested(self) -> str:
        """The column of the test split: test_accuracy."""
        return f"test_{self.quality}"

    @property
    def speed(self) -> str:
        """The column of the inference speed, timed alone: inference_images_per_second."""
        return f"inference_{self.examples}_per_second"

    @property
    def interpolated_speed(self) -> str:
        """In profile.csv: the speed that the search interpolated for a setting that was timed exactly later."""
        return f"interpolated_{self.examples}_per_second"

    @property
    def is_share(self) -> bool:
        """Whether the quality is a share (0 to 1), which people read in per cent, and a count of examples got right."""
        return self.perfect == 1.0

    def show(self, value: float) -> str:
        """0.968 -> "96.8 %"; BLEU 31.24 -> "31.2"."""
        return f"{100 * value:.1f} %" if self.is_share else f"{value:.1f}"

    def show_points(self, difference: float) -> str:
        """The size of a difference: 0.012 -> "1.2 points"; 1.2 BLEU -> "1.2 BLEU"."""
        return f"{round(abs(difference) / self.point, 6):.1f} {'points' if self.is_share else self.label}"


IMAGE_CLASSIFICATION = Terms(
    "image_classification", "accuracy", "accuracy", 1.0, 0.01, "images", "images", "naming the most frequent class", True
)  # fmt: skip
TRANSLATION = Terms(
    "translation", "bleu", "BLEU", 100.0, 1.0, "sentences", "pairs", "copying the source sentence", False
)  # fmt: skip

TASKS = {task.name: task for task in (IMAGE_CLASSIFICATION, TRANSLATION)}
DEFAULT = IMAGE_CLASSIFICATION.name


def terms(name: str) -> Terms:
    """The terms of a task. Raises UserError for an unknown one."""
    if name not in TASKS:
        raise UserError(f"task: unknown '{name}'; {nearest(name, TASKS)}")
    return TASKS[name]
