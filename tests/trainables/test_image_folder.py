"""Image folders: splits, classes, decoding, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import assert_refused, picture, pictures, write_images, write_parquet
from PIL import Image

from trainables.data.images import Images
from trainables.data.images.loading import load_images

pytestmark = pytest.mark.usefixtures("user_cache")  # decoded and tokenised data are cached there


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "dog", 3, colour=(0, 0, 255))
    write_images(tmp_path / "train" / "cat", 2, colour=(255, 0, 0))
    write_images(tmp_path / "test" / "dog", 1, colour=(0, 0, 255))
    (tmp_path / "train" / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "dog" / "._0.png").write_bytes(b"left by another system")
    loaded = load_images(str(tmp_path), image_size=8)
    assert loaded.classes == ("cat", "dog")
    assert loaded.source == f"{tmp_path.name} (image folder)"
    assert loaded.train.images.shape == (5, 8, 8, 3)
    assert loaded.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert loaded.train.images[0, 0, 0].tolist() == [255, 0, 0]
    assert loaded.test.labels.tolist() == [1]


@pytest.mark.parametrize(("folder", "note"), [("val", ", validation split as test"), ("Test", "")])
def test_the_test_folder_may_have_other_names(tmp_path: Path, folder: str, note: str) -> None:
    for split in ("train", folder):
        for name in ("cat", "dog"):
            write_images(tmp_path / split / name, 2)
    loaded = load_images(str(tmp_path), image_size=8)
    assert len(loaded.test) == 4
    assert loaded.source == f"{tmp_path.name} (image folder{note})"


def test_one_tree_is_split_by_class_and_seed(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog", "train")):  # a class may be called "train"
        folder = tmp_path / name
        folder.mkdir()
        for i in range(10):
            (folder / f"{i}.png").write_bytes(picture(colour=(number, i, 0), size=(4, 4)))
    loaded = load_images(str(tmp_path), image_size=4, seed=1)
    assert "20% split off as test" in loaded.source
    assert loaded.classes == ("cat", "dog", "train")
    assert np.bincount(loaded.test.labels).tolist() == [2, 2, 2]

    def content(split: Images) -> set[tuple[int, ...]]:  # class and number of each image
        return {tuple(pixel) for pixel in split.images[:, 0, 0, :2].tolist()}

    assert content(loaded.train).isdisjoint(content(loaded.test))
    assert len(content(loaded.train) | content(loaded.test)) == 30
    again, other = (load_images(str(tmp_path), image_size=4, seed=seed) for seed in (1, 2))
    assert content(again.test) == content(loaded.test) != content(other.test)


def test_images_are_cropped_at_the_centre_after_scaling(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path / name, 5)
    striped = np.zeros((10, 30, 3), np.uint8)
    striped[:, 10:20] = 255  # the middle third is white: exactly what remains
    Image.fromarray(striped).save(tmp_path / "a" / "striped.png")
    loaded = load_images(str(tmp_path), image_size=10, seed=0)
    everything = np.concatenate([loaded.train.images, loaded.test.images])
    assert (everything == 255).all(axis=(1, 2, 3)).sum() == 1


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path / "train" / name, 2)
    (tmp_path / "test" / "a").mkdir(parents=True)
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 32:] = 255  # right half white
    turned = Image.fromarray(half)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees clockwise: the right half becomes the lower one
    turned.save(tmp_path / "test" / "a" / "turned.jpg", exif=exif, quality=95)
    image = load_images(str(tmp_path), image_size=16).test.images[0].astype(int)
    assert image[12:].min() > 240
    assert image[:4].max() < 15


@pytest.mark.parametrize(
    ("mode", "colour", "form", "expected"),
    [
        ("L", 100, "PNG", [100, 100, 100]),
        ("1", 1, "PNG", [255, 255, 255]),
        ("P", 0, "GIF", [0, 0, 0]),
        ("RGBA", (10, 20, 30, 255), "PNG", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "PNG", [255, 255, 255]),
        ("I;16", 100 * 256, "PNG", [100, 100, 100]),
        ("CMYK", (0, 0, 0, 0), "TIFF", [255, 255, 255]),
    ],
)
def test_every_mode_becomes_8_bit_rgb(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], form: str, expected: list[int]
) -> None:
    encoded = picture(colour=colour, form=form, mode=mode)
    write_parquet(tmp_path / "train.parquet", [encoded, *pictures(3)], ["a", "a", "b", "b"])
    write_parquet(tmp_path / "test.parquet", [encoded], ["a"])
    loaded = load_images(str(tmp_path), image_size=8)
    assert loaded.test.images[0, 4, 4].tolist() == expected


def test_small_square_images_keep_their_size_and_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 7, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        folder = tmp_path / "train" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    loaded = load_images(str(tmp_path), image_size=32)
    assert (loaded.train.images == pixels[[0, 2, 4, 1, 3, 5]]).all()
    assert load_images(str(tmp_path), image_size=5).train.images.shape == (6, 5, 5, 3)
    Image.new("RGB", (9, 9)).save(tmp_path / "test" / "a" / "other.png")
    assert load_images(str(tmp_path), image_size=32).train.images.shape == (6, 32, 32, 3)


def test_many_large_images_keep_their_order(tmp_path: Path) -> None:
    """Enough work for the threads: every image must land at its own label."""
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    for i in range(200):
        folder = tmp_path / "train" / f"{i // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        noise[50:100, 50:100] = i
        Image.fromarray(noise).save(folder / f"{i:03}.png", compress_level=1)
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    centres = load_images(str(tmp_path), image_size=30).train.images[:, 15, 15, 0]
    assert centres.tolist() == list(range(200))


def test_the_error_names_a_broken_image(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 5)
    (tmp_path / "dog" / "3.png").write_bytes(picture()[:40])
    (tmp_path / "dog" / "4.png").write_bytes(b"text")
    assert_refused(r"dog.3\.png: not a readable image \(and 1 more\)", str(tmp_path), image_size=8)


@pytest.mark.parametrize(
    ("folders", "match"),
    [
        ({}, "0 class folder.*expected train/<class>"),
        ({"cat": 5}, "1 class folder.*at least two"),
        ({"cat": 5, "dog": 0}, "dog: class without an image"),
        ({"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/cow": 1}, "cow: class not among.*cat, dog"),
        ({"train/cat": 2, "train/dog": 2, "test/cat": 0}, "cat: class without an image"),
        ({"train/cat": 2, "train/dog": 2, "test": 0}, "test: no class folders"),
        ({"test/cat": 2, "test/dog": 2}, "no train split"),
        ({"cat": 1, "dog": 1}, "cannot split 1 of 2 images"),
    ],
)
def test_wrong_image_folders_are_refused(tmp_path: Path, folders: dict[str, int], match: str) -> None:
    root = tmp_path / "pets"
    root.mkdir()
    for name, count in folders.items():
        write_images(root / name, count)
    assert_refused(match, str(root), image_size=8)
