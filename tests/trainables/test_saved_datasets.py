"""Folders that `datasets` saved to disk: Arrow streams, one data set or a dictionary of splits."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from image_files import assert_refused, image_table, picture, pictures, write_parquet, write_saved

from trainables.data.images.loading import load_images

pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A DatasetDict of ants and bees, 8 to train with in two files, 4 to test."""
    folder = tmp_path / "insects"
    write_saved(folder / "train", pictures(8), [0, 1] * 4, ["ant", "bee"], shards=2)
    write_saved(folder / "test", [picture((9, 9, number)) for number in range(4)], [1, 1, 0, 0], ["ant", "bee"])
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    return folder


def test_a_dictionary_of_splits(saved: Path) -> None:
    data = load_images(str(saved), image_size=8)
    assert (data.source, data.classes) == ("insects (saved by datasets)", ("ant", "bee"))
    assert data.train.labels.tolist() == [0, 1] * 4 and data.test.labels.tolist() == [1, 1, 0, 0]
    assert data.train.images[5, 0, 0].tolist() == [200, 30, 5] and data.test.images.shape == (4, 8, 8, 3)


def test_one_data_set_is_split(tmp_path: Path) -> None:
    write_saved(tmp_path / "insects", pictures(20), [0, 1] * 10, ["ant", "bee"])
    data = load_images("insects", tmp_path, image_size=8)
    assert (len(data.train), len(data.test)) == (16, 4)
    assert data.source == "insects (saved by datasets, 20% split off as test)"


def test_the_names_of_classes_may_stand_beside_the_files_only(saved: Path) -> None:
    for split, labels in (("train", [0, 1] * 4), ("test", [1, 1, 0, 0])):
        for file in (saved / split).glob("*.arrow"):
            file.unlink()
        table = image_table(pictures(len(labels)), labels)
        with pa.ipc.new_stream(saved / split / "data-00000-of-00001.arrow", table.schema) as stream:
            stream.write_table(table)
    assert load_images(str(saved), image_size=8).classes == ("ant", "bee")


def test_what_datasets_computed_beside_the_data_is_no_data(saved: Path) -> None:
    (saved / "train" / "cache-1f2e3d.arrow").write_bytes(b"anything")
    (saved / "train" / "tmpa1b2c3").write_bytes(b"anything")
    assert len(load_images(str(saved), image_size=8).train) == 8


def test_a_missing_file_is_named(saved: Path) -> None:
    (saved / "train" / "data-00001-of-00002.arrow").unlink()
    assert_refused(r"1 of 2 data files missing .data-00001-of-00002\.arrow.", str(saved), image_size=8)


@pytest.mark.parametrize("length", [0, 4, 300])
def test_a_file_that_is_cut_off_is_named(saved: Path, length: int) -> None:
    file = saved / "test" / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:length])
    assert_refused(r"data-00000-of-00001\.arrow: not a readable Arrow stream .*; replace it", str(saved), image_size=8)


def test_parquet_files_come_first(saved: Path) -> None:
    for split in ("train", "test"):
        write_parquet(saved / f"{split}.parquet", pictures(6), ["x", "y", "z"] * 2)
    assert load_images(str(saved), image_size=8).source == "insects (Parquet)"
