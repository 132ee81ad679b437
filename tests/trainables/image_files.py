"""Small image folders and Parquet files for the tests of data sets, and how wrong ones are refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainables.data import DataError
from trainables.data.images.loading import load_images

Colour = int | tuple[int, ...]


def picture(
    colour: Colour = (200, 30, 30), size: tuple[int, int] = (20, 12), form: str = "PNG", mode: str = "RGB"
) -> bytes:
    """An encoded image of one colour."""
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, form)
    return out.getvalue()


def pictures(count: int) -> list[bytes | None]:
    """That many different images."""
    return [picture((200, 30, number)) for number in range(count)]


def write_images(folder: Path, count: int, colour: Colour | None = None) -> None:
    """A folder of that many images, 0.png and so on: different ones unless a colour is given."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(picture((200, 30, number) if colour is None else colour))


def write_parquet(file: Path, images: list[bytes | None], labels: object, metadata: object = None) -> None:
    """A hub-style file: struct {bytes, path} and a label column."""
    file.parent.mkdir(parents=True, exist_ok=True)
    structs = pa.array(
        [{"bytes": image, "path": None} for image in images],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": structs, "label": labels})
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pq.write_table(table, file)


def assert_refused(match: str, data: str, data_dir: Path = Path("data"), image_size: int = 224) -> None:
    """Loading raises a DataError of one line."""
    with pytest.raises(DataError, match=match) as error:
        load_images(data, data_dir, image_size)
    assert "\n" not in str(error.value)
