"""Folders of IDX files: MNIST and its kin, as published, as Debian packs them, as torchvision lays them out."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
from image_files import assert_refused, idx, write_idx

from trainables.data.images import published
from trainables.data.images.loading import load_images

pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_folder_of_idx_files(tmp_path: Path, end: str) -> None:
    write_idx(tmp_path / "scans", end=end)
    data = load_images(str(tmp_path / "scans"))
    assert (data.name, data.source, data.classes) == ("scans", "scans (IDX files)", tuple("0123456789"))
    assert data.train.images.shape == (20, 28, 28, 3) and data.test.images.shape == (10, 28, 28, 3)
    assert data.train.labels.tolist() == [*range(10), *range(10)]
    assert data.train.images[7, 0, 5].tolist() == [7, 7, 7] and data.train.images[7, 20, 5].tolist() == [0, 0, 0]
    assert data.test.images[3, 0, 0, 0] == 103


def test_images_are_made_smaller_but_not_larger(tmp_path: Path) -> None:
    write_idx(tmp_path)
    assert load_images(str(tmp_path), image_size=64).train.images.shape[1:] == (28, 28, 3)
    small = load_images(str(tmp_path), image_size=14)
    assert small.train.images.shape == (20, 14, 14, 3)
    assert small.train.images[19, 0, 0].tolist() == [19, 19, 19] and small.train.images[19, 13, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "place",
    ["fashion_mnist", "fashion_mnist/FashionMNIST/raw", "FashionMNIST/raw", "."],
)
def test_fashion_mnist_is_found_by_its_name(tmp_path: Path, place: str) -> None:
    write_idx(tmp_path / place)
    data = load_images("fashion_mnist", tmp_path)
    assert data.source == f"fashion_mnist (IDX files in {tmp_path / place})"
    assert data.classes[:3] == ("T-shirt/top", "Trouser", "Pullover") and len(data.train) == 20


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("fashion_mnist", "mnist"),
        ("fashion_mnist", "MNIST/raw"),
        ("mnist", "fashion-mnist"),
        ("mnist", "KMNIST"),
    ],
)
def test_files_in_the_folder_of_another_set_are_not_taken_for_this_one(
    tmp_path: Path, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have the same names, so `--data-dir` that points there would train on the wrong images."""
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there: refused at once
    known = published.SETS[name]
    assert isinstance(known, published.PublishedIdx)
    monkeypatch.setitem(published.SETS, name, dataclasses.replace(known, elsewhere=()))
    write_idx(tmp_path / place)
    assert_refused("could not be downloaded", name, tmp_path / place)
    own = tmp_path / place / name
    write_idx(own)
    assert load_images(name, tmp_path / place).source == f"{name} (IDX files in {own})"


@pytest.mark.parametrize("place", ["fashion_mnist", "fashion_mnist/FashionMNIST/raw"])
def test_a_folder_of_that_name_may_be_named_by_its_path(tmp_path: Path, place: str) -> None:
    write_idx(tmp_path / place)
    assert load_images(str(tmp_path / "fashion_mnist")).classes == published.FASHION


def test_debians_folder_has_the_names_of_the_clothes_and_is_looked_into(tmp_path: Path) -> None:
    """Its package dataset-fashion-mnist, 0.0~git20200523, has them in /usr/share/datasets/fashion-mnist."""
    write_idx(tmp_path / "fashion-mnist")
    data = load_images(str(tmp_path / "fashion-mnist"))
    assert data.classes == published.FASHION and data.source.startswith("fashion_mnist (IDX files in ")
    fashion = published.SETS["fashion_mnist"]
    assert isinstance(fashion, published.PublishedIdx)
    assert fashion.elsewhere == (Path("/usr/share/datasets/fashion-mnist"),)


def test_one_folder_may_hold_several_sets_by_name(tmp_path: Path) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    write_idx(raw, prefix="emnist-balanced-", end="")
    write_idx(raw, prefix="emnist-letters-")
    data = load_images("emnist", tmp_path)
    assert len(data.classes) == 47 and data.classes[10] == "A"
    assert data.train.images[9, 5, 0, 0] == data.train.images[9, 5, 13, 0] == 9  # upright: published as lying
    assert data.train.images[9, 5, 14, 0] == 0
    assert_refused("IDX files of several data sets .emnist-balanced-, emnist-letters-.", str(raw))


