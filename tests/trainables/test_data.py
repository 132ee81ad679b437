"""Data sets: what is read from each form, what is refused with one line, how images are split."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainables.data import DataError, data_sets
from trainables.data import images as data


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    """Whatever a test caches goes with its folder."""
    cache = tmp_path / "user-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


def picture(colour=(200, 30, 30), size=(20, 12), form="PNG", mode="RGB", **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, form, **options)
    return out.getvalue()


def write_images(folder: Path, count: int, **options) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(picture(**options))


def write_parquet(file: Path, images: list, labels: list, metadata: dict | None = None) -> None:
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


def assert_refused(match: str, *args, **kwargs) -> None:
    with pytest.raises(DataError, match=match) as caught:
        data.load(*args, **kwargs)
    assert "\n" not in str(caught.value)


# --- names and folders


def test_every_data_set_file_is_listed():
    assert tuple(data_sets(data)) == ("cifar10", "digits")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("cifar-10", "did you mean 'cifar10'.*folder"),
        ("digit", "did you mean 'digits'"),
        ("/no/such/place", "neither a data set nor a folder; valid: cifar10, digits"),
        ("", "neither a data set"),
        (__file__, "is a file; name the folder"),
    ],
)
def test_unknown_name_names_the_nearest(name, match):
    assert_refused(match, name)


def test_image_size_must_be_positive():
    assert_refused("image_size is 0", "digits", image_size=0)


def test_a_folder_is_also_found_inside_the_data_folder(tmp_path):
    for name in ("cat", "dog"):
        write_images(tmp_path / "pets" / name, 5)
    assert data.load("pets", tmp_path, image_size=8).name == "pets"


def test_images_refuse_wrong_arrays():
    with pytest.raises(DataError, match="uint8"):
        data.Images(np.zeros((2, 4, 4, 3)), np.zeros(2, np.int64))
    with pytest.raises(DataError, match="labels must be"):
        data.Images(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64))


# --- digits


def test_digits_are_the_scans_of_scikit_learn():
    from sklearn.datasets import load_digits

    found = data.load("digits")
    assert found.train.images.shape == (1438, 8, 8, 3)
    assert found.test.images.shape == (359, 8, 8, 3)
    assert found.source == "digits (scikit-learn)"
    together = np.concatenate([found.train.images, found.test.images])[..., 0]
    original = load_digits().images  # 0-16
    as_bytes = {scan.astype(np.uint8).tobytes() for scan in original}
    assert {np.round(scan / (255 / 16)).astype(np.uint8).tobytes() for scan in together} == as_bytes
    counts = np.bincount(found.test.labels)
    assert counts.max() - counts.min() <= 2  # 174 to 183 scans a class


def test_digits_test_split_does_not_move_with_the_seed():
    one, other = data.load("digits", seed=1), data.load("digits", seed=2)
    assert (one.test.images == other.test.images).all()


# --- image folders


def test_image_folder_with_train_and_test(tmp_path):
    write_images(tmp_path / "train" / "dog", 3, colour=(0, 0, 255))
    write_images(tmp_path / "train" / "cat", 2, colour=(255, 0, 0))
    write_images(tmp_path / "test" / "dog", 1, colour=(0, 0, 255))
    (tmp_path / "train" / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "dog" / "._0.png").write_bytes(b"left by another system")
    found = data.load(str(tmp_path), image_size=8)
    assert found.classes == ("cat", "dog")
    assert found.source == f"{tmp_path.name} (image folder)"
    assert found.train.images.shape == (5, 8, 8, 3)
    assert found.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert found.train.images[0, 0, 0].tolist() == [255, 0, 0]
    assert found.test.labels.tolist() == [1]


@pytest.mark.parametrize(("folder", "note"), [("val", ", validation split as test"), ("Test", "")])
def test_names_of_the_test_folder(tmp_path, folder, note):
    for split in ("train", folder):
        for name in ("cat", "dog"):
            write_images(tmp_path / split / name, 2)
    found = data.load(str(tmp_path), image_size=8)
    assert len(found.test) == 4
    assert found.source == f"{tmp_path.name} (image folder{note})"


def test_one_tree_is_split_by_class_and_seed(tmp_path):
    for number, name in enumerate(("cat", "dog", "train")):  # a class may be called "train"
        folder = tmp_path / name
        folder.mkdir()
        for i in range(10):
            (folder / f"{i}.png").write_bytes(picture(colour=(number, i, 0), size=(4, 4)))
    found = data.load(str(tmp_path), image_size=4, seed=1)
    assert "20% split off as test" in found.source
    assert found.classes == ("cat", "dog", "train")
    assert np.bincount(found.test.labels).tolist() == [2, 2, 2]

    def content(images):  # each image by its class and number
        return {tuple(pixel) for pixel in images.images[:, 0, 0, :2].tolist()}

    assert content(found.train).isdisjoint(content(found.test))
    assert len(content(found.train) | content(found.test)) == 30
    again, other = (data.load(str(tmp_path), image_size=4, seed=seed) for seed in (1, 2))
    assert content(again.test) == content(found.test) != content(other.test)


def test_images_are_cropped_at_the_centre_after_scaling(tmp_path):
    for name in ("a", "b"):
        write_images(tmp_path / name, 5)
    striped = np.zeros((10, 30, 3), np.uint8)
    striped[:, 10:20] = 255  # the middle third is white: exactly what remains of it
    Image.fromarray(striped).save(tmp_path / "a" / "striped.png")
    found = data.load(str(tmp_path), image_size=10, seed=0)
    everything = np.concatenate([found.train.images, found.test.images])
    assert (everything == 255).all(axis=(1, 2, 3)).sum() == 1


def test_exif_rotation_is_applied(tmp_path):
    for name in ("a", "b"):
        write_images(tmp_path / "train" / name, 2)
    (tmp_path / "test" / "a").mkdir(parents=True)
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 32:] = 255  # right half white
    turned = Image.fromarray(half)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise: the right half becomes the lower one
    turned.save(tmp_path / "test" / "a" / "turned.jpg", exif=exif, quality=95)
    image = data.load(str(tmp_path), image_size=16).test.images[0].astype(int)
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
def test_every_mode_becomes_8_bit_rgb(tmp_path, mode, colour, form, expected):
    encoded = picture(colour=colour, form=form, mode=mode)
    write_parquet(tmp_path / "train.parquet", [encoded] * 4, ["a", "a", "b", "b"])
    write_parquet(tmp_path / "test.parquet", [encoded], ["a"])
    found = data.load(str(tmp_path), image_size=8)
    assert found.test.images[0, 4, 4].tolist() == expected


def test_small_square_images_keep_their_size_and_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 7, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        folder = tmp_path / "train" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    found = data.load(str(tmp_path), image_size=32)
    assert (found.train.images == pixels[[0, 2, 4, 1, 3, 5]]).all()
    assert data.load(str(tmp_path), image_size=5).train.images.shape == (6, 5, 5, 3)
    Image.new("RGB", (9, 9)).save(tmp_path / "test" / "a" / "other.png")
    assert data.load(str(tmp_path), image_size=32).train.images.shape == (6, 32, 32, 3)


def test_many_large_images_keep_their_order(tmp_path):
    """Enough work for the threads: every image must land at its own label."""
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    for i in range(200):
        folder = tmp_path / "train" / f"{i // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        noise[50:100, 50:100] = i
        Image.fromarray(noise).save(folder / f"{i:03}.png", compress_level=1)
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    centres = data.load(str(tmp_path), image_size=30).train.images[:, 15, 15, 0]
    assert centres.tolist() == list(range(200))


def test_broken_image_is_named(tmp_path):
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
def test_wrong_image_folders_are_refused(tmp_path, folders, match):
    root = tmp_path / "pets"
    root.mkdir()
    for name, count in folders.items():
        write_images(root / name, count)
    assert_refused(match, str(root), image_size=8)


# --- Parquet


def test_parquet_class_names_come_from_the_hub_metadata(tmp_path):
    metadata = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", [picture((1, 1, 1))] * 2, [1, 0], metadata)
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", [picture((2, 2, 2))], [1], metadata)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [picture()], [1], metadata)
    found = data.load(str(tmp_path), image_size=8)
    assert found.classes == ("no", "yes")
    assert found.train.labels.tolist() == [1, 0, 1]
    assert found.train.images[:, 0, 0, 0].tolist() == [1, 1, 2]
    assert found.source == f"{tmp_path.name} (Parquet)"


def test_parquet_integers_without_names_and_a_validation_file(tmp_path):
    write_parquet(tmp_path / "train.parquet", [picture()] * 3, [20, 3, 20])
    write_parquet(tmp_path / "validation.parquet", [picture()], [3])
    found = data.load(str(tmp_path), image_size=8)
    assert found.classes == ("3", "20")
    assert found.train.labels.tolist() == [1, 0, 1]
    assert found.test.labels.tolist() == [0]
    assert "validation split as test" in found.source


def test_parquet_strings_in_a_binary_image_column_are_split(tmp_path):
    table = pa.table(
        {
            "picture": pa.array([picture()] * 10, pa.binary()),
            "kind": pa.array(["b", "a"] * 5).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "everything.parquet")
    found = data.load(str(tmp_path), image_size=8)
    assert found.classes == ("a", "b")
    assert np.bincount(found.test.labels).tolist() == [1, 1]
    assert len(found.train) == 8


def test_parquet_splits_may_be_folders(tmp_path):
    write_parquet(tmp_path / "train" / "0000.parquet", [picture()] * 2, ["a", "b"])
    write_parquet(tmp_path / "test" / "0000.parquet", [picture()], ["a"])
    assert len(data.load(str(tmp_path), image_size=8).test) == 1


def test_two_parquet_data_sets_in_one_folder_are_refused(tmp_path):
    for name in ("large", "small"):
        write_parquet(tmp_path / name / "train.parquet", [picture()] * 2, ["a", "b"])
    assert_refused("several data sets .large, small.", str(tmp_path), image_size=8)


@pytest.mark.parametrize(
    ("images", "labels", "match"),
    [
        ([picture(), None], ["a", "b"], r"train\.parquet, row 1: null image"),
        ([picture(), b"no image"], ["a", "b"], r"train\.parquet, row 1: not a readable image"),
        ([picture()] * 3, ["a", "b", None], r"train\.parquet, row 2: null label"),
        ([picture()] * 2, [-1, -1], "unlabelled"),
        ([picture()] * 2, [1, 1], "only one class"),
        ([picture()] * 2, [0.5, 1.0], "no label column among image, label"),
        ([], pa.array([], pa.int64()), "no rows"),
    ],
)
def test_wrong_parquet_rows_are_refused(tmp_path, images, labels, match):
    write_parquet(tmp_path / "train.parquet", images, labels)
    write_parquet(tmp_path / "test.parquet", [picture()], ["a"])
    assert_refused(match, str(tmp_path), image_size=8)


def test_parquet_test_labels_must_be_training_classes(tmp_path):
    write_parquet(tmp_path / "train.parquet", [picture()] * 2, [0, 1])
    write_parquet(tmp_path / "test.parquet", [picture()] * 2, [1, -1])
    assert_refused(r"test\.parquet, row 1: label -1 is none", str(tmp_path), image_size=8)


def test_parquet_class_without_a_training_image_is_refused(tmp_path):
    metadata = {"info": {"features": {"label": {"names": ["ant", "bee", "cow"]}}}}
    write_parquet(tmp_path / "train.parquet", [picture()] * 2, [0, 2], metadata)
    assert_refused("no training image of class bee", str(tmp_path), image_size=8)


def test_parquet_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1 but not really PAR1")
    assert_refused(r"train\.parquet: not a readable Parquet file", str(tmp_path))


def test_other_parquet_files_are_not_taken_for_cifar10(tmp_path):
    write_parquet(tmp_path / "train.parquet", [picture()] * 4, ["a", "b", "a", "b"])
    write_parquet(tmp_path / "test.parquet", [picture()], ["a"])
    assert_refused("not CIFAR-10 .2 classes", "cifar10", tmp_path)


# --- the cache


@pytest.fixture
def pets(tmp_path):
    folder = tmp_path / "pets"
    for split in ("train", "test"):
        for i, name in enumerate(("cat", "dog")):
            write_images(folder / split / name, 3, colour=(100 * i, 0, 0))
    return folder


def same(one, other) -> bool:
    return (
        (one.source, one.classes) == (other.source, other.classes)
        and (one.train.images == other.train.images).all()
        and (one.train.labels == other.train.labels).all()
        and (one.test.images == other.test.images).all()
    )


def test_second_load_comes_from_the_cache(pets):
    first = data.load(str(pets), image_size=8)
    (entry,) = (pets / ".cache").iterdir()
    (entry / "train_images.npy").unlink()  # `first` is mapped from it
    np.save(entry / "train_images.npy", 255 - first.train.images)  # proves where the second load reads
    second = data.load(str(pets), image_size=8)
    assert (second.train.images == 255 - first.train.images).all()
    assert type(second.train.images) is np.ndarray  # not np.memmap, which pickle would copy
    assert not second.train.images.flags.owndata


def test_changed_input_and_other_sizes_are_decoded_anew(pets):
    before = data.load(str(pets), image_size=8)
    (pets / "train" / "cat" / "0.png").write_bytes(picture((1, 2, 3)))
    after = data.load(str(pets), image_size=8)
    assert after.train.images[0, 0, 0].tolist() == [1, 2, 3] != before.train.images[0, 0, 0].tolist()
    assert data.load(str(pets), image_size=4).train.images.shape == (6, 4, 4, 3)
    (pets / "train" / "cat" / "1.png").unlink()
    assert len(data.load(str(pets), image_size=8).train) == 5


def test_damaged_cache_is_replaced(pets):
    first = data.load(str(pets), image_size=8)
    (entry,) = (pets / ".cache").iterdir()
    file = entry / "train_images.npy"
    content = file.read_bytes()
    file.unlink()  # `first` is mapped from it
    file.write_bytes(content[:200])
    assert same(data.load(str(pets), image_size=8), first)
    assert np.load(file).shape == (6, 8, 8, 3)


def test_read_only_data_use_the_users_cache(pets, user_cache):
    pets.chmod(0o555)
    try:
        first = data.load(str(pets), image_size=8)
        assert not (pets / ".cache").exists()
        assert len(list((user_cache / "vision-study").iterdir())) == 1
        assert same(data.load(str(pets), image_size=8), first)
    finally:
        pets.chmod(0o755)


def test_without_a_place_to_write_there_is_no_cache(pets, user_cache):
    (pets / ".cache").write_text("a file where the folder would be")
    user_cache.write_text("here too")
    assert len(data.load(str(pets), image_size=8).train) == 6
