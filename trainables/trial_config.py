"""What a worker is told about the trial that it runs: written by study/dispatch.py, read by the Ray Trainable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainables.task import Scalar


@dataclass(frozen=True)
class TrialConfig:
    """One trial. Ray Tune carries it to the worker as a dict with these keys."""

    trial: str  # its name
    study: str  # the identity of its study
    task: str
    model: str  # a file of models/
    options: Mapping[str, Scalar]  # fields of the model's Config
    weights: str  # "none", "timm" or a file
    training: Mapping[str, Scalar]  # fields of the task's Config
    cpus: float
    gpus: float
    folder: str  # of the study, absolute: workers run elsewhere
    checkpoint_seconds: float  # at least this long between two checkpoints
    timeout_seconds: float  # without a new epoch for so long, the worker ends itself
    rows_recorded: int  # epochs that the ledger has already
    test: bool  # whether to evaluate the test split after the last epoch
    engines: Sequence[str] = ()  # in which it is evaluated besides eager PyTorch

    @property
    def origin(self) -> dict[str, object]:
        """What decides the training's course: a checkpoint of another origin is not one of this trial."""
        return {
            "study": self.study, "trial": self.trial, "task": self.task, "model": self.model, "options": self.options,
            "weights": self.weights, "training": self.training,
        }  # fmt: skip