def test_the_labels_of_qmnist_have_more_columns(tmp_path: Path) -> None:
    write_idx(tmp_path / "qmnist", prefix="qmnist-")
    for split in ("train", "t10k"):
        (tmp_path / "qmnist" / f"qmnist-{split}-labels-idx1-ubyte.gz").unlink()
        count = 20 if split == "train" else 10
        labels = np.stack([np.arange(count) % 10, np.full(count, 300)], axis=1).astype(np.int32)
        (tmp_path / "qmnist" / f"qmnist-{split.replace('t10k', 'test')}-labels-idx2-int").write_bytes(idx(labels))
    data = load_images("qmnist", tmp_path)
    assert data.train.labels.tolist() == [*range(10), *range(10)] and len(data.test) == 10


def test_without_test_files_some_training_images_are_held_back(tmp_path: Path) -> None:
    write_idx(tmp_path / "scans", train=50)
    for path in (tmp_path / "scans").glob("t10k*"):
        path.unlink()
    data = load_images(str(tmp_path / "scans"))
    assert (len(data.train), len(data.test)) == (40, 10) and "20% split off as test" in data.source


def cut(content: bytes) -> bytes:
    return content[:-5]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "it does not begin as one"),
        (b"\x00\x00", "it does not begin as one"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x00", "it does not begin as one"),
        (b"\x89PNG and so on", "it does not begin as one"),
        (idx(np.zeros((20, 4, 4), np.uint8))[:-5], "fewer bytes than the 320 that it announces"),
        (idx(np.zeros((20, 4, 4), np.uint8)) + b"x", "more bytes than the 320"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "fewer bytes than the"),
        (idx(np.zeros((20, 4), np.uint8)), "2 dimensions of uint8, not .N, H, W. bytes"),
        (idx(np.zeros((20, 4, 4), np.int32)), "3 dimensions of int32"),
        (idx(np.zeros((19, 4, 4), np.uint8)), "has 19 images, train-labels-idx1-ubyte.gz 20 labels"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, match: str) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").unlink()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    assert_refused(rf"train-images-idx3-ubyte.*{match}", str(tmp_path))


def test_a_broken_gzip_file_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path)
    file = tmp_path / "t10k-labels-idx1-ubyte.gz"
    whole = file.read_bytes()
    for content in (whole[:-9], whole[:12], b"not gzip at all", b"", whole[:-8] + b"12345678"):
        file.write_bytes(content)
        assert_refused(r"t10k-labels-idx1-ubyte\.gz: not a whole IDX file .*replace it", str(tmp_path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    assert_refused("train-images-idx3-ubyte.gz is there, but no file of its labels", str(tmp_path))
    (tmp_path / "train-images-idx3-ubyte.gz").unlink()
    assert_refused("a test split but no train split", str(tmp_path))


def test_labels_that_are_none_of_the_classes_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist", end="")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(10, 11, np.uint8)))
    assert_refused("label 11 is none of the 10 classes", "mnist", tmp_path)
    scans = (tmp_path / "mnist").rename(tmp_path / "scans")
    assert_refused("label 11 is none of the 10 classes", str(scans))
    (scans / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(20, np.uint8)))
    assert_refused("1 class.es., at least two", str(scans))


def test_without_a_network_a_name_says_where_to_put_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there: refused at once
    if not published.DEBIAN.exists():
        advice = "could not be downloaded.*train-images-idx3-ubyte.gz.*--data-dir, or use --data digits"
        assert_refused(advice, "fashion_mnist", tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert capfd.readouterr().err == ""


def test_gz_files_that_announce_more_than_they_can_hold_are_not_read(tmp_path: Path) -> None:
    write_idx(tmp_path)
    huge = b"\x00\x00\x08\x03" + (60_000).to_bytes(4) * 3
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(huge))
    assert_refused("fewer bytes than the 216,000,000,000,000", str(tmp_path))
