"""A trained model that stands on its own: a folder with config.json, a model card, and weights.safetensors or the files
of an engine.

The format is plain JSON and safetensors, ONNX or OpenVINO's, so that it can also be read without this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

import models
from analysis.read.errors import StudyError
from models import engines
from models.engines import Classifier, Portable, Runner, Source
from models.inputs.pixel_depth import FULL
from record.errors import one_line

if TYPE_CHECKING:
    from torch import nn

CONFIG, WEIGHTS, CARD = "config.json", "weights.safetensors", "README.md"
VERSION = 1


class Preprocessing(BaseModel):
    """From a file to the model's input: decode to a square of `decoded_size` pixels (models/inputs/image_files.py), then
    resize to `image_size` and normalise by channel (models/inputs/preprocessing.py).

    decoded_size: None where the study did not record it; then square images up to `image_size` keep their size.
    pixel_range: the values that become black and white in images of more than 8 bits per pixel.
    """

    decoded_size: int | None
    image_size: int
    mean: models.Triple
    std: models.Triple
    pixel_range: tuple[float, float] = FULL


class ExportedModel(BaseModel):
    """config.json. `model` and `options` build the network; everything after `bfloat16` is information for the reader."""

    version: int = VERSION
    model: str  # a file of models/
    options: dict[str, Any]  # all fields of that file's Config
    classes: list[str]
    preprocessing: Preprocessing
    bfloat16: bool  # computes in bfloat16 where the hardware has it, as the study did
    engine: str = engines.EAGER  # a file of models/engines/
    study: str
    trial: str
    settings: dict[str, Any]  # of the training
    data: str | None
    weights: str | None  # what the training started from
    figures: dict[str, int | float]
    versions: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> ExportedModel:
        """Raises `StudyError` where the folder holds no exported model, or one newer than this code knows."""
        path = folder / CONFIG
        try:
            exported = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StudyError(f"{folder}: no exported model here ({CONFIG} is missing); make one with export") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise StudyError(f"{path}: {where}: {first['msg']}; export the model again") from None
        except (OSError, ValueError) as error:
            raise StudyError(f"{path} cannot be read ({one_line(error)}); export the model again") from None
        if exported.version > VERSION:
            raise StudyError(f"{path} has version {exported.version}, newer than this program: update it")
        return exported

    def write(self, folder: Path) -> None:
        (folder / CONFIG).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @property
    def source(self) -> Source:
        """What an engine is told about the images."""
        steps = self.preprocessing
        side = steps.decoded_size or steps.image_size
        return Source(side, side, steps.image_size, steps.mean, steps.std)

    def load(self, folder: Path, threads: int) -> Runner:
        """The model in this folder, ready to classify. Raises `StudyError` or `EngineError`."""
        engine = engines.find(self.engine)
        if isinstance(engine, Portable):
            return engine.load(folder, threads=threads, bfloat16=self.bfloat16)
        import torch

        from models.weights.files import read

        network = self.build()
        try:
            network.load_state_dict(read(str(folder / WEIGHTS)))
        except (models.WeightsError, RuntimeError) as error:
            path = folder / WEIGHTS
            raise StudyError(f"{path} does not hold this model ({one_line(error)}); export it again") from error
        network.to("cuda" if torch.cuda.is_available() else "cpu")
        classifier = Classifier(network, self.source)
        return engine.compile(classifier, threads=threads, calibration=None, bfloat16=self.bfloat16)

    def build(self) -> nn.Module:
        """The network, untrained, in evaluation mode. Raises `StudyError` where `options` do not fit it."""
        try:
            return models.build(self.model, **self.options).eval()
        except (ValueError, TypeError) as error:
            raise StudyError(f"model {self.model!r} cannot be built from its options: {error}") from error
