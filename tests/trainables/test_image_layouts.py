"""Image folders as people have them: each is read as it is meant, or refused in one line that names the fault."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from image_files import assert_refused, picture, write_images
from PIL import Image

from models.inputs.image_files import find_images
from trainables.data.images import ImageData
from trainables.data.images.loading import load_images

pytestmark = pytest.mark.usefixtures("user_cache")  # decoded images are cached there

Tree = dict[str, int]  # folder -> different images in it


def write_tree(root: Path, tree: Tree) -> Path:
    """Every image of the tree is different from all others."""
    root.mkdir()
    for number, (folder, count) in enumerate(tree.items()):
        write_images(root / folder, 0)
        for i in range(count):
            (root / folder / f"{i}.png").write_bytes(picture((number, i, 9)))
    return root


def load(root: Path) -> ImageData:
    return load_images(str(root), image_size=8)


@pytest.mark.parametrize(
    ("train", "test", "note"),
    [
        ("train_images", "test_images", ""),
        ("images-train", "images-test", ""),
        ("my_training_set", "my_testing_set", ""),
        ("TrainSet", "TestSet", ""),
        ("trainset", "testset", ""),
        ("01 training", "02 test", ""),
        ("train", "eval", ", validation split as test"),
        ("Training", "evaluation", ", validation split as test"),
        ("train", "holdout", ", validation split as test"),
        ("train", "hold-out", ", validation split as test"),
        ("train_data", "valid_data", ", validation split as test"),
        ("pets_train", "pets_val", ", validation split as test"),
    ],
)
def test_folders_whose_names_say_so_are_splits(tmp_path: Path, train: str, test: str, note: str) -> None:
    tree = {f"{train}/cat": 3, f"{train}/dog": 2, f"{test}/cat": 1, f"{test}/dog": 1}
    data = load(write_tree(tmp_path / "pets", tree))
    assert data.classes == ("cat", "dog")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 0, 0, 1, 1], [0, 1])
    assert data.summary == (
        f"pets (image folder{note}): 7 images in 2 classes, train 5 (2 to 3 per class), test 2 (1 per class)"
    )


@pytest.mark.parametrize("names", [("cat", "dog", "train"), ("testudo", "trainers"), ("contest", "medieval", "valley")])
def test_classes_may_have_names_like_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    data = load(write_tree(tmp_path / "things", dict.fromkeys(names, 5)))
    assert data.classes == names
    assert len(data.train) == 4 * len(names)


@pytest.mark.parametrize(
    ("tree", "match"),
    [
        (
            {"train_images": 3, "test_images": 3},
            "train_images: a train split, by its name, but its images are not in cl",
        ),
        ({"train/a": 2, "train/b": 2, "test": 3}, "test: a test split, by its name, but its images are not in class"),
        (
            {"cat": 3, "dog": 3, "train": 3, "test": 3},
            "train: a train split.*move all classes into a folder named train",
        ),
        ({"train": 6}, "train: a train split, by its name"),
        (
            {"train/steam": 3, "train/diesel": 3, "car": 3, "bus": 3},
            "train could be a split or a class beside bus, car",
        ),
        ({"train_a/x": 2, "train_b/x": 2, "test/x": 2}, "train_a, train_b could each be the train split"),
        ({"train/x": 2, "train/y": 2, "val/x": 2, "eval/x": 2}, "eval, val could each be the validation split"),
        ({"eval/cat": 2, "eval/dog": 2}, "a validation split but no train split"),
        (
            {"cat/train": 2, "cat/test": 2, "dog/train": 2, "dog/test": 2},
            "cat: test, train are splits where classes bel",
        ),
        ({"train/pets/train": 2, "train/pets/test": 2, "train/b": 1}, "pets: test, train are splits where classes"),
        ({"pets/train": 2, "pets/test": 2, "more": 1}, "pets: test, train are splits where classes belong"),
    ],
)
def test_layouts_that_can_be_read_in_two_ways_are_refused(tmp_path: Path, tree: Tree, match: str) -> None:
    assert_refused(match, str(write_tree(tmp_path / "pets", tree)), image_size=8)


def test_hidden_folders_are_neither_classes_nor_images(tmp_path: Path) -> None:
    hidden = (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".thumbs/deep")
    tree = {"cat": 5, "dog": 5} | {f"cat/{name}": 2 for name in hidden} | dict.fromkeys(hidden, 1)
    root = write_tree(tmp_path / "pets", tree)
    data = load(root)
    assert (data.classes, len(data.train) + len(data.test)) == (("cat", "dog"), 10)
    assert "passed over: 4 hidden files or folders (.ipynb_checkpoints, .thumbs, @eaDir, __MACOSX)" in data.summary
    assert len(find_images(root / "cat")[0]) == 5  # what predict classifies
    assert load(root).summary == data.summary  # also from the cache


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".JPEG", ".tga", ".webp", ".bmp", ".ppm", ".tif", ".jp2", ".qoi"])
def test_every_type_that_pillow_decodes_is_an_image(tmp_path: Path, ending: str) -> None:
    root = write_tree(tmp_path / "pets", {"cat": 4, "dog": 5})
    Image.new("RGB", (9, 9), (1, 2, 3)).save(root / "cat" / f"more{ending}")
    data = load(root)
    assert len(data.train) + len(data.test) == 10
    assert "passed over" not in data.summary


def test_other_files_are_counted(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "pets", {"cat": 5, "dog": 5})
    for name in ("cat/a.heic", "cat/b.heic", "dog/notes.txt", "labels.csv"):
        (root / name).write_text("?")
    assert "passed over: 4 files that are not images (.csv, .heic, .txt)" in load(root).summary


def test_a_class_of_other_files_is_refused_with_their_endings(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "pets", {"cat": 5, "dog": 0})
    (root / "dog" / "a.heic").write_text("?")
    assert_refused(r"dog: class without an image \(only \*\.heic\)", str(root), image_size=8)


def test_lacking_classes_and_unused_folders_are_in_the_summary(tmp_path: Path) -> None:
    tree = {"train/cat": 2, "train/dog": 2, "train/emu": 2, "test/cat": 1, "eval/cat": 3, "extra": 2}
    summary = load(write_tree(tmp_path / "pets", tree)).summary
    assert "test 1 (0 to 1 per class)" in summary
    assert "passed over: folder eval, folder extra" in summary
    assert "test has no images of dog, emu" in summary


def test_copies_are_counted_by_their_pixels(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "pets", {"train/cat": 3, "train/dog": 3, "test/cat": 2, "test/dog": 2})
    pixels = Image.open(root / "train" / "cat" / "1.png")
    pixels.save(root / "test" / "dog" / "leak.bmp")  # another file with the same pixels, and another label
    pixels.save(root / "train" / "cat" / "again.png")
    summary = load(root).summary
    for remark in ("1 test images are also in train", "1 train images are copies", "1 images have more than one label"):
        assert remark in summary


@pytest.mark.parametrize("colour", [(0, 0, 0), (7, 8, 9)])
def test_images_of_one_colour_are_refused(tmp_path: Path, colour: tuple[int, ...]) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / "pets" / name, 5, colour)
    assert_refused(
        r"pets: all 10 images are of one colour \(\d, \d, \d\); replace", str(tmp_path / "pets"), image_size=8
    )


def test_equal_images_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for name in ("cat", "dog"):
        write_images(tmp_path / "pets" / name, 0)
        for i in range(5):
            Image.fromarray(noise).save(tmp_path / "pets" / name / f"{i}.png")
    assert_refused("pets: all 10 images are equal", str(tmp_path / "pets"), image_size=16)


def test_names_that_differ_in_unicode_form_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "käfer") for form in ("NFC", "NFD"))
    tree = {f"train/{composed}": 2, f"train/{decomposed}": 2, "train/ant": 2, f"test/{decomposed}": 1}
    data = load(write_tree(tmp_path / "beetles", tree))
    assert data.classes == ("ant", composed)
    assert (np.bincount(data.train.labels).tolist(), data.test.labels.tolist()) == ([2, 4], [1])


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "pets", {"cat": 4, "dog": 5})
    more = write_tree(tmp_path / "more", {"young": 1})
    (root / "cat" / "more").symlink_to(more)
    (root / "cat" / "more again").symlink_to(more / "young")
    (root / "cat" / "loop").symlink_to(root)
    (root / "dog" / "loop").symlink_to(root / "dog")
    (root / "cat" / "other class").symlink_to(root / "dog")
    data = load(root)
    assert len(data.train) + len(data.test) == 10
    assert data.summary.count("link ") == 4
    (root / "hound").symlink_to(root / "dog")
    assert_refused("hound: the same folder as dog, through a link", str(root), image_size=8)


def test_names_that_are_not_utf8_are_refused_at_once(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "pets", {"cat": 5, "dog": 5, "k\udce4fer": 5})
    assert_refused(r"pets/k\\udce4fer: the name is not UTF-8; rename it", str(root), image_size=8)
    other = write_tree(tmp_path / "pets\udce4", {"cat": 5, "dog": 5})
    assert_refused("the name is not UTF-8", str(other), image_size=8)


def test_files_may_have_any_name_and_broken_ones_are_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "pets", {"cat": 5, "dog": 5})
    (root / "cat" / "k\udce4fer.png").write_bytes(picture((1, 1, 1)))
    assert len(load(root).train) + len(load(root).test) == 11
    (root / "cat" / "k\udce4fer.png").write_bytes(b"text")
    assert_refused(r"k\\udce4fer\.png: not a readable image", str(root), image_size=8)
