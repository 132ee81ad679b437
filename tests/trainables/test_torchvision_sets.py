"""The sets that torchvision knows, from files as it lays them out: no network, no class of torchvision replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import assert_refused, pictures, write_images, write_parquet
from torchvision import datasets
from torchvision_layouts import ARRAYS, FILES, own_checksums

from trainables.data.images import ImageData
from trainables.data.images.loading import load_images
from trainables.data.images.published import SETS, PublishedIdx
from trainables.data.images.torchvision_sets import location

pytestmark = pytest.mark.usefixtures("user_cache")

WITHOUT_TEST = {"caltech101", "caltech256", "eurosat", "sun397", "semeion"}
ADAPTED = {name for name, published in SETS.items() if not isinstance(published, PublishedIdx)}


def lay_out(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (FILES | ARRAYS)[name](root)
    for kind, attributes in own_checksums(root).items():
        for attribute, value in attributes.items():
            monkeypatch.setattr(getattr(datasets, kind), attribute, value)


def images_of(data: ImageData) -> list[set[bytes]]:
    return [{image.tobytes() for image in part.images} for part in (data.train, data.test)]


def test_every_set_is_tested() -> None:
    assert {*FILES, *ARRAYS} == ADAPTED - {"pcam"}  # which needs h5py


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [".", "inner"])
def test_sets_of_image_files(name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path if place == "." else tmp_path / name
    lay_out(name, root, monkeypatch)
    data = load_images(name, tmp_path, image_size=8)
    assert data.name == name and data.source.startswith(f"{name} (torchvision")
    assert len(data.classes) == (102 if name == "flowers102" else 2)
    counts = (8, 2) if name in WITHOUT_TEST else (10, 4)
    assert (len(data.train), len(data.test)) == counts and data.train.images.shape[1:] == (8, 8, 3)
    assert np.bincount(data.train.labels).tolist() == [counts[0] // 2] * 2
    train, test = images_of(data)
    assert len(train) == counts[0] and len(test) == counts[1] and not train & test
    shutil.rmtree(root / ".cache")
    again = load_images(name, tmp_path, image_size=8, seed=3)
    assert (again.test.images == data.test.images).all(), "the test split is the same for every seed"


@pytest.mark.parametrize(
    ("name", "classes", "note"),
    [
        ("caltech101", ("ant", "bee"), "torchvision, 20% split off as test"),
        ("country211", ("AD", "AE"), "torchvision, train and valid as train"),
        ("dtd", ("banded", "dotted"), "torchvision, train and val as train"),
        ("fgvc_aircraft", ("707-320", "A300 B4"), "torchvision"),
        ("flowers102", tuple(datasets.Flowers102.classes), "torchvision, train and val as train"),
        ("gtsrb", ("0", "1"), "torchvision"),
        ("imagenette", ("tench", "English springer"), "torchvision, val as test"),
        ("oxford_pets", ("Abyssinian", "Yorkshire Terrier"), "torchvision"),
        ("stanford_cars", ("Audi TT", "BMW M3"), "torchvision"),
        ("sun397", ("abbey", "bar/indoor"), "torchvision, 20% split off as test"),
    ],
)
def test_classes_have_their_names_and_splits_are_told(
    name: str, classes: tuple[str, ...], note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(name, tmp_path, monkeypatch)
    data = load_images(name, tmp_path, image_size=8)
    assert (data.classes, data.source) == (classes, f"{name} ({note})")


@pytest.mark.parametrize(
    ("name", "side", "classes"),
    [
        ("semeion", 16, "0123456789"),
        ("svhn", 32, "0123456789"),
        ("usps", 16, "0123456789"),
        ("stl10", 96, ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]),
    ],
)
def test_sets_of_arrays(name: str, side: int, classes: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(name, tmp_path, monkeypatch)
    data = load_images(name, tmp_path)
    assert data.classes == tuple(classes)  # type: ignore[arg-type]
    assert data.train.images.shape[1:] == (side, side, 3)
    if name == "semeion":
        assert np.bincount(np.concatenate([data.train.labels, data.test.labels])).tolist() == [2] * 10
        assert (len(data.train), len(data.test)) == (16, 4)
    else:
        assert data.train.labels.tolist() == [*range(10), *range(10)] and len(data.test) == 10
        assert data.train.images[7, 0, -1].tolist() == [70, 70, 70]
        assert data.train.images[7, -1, 0].tolist() == [0, 0, 0]
    small = load_images(name, tmp_path, image_size=8).train.images
    assert small.shape[1:] == (8, 8, 3)


def test_the_images_are_those_of_an_image_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out("imagenette", tmp_path, monkeypatch)
    folder = load_images(str(tmp_path / "imagenette2"), image_size=8)
    named = load_images("imagenette", tmp_path, image_size=8)
    assert (folder.train.images == named.train.images).all() and (folder.test.images == named.test.images).all()


def test_decoded_images_are_cached_until_a_label_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out("dtd", tmp_path, monkeypatch)
    first = load_images("dtd", tmp_path, image_size=8)
    (entry,) = (tmp_path / ".cache").iterdir()
    assert not first.train.images.flags.owndata
    load_images("dtd", tmp_path, image_size=8)
    assert list((tmp_path / ".cache").iterdir()) == [entry]
    labels = tmp_path / "dtd" / "dtd" / "labels"
    for split in ("train", "test"):  # every image of this split into the other one
        (labels / f"{split}1.txt").rename(labels / f"was_{split}")
    (labels / "was_train").rename(labels / "test1.txt")
    (labels / "was_test").rename(labels / "train1.txt")
    assert len(load_images("dtd", tmp_path, image_size=8).test) == 6


@pytest.mark.parametrize(
    ("name", "broken", "match"),
    [
        (
            "dtd",
            "dtd/dtd/labels/val1.txt",
            "dtd is broken or incomplete .FileNotFoundError: .*val1.txt.*; delete .*dtd",
        ),
        ("food101", "food-101/images/pie/test1.jpg", "1 images are missing, such as .*test1.jpg"),
        ("gtsrb", "gtsrb/GT-final_test.csv", "gtsrb is broken or incomplete"),
        ("usps", "usps.t.bz2", "usps is broken or incomplete"),
        ("svhn", "test_32x32.mat", r"svhn is broken or incomplete .RuntimeError: Dataset not found or corrupted\.\)"),
        ("stanford_cars", "stanford_cars/devkit/cars_meta.mat", "stanford_cars is broken or incomplete"),
    ],
)
def test_files_that_are_missing_are_named(
    name: str, broken: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(name, tmp_path, monkeypatch)
    (tmp_path / broken).unlink()
    assert_refused(match, name, tmp_path)


@pytest.mark.parametrize("name", ["usps", "svhn", "stanford_cars", "food101"])
def test_files_that_are_broken_are_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(name, tmp_path, monkeypatch)
    for path in (path for path in tmp_path.rglob("*") if path.suffix in (".bz2", ".mat", ".json")):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(f"{name} is broken or incomplete", name, tmp_path)


def test_an_image_that_is_broken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out("eurosat", tmp_path, monkeypatch)
    (tmp_path / "eurosat" / "2750" / "River" / "image_0002.jpg").write_bytes(b"not an image")
    assert_refused(r"River/image_0002\.jpg: not a readable image", "eurosat", tmp_path)


def test_the_folder_of_a_set_may_have_another_form(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / "food101" / f"{split}.parquet", pictures(4), ["pie", "soup"] * 2)
        for name in ("cat", "dog"):
            write_images(tmp_path / "oxford_pets" / split / name, 2)
    assert load_images("food101", tmp_path, image_size=8).source == "food101 (Parquet)"
    assert load_images("oxford_pets", tmp_path, image_size=8).source == "oxford_pets (image folder)"


def test_the_folder_of_a_set_may_be_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out("dtd", tmp_path / "dtd", monkeypatch)
    assert load_images(str(tmp_path / "dtd"), image_size=8).source == "dtd (torchvision, train and val as train)"


def test_sets_that_nobody_publishes_any_more_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    match = "cannot be downloaded anymore.*: put stanford_cars/devkit there, name the folder.*--data-dir, or use --data digits"
    assert_refused(match, "stanford_cars", tmp_path / "data")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there: refused at once
    for name in ("eurosat", "country211", "flowers102", "usps"):
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)  # an empty folder is no data set
        assert_refused(f"{name} is not in .* and could not be downloaded", name, tmp_path / "data")
        assert list((tmp_path / "data" / name).iterdir()) == [] and location(name, tmp_path / "data") is None
    assert capfd.readouterr().err == ""


def test_patches_of_pcam(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "pcam").mkdir()
    for split, count in (("train", 6), ("valid", 4), ("test", 4)):
        for part, key, shape in (("x", "x", (96, 96, 3)), ("y", "y", (1, 1, 1))):
            values = np.broadcast_to(np.arange(count).reshape(-1, 1, 1, 1), (count, *shape)).astype(np.uint8)
            with h5py.File(tmp_path / "pcam" / f"camelyonpatch_level_2_split_{split}_{part}.h5", "w") as file:
                file[key] = values if part == "x" else values % 2
    data = load_images("pcam", tmp_path, image_size=32)
    assert data.train.images.shape == (10, 32, 32, 3) and data.train.labels.tolist() == [0, 1] * 5
    assert data.classes == ("no tumour", "tumour") and data.test.images[3, 0, 0].tolist() == [3, 3, 3]
