"""Parquet files as hubs publish them: splits, labels and class names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import assert_refused, picture, write_parquet

from trainables.data.images.loading import load_images

pytestmark = pytest.mark.usefixtures("user_cache")  # decoded and tokenised data are cached there


def test_class_names_come_from_the_hub_metadata(tmp_path: Path) -> None:
    metadata = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", [picture((1, 1, 1))] * 2, [1, 0], metadata)
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", [picture((2, 2, 2))], [1], metadata)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [picture()], [1], metadata)
    loaded = load_images(str(tmp_path), image_size=8)
    assert loaded.classes == ("no", "yes")
    assert loaded.train.labels.tolist() == [1, 0, 1]
    assert loaded.train.images[:, 0, 0, 0].tolist() == [1, 1, 2]
    assert loaded.source == f"{tmp_path.name} (Parquet)"


def test_integers_without_names_are_the_names_and_a_validation_file_is_the_test_split(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [picture()] * 3, [20, 3, 20])
    write_parquet(tmp_path / "validation.parquet", [picture()], [3])
    loaded = load_images(str(tmp_path), image_size=8)
    assert loaded.classes == ("3", "20")
    assert loaded.train.labels.tolist() == [1, 0, 1]
    assert loaded.test.labels.tolist() == [0]
    assert "validation split as test" in loaded.source


def test_a_single_file_with_strings_and_a_binary_image_column_is_split(tmp_path: Path) -> None:
    table = pa.table(
        {
            "picture": pa.array([picture()] * 10, pa.binary()),
            "kind": pa.array(["b", "a"] * 5).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "everything.parquet")
    loaded = load_images(str(tmp_path), image_size=8)
    assert loaded.classes == ("a", "b")
    assert np.bincount(loaded.test.labels).tolist() == [1, 1]
    assert len(loaded.train) == 8


def test_splits_may_be_folders(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train" / "0000.parquet", [picture()] * 2, ["a", "b"])
    write_parquet(tmp_path / "test" / "0000.parquet", [picture()], ["a"])
    assert len(load_images(str(tmp_path), image_size=8).test) == 1


def test_two_data_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("large", "small"):
        write_parquet(tmp_path / name / "train.parquet", [picture()] * 2, ["a", "b"])
    assert_refused("several data sets .large, small.", str(tmp_path), image_size=8)


@pytest.mark.parametrize(
    ("images", "labels", "match"),
    [
        ([picture(), None], ["a", "b"], r"train\.parquet, row 1: null image"),
        ([picture(), b"not an image"], ["a", "b"], r"train\.parquet, row 1: not a readable image"),
        ([picture()] * 3, ["a", "b", None], r"train\.parquet, row 2: null label"),
        ([picture()] * 2, [-1, -1], "unlabelled"),
        ([picture()] * 2, [1, 1], "only one class"),
        ([picture()] * 2, [0.5, 1.0], "no label column among image, label"),
        ([], pa.array([], pa.int64()), "no rows"),
    ],
)
def test_wrong_rows_are_refused(tmp_path: Path, images: list[bytes | None], labels: list[object], match: str) -> None:
    write_parquet(tmp_path / "train.parquet", images, labels)
    write_parquet(tmp_path / "test.parquet", [picture()], ["a"])
    assert_refused(match, str(tmp_path), image_size=8)


def test_test_labels_must_be_training_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [picture()] * 2, [0, 1])
    write_parquet(tmp_path / "test.parquet", [picture()] * 2, [1, -1])
    assert_refused(r"test\.parquet, row 1: label -1 is not among", str(tmp_path), image_size=8)


def test_a_class_without_a_training_image_is_refused(tmp_path: Path) -> None:
    metadata = {"info": {"features": {"label": {"names": ["ant", "bee", "cow"]}}}}
    write_parquet(tmp_path / "train.parquet", [picture()] * 2, [0, 2], metadata)
    assert_refused("no training image of class bee", str(tmp_path), image_size=8)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 but not really PAR1")
    assert_refused(r"train\.parquet: not a readable Parquet file", str(tmp_path))


def test_cifar10_refuses_other_parquet_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [picture()] * 4, ["a", "b", "a", "b"])
    write_parquet(tmp_path / "test.parquet", [picture()], ["a"])
    assert_refused("not CIFAR-10 .2 classes", "cifar10", tmp_path)
