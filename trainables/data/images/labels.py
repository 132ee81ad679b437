"""The labels of Parquet files: from a column to positions in the classes.

A column holds integers, strings, booleans, or floats that are whole numbers. Class names come from the hub's metadata in
the schema, https://huggingface.co/docs/datasets/about_dataset_features, or are the labels themselves.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trainables.data import DataError
from trainables.data.images.decode import Encoded

Label = int | str


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one split's files."""

    images: list[bytes]
    where: list[str]  # file and row, counted from 0
    labels: list[Label]  # all int or all str
    class_names: list[str] | None  # of integer labels


def is_label(kind: pa.DataType) -> bool:
    """Whether a column of this type may hold labels."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds floats or booleans, which are labels only under a label's usual name."""
    return pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def read_labels(column: pa.ChunkedArray, where: Sequence[str]) -> list[Label]:
    """The labels of a column without nulls. Blanks around a string do not make another class."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    labels: list[Label] = []
    for place, value in zip(where, column.to_pylist(), strict=True):
        if isinstance(value, float):
            if not value.is_integer():
                raise DataError(f"{place}: label {value:g} is not a whole number; labels are integers or text")
            labels.append(int(value))
        elif isinstance(value, str):
            labels.append(_normal(value))
            if not labels[-1]:
                raise DataError(f"{place}: empty label; drop this row")
        else:
            labels.append(str(value).lower() if isinstance(value, bool) else value)
    return labels


def _normal(name: str) -> str:
    """One form for names that differ in blanks, or in how an accented letter is composed."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def hub_class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of integer labels, as a hub writes them into the schema."""
    try:
        return _feature_names(json.loads(schema.metadata[b"huggingface"])["info"], column)
    except (KeyError, TypeError, ValueError):
        return None


def saved_class_names(folder: Path, column: str) -> list[str] | None:
    """The same, as `datasets` writes them into `dataset_info.json` beside the files of a split."""
    try:
        return _feature_names(json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")), column)
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _feature_names(info: dict[str, Any], column: str) -> list[str]:
    return [_normal(str(name)) for name in info["features"][column]["names"]]


def classes_of(folder: Path, train: Rows, default_names: Sequence[str]) -> tuple[Sequence[Label], list[str]]:
    """The labels in the order of the classes, and the names of the classes. Raises DataError."""
    numbers = sorted({label for label in train.labels if isinstance(label, int)})  # none if the labels are strings
    if numbers and numbers[0] < 0:
        raise DataError(f"{folder}: training label {numbers[0]}, which hubs give unlabelled rows; drop these rows")
    labels: Sequence[Label] = numbers or sorted({str(label) for label in train.labels})
    names = [str(label) for label in labels]
    if numbers and (train.class_names or default_names):
        names = list(train.class_names or default_names)
        if numbers[-1] >= len(names):
            raise DataError(
                f"{folder}: training label {numbers[-1]}, but the schema names {len(names)} classes; replace it"
            )
        missing = [name for number, name in enumerate(names) if number not in numbers]
        if missing:
            raise DataError(f"{folder}: no training image of class {', '.join(missing[:10])}; add some")
        labels = range(len(names))
    if len(names) < 2:
        raise DataError(f"{folder}: only one class ({names[0]}); at least two are needed")
    return labels, names


def encoded(rows: Rows, labels: Sequence[Label], names: list[str]) -> Encoded:
    """Rows with positions in the classes. Raises DataError for a label that training has not.

    A file whose schema has the names in another order is read by its own names.
    """
    positions = {label: position for position, label in enumerate(labels)}
    if rows.class_names is not None and isinstance(labels, range):
        own = enumerate(rows.class_names)
        positions = {number: names.index(name) for number, name in own if name in names}
    for where, label in zip(rows.where, rows.labels, strict=True):
        if label not in positions:
            own_names = rows.class_names or []
            shown = own_names[label] if isinstance(label, int) and 0 <= label < len(own_names) else label
            raise DataError(f"{where}: label {shown!r} is not among the training classes ({', '.join(names[:10])})")
    return Encoded(rows.images, rows.where, np.array([positions[label] for label in rows.labels], dtype=np.int64))
