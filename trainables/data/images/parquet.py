"""Image data sets as data-set hubs publish them: Parquet files with an image column and a label column.

Files are `train*.parquet` and `test*.parquet`, in the folder or one below it (`data/`, `plain_text/`,
`train/`). `validation*` replaces a missing test split; without either, 20 % of the training rows become the test
split. The image column is binary or a struct {bytes, path}; the label column holds ints or strings. Class names come
from the hub's metadata in the schema, https://huggingface.co/docs/datasets/about_dataset_features
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainables.data import DataError
from trainables.data.images import ImageData
from trainables.data.images.cache import cached
from trainables.data.images.decode import Encoded, decode_splits
from trainables.data.images.splits import split_named, train_and_test

_IMAGE_COLUMNS = ("image", "img", "images")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")

Label = int | str


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of one split's files."""

    images: list[bytes]
    where: list[str]  # file and row, counted from 0
    labels: list[Label]  # all int or all str
    class_names: list[str] | None


def holds_parquet(folder: Path) -> bool:
    """Whether a folder holds Parquet files."""
    return bool(_files(folder))


def read(folder: Path, image_size: int, seed: int, name: str | None = None, classes: Sequence[str] = ()) -> ImageData:
    """Read a folder of files; `classes` are the names of integer labels if the files have none. Raises DataError."""
    train_files, test_files, note = _find_splits(folder)
    name = name or folder.resolve().name

    def decode() -> ImageData:
        train = _read_rows(train_files)
        labels, class_names = _classes(folder, train, classes)
        encoded = _encoded(train, labels, class_names)
        test = _encoded(_read_rows(test_files), labels, class_names) if test_files is not None else None
        parts = decode_splits(encoded, test, image_size, seed)
        return ImageData(name, f"{name} (Parquet{note})", tuple(class_names), *parts)

    settings = {"kind": "Parquet", "name": name, "classes": list(classes), "image_size": image_size}
    settings["seed"] = seed if test_files is None else None
    return cached(folder, [*train_files, *(test_files or [])], settings, decode)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet")) or sorted(folder.glob("[!.]*/*.parquet"))


def _find_splits(folder: Path) -> tuple[list[Path], list[Path] | None, str]:
    splits: dict[str, list[Path]] = {}
    places: set[Path] = set()
    for file in _files(folder):
        if (split := split_named(file.stem)) is not None:
            places.add(file.parent)
        else:
            split = split_named(file.parent.name) if file.parent != folder else None
        splits.setdefault(split or "", []).append(file)
    if len(places) > 1:
        choices = ", ".join(sorted(place.name for place in places))
        raise DataError(f"{folder}: several data sets ({choices}); name one of these folders instead")
    unnamed = splits.pop("", [])
    return train_and_test(splits or {"train": unnamed}, folder)


def _read_rows(files: Sequence[Path]) -> _Rows:
    parts = [_read_file(file) for file in files]
    rows = _Rows(
        images=[image for part in parts for image in part.images],
        where=[where for part in parts for where in part.where],
        labels=[label for part in parts for label in part.labels],
        class_names=next((part.class_names for part in parts if part.class_names), None),
    )
    if not rows.images:
        raise DataError(f"{', '.join(map(str, files))}: no rows; a split needs images")
    if len({type(label) for label in rows.labels}) > 1:
        raise DataError(f"{', '.join(map(str, files))}: integer labels in one file and strings in another")
    return rows


def _read_file(file: Path) -> _Rows:
    try:
        schema = pq.read_schema(file)
        image_column = _pick(file, schema, "image", _is_image, _IMAGE_COLUMNS)
        label_column = _pick(file, schema, "label", _is_label, _LABEL_COLUMNS)
        table = pq.read_table(file, columns=[image_column, label_column])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({str(error).splitlines()[0]}); replace it") from None
    images = table.column(image_column)
    if pa.types.is_struct(images.type):
        images = pc.struct_field(images, "bytes")
    labels = table.column(label_column)
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    for column, what in ((images, "image"), (labels, "label")):
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise DataError(f"{file}, row {row}: null {what} ({column.null_count} in all); drop these rows")
    return _Rows(
        images=images.to_pylist(),
        where=[f"{file}, row {row}" for row in range(len(images))],
        labels=labels.to_pylist(),
        class_names=_hub_class_names(schema, label_column),
    )


def _is_image(kind: pa.DataType) -> bool:
    """Whether a column of this type may hold encoded images: binary, or a struct with binary `bytes`."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_image(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_label(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _pick(
    file: Path, schema: pa.Schema, what: str, fits: Callable[[pa.DataType], bool], usual_names: Sequence[str]
) -> str:
    """The column of a fitting type: the one with a usual name, or the only one."""
    fitting = [field.name for field in schema if fits(field.type)]
    usual = [name for name in usual_names if name in fitting]
    if usual or len(fitting) == 1:
        return (usual or fitting)[0]
    problem = f"several columns could be the {what} ({', '.join(fitting)})" if fitting else f"no {what} column"
    raise DataError(f"{file}: {problem} among {', '.join(schema.names)}; name it {usual_names[0]!r}")


def _hub_class_names(schema: pa.Schema, column: str) -> list[str] | None:
    try:
        return list(json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _classes(folder: Path, train: _Rows, default_names: Sequence[str]) -> tuple[Sequence[Label], list[str]]:
    """The labels in the order of the classes, and the names of the classes."""
    numbers = sorted({label for label in train.labels if isinstance(label, int)})  # none if the labels are strings
    if numbers and numbers[0] < 0:
        raise DataError(f"{folder}: training label {numbers[0]}, which hubs give unlabelled rows; drop these rows")
    labels: Sequence[Label] = numbers or sorted({str(label) for label in train.labels})
    names = [str(label) for label in labels]
    if numbers and (train.class_names or default_names):
        names = list(train.class_names or default_names)
        missing = [name for number, name in enumerate(names) if number not in numbers]
        if missing:
            raise DataError(f"{folder}: no training image of class {', '.join(missing[:10])}; add some")
        labels = range(len(names))
    if len(names) < 2:
        raise DataError(f"{folder}: only one class ({names[0]}); at least two are needed")
    return labels, names


def _encoded(rows: _Rows, labels: Sequence[Label], names: list[str]) -> Encoded:
    positions = {label: position for position, label in enumerate(labels)}
    for where, label in zip(rows.where, rows.labels, strict=True):
        if label not in positions:
            raise DataError(f"{where}: label {label!r} is not among the training classes ({', '.join(names[:10])})")
    return Encoded(rows.images, rows.where, np.array([positions[label] for label in rows.labels], dtype=np.int64))
