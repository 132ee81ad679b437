"""Image data sets as data-set hubs publish them (Parquet files), or as their `datasets` library saves them (Arrow files).

Parquet files are `train*.parquet` and `test*.parquet`, in the folder or one below it (`data/`, `plain_text/`,
`train/`); Arrow files are `train/data-*.arrow` and `test/data-*.arrow`, or `data-*.arrow` of one split. `validation*`
replaces a missing test split; without either, 20 % of the training rows become the test split. The image column is
binary or a struct {bytes, path}; the label column is read by labels.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainables.data import DataError
from trainables.data.images import ImageData, findings
from trainables.data.images.cache import cached
from trainables.data.images.decode import decode_splits
from trainables.data.images.labels import (
    Rows,
    classes_of,
    encoded,
    hub_class_names,
    is_label,
    is_number,
    read_labels,
    saved_class_names,
)
from trainables.data.images.shards import check_shards
from trainables.data.images.splits import split_named, train_and_test

_IMAGE_COLUMNS = ("image", "img", "images")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")


def holds_parquet(folder: Path) -> bool:
    """Whether a folder holds Parquet files, or Arrow files that `datasets` saved."""
    return bool(_files(folder))


def read(folder: Path, image_size: int, seed: int, name: str | None = None, classes: Sequence[str] = ()) -> ImageData:
    """Read a folder of files; `classes` are the names of integer labels if the files have none. Raises DataError."""
    train_files, test_files, note, unused = _find_splits(folder)
    name = name or folder.resolve().name
    form = "Parquet" if train_files[0].suffix == ".parquet" else "saved by datasets"

    def decode() -> ImageData:
        train = _read_rows(train_files)
        labels, names = classes_of(folder, train, classes)
        test = encoded(_read_rows(test_files), labels, names) if test_files is not None else None
        decoded = decode_splits(encoded(train, labels, names), test, image_size, seed)
        return findings.examined(name, f"{name} ({form}{note})", names, decoded, folder)

    settings = {"kind": form, "name": name, "classes": list(classes), "image_size": image_size}
    settings["seed"] = seed if test_files is None else None
    data = cached(folder, [*train_files, *(test_files or [])], settings, decode)
    return replace(data, remarks=(*findings.in_folders([], unused), *data.remarks))


def _files(folder: Path) -> list[Path]:
    for pattern in ("*.parquet", "[!.]*/*.parquet", "*.arrow", "[!.]*/*.arrow"):
        # `datasets` leaves what it computed beside the data
        if files := sorted(file for file in folder.glob(pattern) if not file.name.startswith(("cache-", "tmp"))):
            return files
    return []


def _find_splits(folder: Path) -> tuple[list[Path], list[Path] | None, str, list[Path]]:
    """(train files, test files, note for the table, files that are not used)."""
    splits: dict[str, list[Path]] = {}
    places: set[Path] = set()
    files = _files(folder)
    for file in files:
        if (split := split_named(file.stem)) is not None:
            places.add(file.parent)
        else:
            split = split_named(file.parent.name) if file.parent != folder else None
        splits.setdefault(split or "", []).append(file)
    if len(places) > 1:
        choices = ", ".join(sorted(place.name for place in places))
        raise DataError(f"{folder}: several data sets ({choices}); name one of these folders instead")
    unnamed = splits.pop("", [])
    train, test, note = train_and_test(splits or {"train": unnamed}, folder)
    for part in (train, test or []):
        check_shards(part)
    return train, test, note, [file for file in files if file not in train and file not in (test or [])]


def _read_rows(files: Sequence[Path]) -> Rows:
    parts = [_read_file(file) for file in files]
    named = [(file, part.class_names) for file, part in zip(files, parts, strict=True) if part.class_names]
    for file, names in named:
        if names != named[0][1]:
            raise DataError(
                f"{file}: other class names, or another order, than in {named[0][0].name}; replace one of them"
            )
    rows = Rows(
        images=[image for part in parts for image in part.images],
        where=[where for part in parts for where in part.where],
        labels=[label for part in parts for label in part.labels],
        class_names=named[0][1] if named else None,
    )
    if not rows.images:
        raise DataError(f"{', '.join(map(str, files))}: no rows; a split needs images")
    if len({type(label) for label in rows.labels}) > 1:
        raise DataError(f"{', '.join(map(str, files))}: integer labels in one file and strings in another")
    return rows


def _read_file(file: Path) -> Rows:
    is_parquet = file.suffix == ".parquet"
    try:
        whole = None if is_parquet else pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
        schema = pq.read_schema(file) if whole is None else whole.schema
        image_column = _pick(file, schema, "image", _is_image, _IMAGE_COLUMNS)
        label_column = _pick_label(file, schema)
        table = pq.read_table(file, columns=[image_column, label_column]) if whole is None else whole
    except (pa.ArrowException, OSError) as error:
        kind = "a readable Parquet file" if is_parquet else "a readable Arrow stream"
        raise DataError(f"{file}: not {kind} ({str(error).splitlines()[0]}); replace it") from None
    images = table.column(image_column)
    if pa.types.is_struct(images.type):
        images = pc.struct_field(images, "bytes")
    labels = table.column(label_column)
    for column, what in ((images, "image"), (labels, "label")):
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise DataError(f"{file}, row {row}: null {what} ({column.null_count} in all); drop these rows")
    where = [f"{file}, row {row}" for row in range(len(images))]
    class_names = hub_class_names(schema, label_column) or saved_class_names(file.parent, label_column)
    return Rows(images.to_pylist(), where, read_labels(labels, where), class_names)


def _is_image(kind: pa.DataType) -> bool:
    """Whether a column of this type may hold encoded images: binary, or a struct with binary `bytes`."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_image(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _pick_label(file: Path, schema: pa.Schema) -> str:
    """The label column: one with a usual name, whose type may then be a number of any kind, or the only one."""
    usual = [name for name in _LABEL_COLUMNS if name in schema.names]
    fitting = [name for name in usual if is_label(schema.field(name).type) or is_number(schema.field(name).type)]
    if usual and not fitting:
        kind = schema.field(usual[0]).type
        raise DataError(f"{file}: column {usual[0]!r} is of type {kind}; a label is one integer or text per row")
    return fitting[0] if fitting else _pick(file, schema, "label", is_label, _LABEL_COLUMNS)


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
