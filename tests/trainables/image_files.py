"""Small image folders and Parquet files for the tests of data sets, and how wrong ones are refused."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
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


def idx(array: np.ndarray) -> bytes:
    """The content of an IDX file."""
    kind = {"u1": 8, "i4": 12}[array.dtype.str[1:]]
    sizes = b"".join(size.to_bytes(4) for size in array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(
    folder: Path, train: int = 20, test: int = 10, end: str = ".gz", prefix: str = "", side: int = 28
) -> None:
    """IDX files as MNIST is published: image i has the label i % 10, all pixels i in the upper half, 0 in the lower."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, first in (("train", train, 0), ("t10k", test, 100)):
        images = np.zeros((count, side, side), np.uint8)
        images[:, : side // 2] = np.arange(first, first + count)[:, None, None]
        for name, array in (
            ("images-idx3-ubyte", images),
            ("labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8)),
        ):
            content = idx(array)
            path = folder / f"{prefix}{split}-{name}{end}"
            path.write_bytes(gzip.compress(content) if end == ".gz" else content)


def image_table(images: list[bytes | None], labels: object, metadata: object = None) -> pa.Table:
    """The columns of hubs: struct {bytes, path} and a label, with what a hub writes into the schema."""
    structs = pa.array(
        [{"bytes": image, "path": None} for image in images],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": structs, "label": labels})
    return table if metadata is None else table.replace_schema_metadata({"huggingface": json.dumps(metadata)})


def write_parquet(file: Path, images: list[bytes | None], labels: object, metadata: object = None) -> None:
    """A hub-style file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(image_table(images, labels, metadata), file)


def write_saved(folder: Path, images: list[bytes | None], labels: object, names: list[str], shards: int = 1) -> None:
    """A split as `datasets.Dataset.save_to_disk` writes it: Arrow streams and what describes them."""
    folder.mkdir(parents=True, exist_ok=True)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = image_table(images, labels, {"info": {"features": features}})
    files = [f"data-{number:05}-of-{shards:05}.arrow" for number in range(shards)]
    rows = -(-len(images) // shards)
    for number, file in enumerate(files):
        part = table.slice(number * rows, rows)
        with pa.ipc.new_stream(folder / file, part.schema) as stream:
            stream.write_table(part)
    state = {"_data_files": [{"filename": file} for file in files], "_fingerprint": "0", "_split": folder.name}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features, "splits": {}}))


def assert_refused(match: str, data: str, data_dir: Path = Path("data"), image_size: int = 224) -> None:
    """Loading raises a DataError of one line."""
    with pytest.raises(DataError, match=match) as error:
        load_images(data, data_dir, image_size)
    assert "\n" not in str(error.value)
