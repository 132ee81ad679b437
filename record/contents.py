"""Reading and writing of the files that a study leaves for its analysis, once for both sides."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from record import yaml_text
from record.errors import UserError, one_line
from record.folder import SCHEMA, StudyFolder, write_bytes, write_text, write_whole

# Keys of environment.json whose values are mappings, those of the last two to seconds.
_SECONDS = ("duration_seconds", "expected_seconds")
_MAPPINGS = ("space", "data", *_SECONDS)


class Sample(NamedTuple):
    """Labelled images of one split."""

    images: np.ndarray  # (N, H, W, 3) uint8
    labels: np.ndarray  # (N,), positions in the study's classes
    positions: np.ndarray | None = None  # (N,), in the whole split; None where they are not known


class Text(NamedTuple):
    """What a translation study keeps of its text: vocabularies as `Vocabulary.to_dict` has them, known translations."""

    source: dict[str, Any]
    target: dict[str, Any]
    references: dict[str, str]  # source sentence -> reference


class Checkpoint(NamedTuple):
    """A training after some epoch: all that the rest of it depends on, and the rows of its epochs so far."""

    loop: dict[str, Any]
    rows: list[dict[str, Any]]
    origin: dict[str, Any]  # the training that wrote it: its study, trial, settings and seed


class Unreadable(UserError):
    """A file of a study folder is missing, damaged or of another kind."""


def read_spec(folder: StudyFolder) -> dict[str, Any]:
    """study.yaml. Raises OSError or ValueError."""
    return yaml_text.load(folder.spec.read_text(encoding="utf-8"), str(folder.spec))


def write_spec(folder: StudyFolder, spec: Mapping[str, Any]) -> None:
    """study.yaml, complete with what is empty: reading it back gives the same study."""
    write_text(folder.spec, yaml_text.dump(dict(spec)))


def read_environment(folder: StudyFolder) -> dict[str, Any]:
    """environment.json; {} where there is none yet. Raises OSError, or ValueError for content of another form."""
    path = folder.environment
    content = json.loads(path.read_text(encoding="utf-8")) if os.path.exists(path) else {}
    if not isinstance(content, dict):
        raise ValueError("it is not a mapping")
    if content.get("schema", SCHEMA) != SCHEMA:  # another version's form is its own
        return content
    for key in _MAPPINGS:
        if not isinstance(content.get(key) or {}, dict):
            raise ValueError(f"{key} is not a mapping")
    for key in _SECONDS:
        if not all(isinstance(value, int | float) for value in (content.get(key) or {}).values()):
            raise ValueError(f"{key} holds something else than numbers")
    return content


def write_environment(folder: StudyFolder, content: Mapping[str, Any]) -> None:
    write_text(folder.environment, json.dumps(content, indent=2) + "\n")


def write_samples(folder: StudyFolder, splits: Mapping[str, Sample]) -> None:
    """samples.npz: `<split>_images`, `<split>_labels` and `<split>_positions` of each split."""
    arrays = {
        f"{split}_{name}": array
        for split, sample in splits.items()
        for name, array in sample._asdict().items()
        if array is not None
    }

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    write_whole(folder.samples, write)


def read_samples(folder: StudyFolder) -> dict[str, Sample]:
    """`validation` and `test`. Raises Unreadable."""
    return _read_samples(folder, ("validation", "test"))


def read_calibration(folder: StudyFolder) -> Sample:
    """A few hundred training images. Raises Unreadable, also for a study of an older version, which kept none."""
    return _read_samples(folder, ("calibration",))["calibration"]


def _read_samples(folder: StudyFolder, splits: Sequence[str]) -> dict[str, Sample]:
    try:
        with np.load(folder.samples, allow_pickle=False) as arrays:
            return {
                split: Sample(arrays[f"{split}_images"], arrays[f"{split}_labels"], arrays.get(f"{split}_positions"))
                for split in splits
            }
    except FileNotFoundError:
        raise Unreadable(f"{folder.path} has no {folder.samples.name}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Unreadable(f"{folder.samples} cannot be read ({one_line(error)})") from error


def write_predictions(path: Path, classes: np.ndarray) -> None:
    """One small number per image (N,): predictions of a trial, or the true labels."""
    _write_array(path, classes.astype(np.min_scalar_type(int(classes.max(initial=0)))))


def write_confidences(path: Path, probabilities: np.ndarray) -> None:
    """(N,): the probability of each predicted class, in two bytes."""
    _write_array(path, probabilities.astype(np.float16))


def _write_array(path: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()  # numpy's own writing to a file loses the reason when the disk is full
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_predictions(path: Path) -> np.ndarray | None:
    """What `write_predictions` or `write_confidences` wrote; None where there is no such file or it cannot be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def read_right(folder: StudyFolder, trials: Sequence[str], engine: str | None = None) -> np.ndarray | None:
    """Whether each of these confirm runs, with eager PyTorch or in an engine, classified each test image correctly: (runs,
    images).

    None where the labels or the predictions of a run are missing, cannot be read or do not fit each other.
    """
    labels = read_predictions(folder.labels)
    predicted = [read_predictions(folder.predictions(trial, engine)) for trial in trials]
    if labels is None or any(each is None or each.shape != labels.shape for each in predicted):
        return None
    return np.stack([each == labels for each in predicted])


def write_translations(path: Path, sentences: list[str]) -> None:
    write_text(path, "".join(f"{sentence}\n" for sentence in sentences))


def write_text_data(folder: StudyFolder, text: Text) -> None:
    """text.json."""
    write_text(folder.text, json.dumps(text._asdict(), ensure_ascii=False))


def read_text_data(folder: StudyFolder) -> Text:
    """Raises Unreadable."""
    try:
        content = json.loads(folder.text.read_text(encoding="utf-8"))
        return Text(content["source"], content["target"], dict(content["references"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{folder.text} (the vocabularies) cannot be read: {one_line(error)}; restore it") from error


def write_checkpoint(path: Path, checkpoint: Checkpoint, save: Callable[[object, Path], None], previous: Path) -> None:
    """previous: where the checkpoint before is kept. save: `torch.save`, which this floor does not import.

    Raises OSError, or RuntimeError for a full disk.
    """
    write_whole(path, lambda partial: save(checkpoint._asdict(), partial), previous)


def read_checkpoint(path: Path, load: Callable[[Path], Any]) -> Checkpoint:
    """load: `torch.load` with weights_only=True. Raises Unreadable."""
    try:
        content = load(path)
        return Checkpoint(content["loop"], content["rows"], content.get("origin", {}))
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise Unreadable(f"{path} is not a readable checkpoint ({one_line(error)})") from error
