"""Parquet files as hubs publish them: splits, labels and class names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import assert_refused, picture, pictures, write_parquet

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
    write_parquet(tmp_path / "train.parquet", pictures(3), [20, 3, 20])
    write_parquet(tmp_path / "validation.parquet", [picture()], [3])
    loaded = load_images(str(tmp_path), image_size=8)
    assert loaded.classes == ("3", "20")
    assert loaded.train.labels.tolist() == [1, 0, 1]
    assert loaded.test.labels.tolist() == [0]
    assert "validation split as test" in loaded.source


def test_a_single_file_with_strings_and_a_binary_image_column_is_split(tmp_path: Path) -> None:
    table = pa.table(
        {
            "picture": pa.array(pictures(10), pa.binary()),
            "kind": pa.array(["b", "a"] * 5).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "everything.parquet")
    loaded = load_images(str(tmp_path), image_size=8)
    assert loaded.classes == ("a", "b")
    assert np.bincount(loaded.test.labels).tolist() == [1, 1]
    assert len(loaded.train) == 8


def test_splits_may_be_folders(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train" / "0000.parquet", pictures(2), ["a", "b"])
    write_parquet(tmp_path / "test" / "0000.parquet", [picture()], ["a"])
    assert len(load_images(str(tmp_path), image_size=8).test) == 1


def test_two_data_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("large", "small"):
        write_parquet(tmp_path / name / "train.parquet", pictures(2), ["a", "b"])
    assert_refused("several data sets .large, small.", str(tmp_path), image_size=8)


@pytest.mark.parametrize(
    ("images", "labels", "match"),
    [
        ([picture(), None], ["a", "b"], r"train\.parquet, row 1: null image"),
        ([picture(), b"not an image"], ["a", "b"], r"train\.parquet, row 1: not a readable image"),
        (pictures(3), ["a", "b", None], r"train\.parquet, row 2: null label"),
        (pictures(2), [-1, -1], "unlabelled"),
        (pictures(2), [1, 1], "only one class"),
        (pictures(2), [0.5, 1.0], r"row 0: label 0\.5 is not a whole number"),
        ([], pa.array([], pa.int64()), "no rows"),
    ],
)
def test_wrong_rows_are_refused(tmp_path: Path, images: list[bytes | None], labels: list[object], match: str) -> None:
    write_parquet(tmp_path / "train.parquet", images, labels)
    write_parquet(tmp_path / "test.parquet", [picture()], ["a"])
    assert_refused(match, str(tmp_path), image_size=8)


def test_test_labels_must_be_training_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", pictures(2), [0, 1])
    write_parquet(tmp_path / "test.parquet", pictures(2), [1, -1])
    assert_refused(r"test\.parquet, row 1: label -1 is not among", str(tmp_path), image_size=8)


def test_a_class_without_a_training_image_is_refused(tmp_path: Path) -> None:
    metadata = {"info": {"features": {"label": {"names": ["ant", "bee", "cow"]}}}}
    write_parquet(tmp_path / "train.parquet", pictures(2), [0, 2], metadata)
    assert_refused("no training image of class bee", str(tmp_path), image_size=8)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 but not really PAR1")
    assert_refused(r"train\.parquet: not a readable Parquet file", str(tmp_path))


def test_cifar10_refuses_other_parquet_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", pictures(4), ["a", "b", "a", "b"])
    write_parquet(tmp_path / "test.parquet", [picture()], ["a"])
    assert_refused("not CIFAR-10 .2 classes", "cifar10", tmp_path)


def names(*classes: str) -> object:
    """What a hub writes into the schema of a file with these classes."""
    return {"info": {"features": {"label": {"names": list(classes)}}}}


@pytest.mark.parametrize(
    ("files", "match"),
    [
        (["train-00000-of-00002"], r"1 of 2 train files missing \(train-00001-of-00002\.parquet\)"),
        (["train-00000-of-00003", "train-00002-of-00003"], r"1 of 3 train files missing \(train-00001-of-00003"),
        (["train", "test-00001-of-00002"], r"1 of 2 test files missing \(test-00000-of-00002"),
        (["train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"], "train files of two downloads"),
        (["train", "train (1)"], r"train \(1\)\.parquet: a second copy of train\.parquet"),
        (["train", "test", "test(2)"], r"test\(2\)\.parquet: a second copy of test\.parquet"),
        (["train", "train - Copy"], r"train - Copy\.parquet: a second copy of train\.parquet"),
        (["train-00000-of-00001", "train-00000-of-00001 (1)"], r"\(1\)\.parquet: a second copy of train-00000"),
    ],
)
def test_incomplete_and_doubled_downloads_are_refused(tmp_path: Path, files: list[str], match: str) -> None:
    for file in files:
        write_parquet(tmp_path / f"{file}.parquet", pictures(4), ["a", "b", "a", "b"])
    assert_refused(match, str(tmp_path), image_size=8)


@pytest.mark.parametrize("name", ["train (1)", "cifar-train", "my_training_set"])
def test_a_file_may_have_a_longer_name(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / f"{name}.parquet", pictures(4), ["a", "b", "a", "b"])
    write_parquet(tmp_path / "images-test.parquet", pictures(2), ["a", "b"])
    write_parquet(tmp_path / "more.parquet", pictures(2), ["a", "b"])
    data = load_images(str(tmp_path), image_size=8)
    assert (len(data.train), len(data.test)) == (4, 2)
    assert "passed over: file more.parquet" in data.summary


def test_a_test_file_is_read_by_its_own_class_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", pictures(3), [0, 1, 2], names("ant", "bee", "cow"))
    write_parquet(tmp_path / "test.parquet", pictures(3), [0, 1, 2], names("cow", " ant", "bee"))
    data = load_images(str(tmp_path), image_size=8)
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1, 2], [2, 0, 1])
    write_parquet(tmp_path / "test.parquet", pictures(2), [0, 1], names("cow", "dog"))
    assert_refused(r"test\.parquet, row 1: label 'dog' is not among the training classes", str(tmp_path), image_size=8)


def test_files_of_one_split_with_other_class_names_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", pictures(2), [0, 1], names("ant", "bee"))
    write_parquet(tmp_path / "train-00001-of-00002.parquet", pictures(2), [0, 1], names("bee", "ant"))
    assert_refused("00001-of-00002.parquet: other class names, or another order", str(tmp_path), image_size=8)


@pytest.mark.parametrize(
    ("labels", "classes", "positions"),
    [
        (["cat", "dog ", " cat", "dog"], ("cat", "dog"), [0, 1, 0, 1]),
        (["snow  leopard", "cat", "snow leopard", "cat"], ("cat", "snow leopard"), [1, 0, 1, 0]),
        (["ka\u0308fer", "ant", "k\u00e4fer", "ant"], ("ant", "k\u00e4fer"), [1, 0, 1, 0]),
        ([1.0, 0.0, 1.0, 0.0], ("0", "1"), [1, 0, 1, 0]),
        ([True, False, True, False], ("false", "true"), [1, 0, 1, 0]),
    ],
)
def test_labels_of_every_kind(
    tmp_path: Path, labels: list[object], classes: tuple[str, ...], positions: list[int]
) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", pictures(4), labels)
    data = load_images(str(tmp_path), image_size=8)
    assert (data.classes, data.train.labels.tolist()) == (classes, positions)
    assert "4 test images are also in train" in data.summary


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([0.25, 1.0], r"train\.parquet, row 0: label 0\.25 is not a whole number"),
        ([1.0, float("nan")], r"train\.parquet, row 1: label nan is not a whole number"),
        (["a", " "], r"train\.parquet, row 1: empty label"),
        ([[1, 2], [1]], "train.parquet: column 'label' is of type list<.*int64>; a label is one integer or text"),
    ],
)
def test_labels_that_are_not_classes_are_refused(tmp_path: Path, labels: list[object], match: str) -> None:
    write_parquet(tmp_path / "train.parquet", pictures(2), labels)
    assert_refused(match, str(tmp_path), image_size=8)


def test_a_label_beyond_the_named_classes_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", pictures(3), [0, 1, 2], names("ant", "bee"))
    assert_refused("training label 2, but the schema names 2 classes", str(tmp_path), image_size=8)
