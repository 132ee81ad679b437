"""The cache of decoded images: when it is used, when it is not, and where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import picture, write_images

from trainables.data.images import ImageData
from trainables.data.images.loading import load_images

pytestmark = pytest.mark.usefixtures("user_cache")  # decoded and tokenised data are cached there


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for split in ("train", "test"):
        for i, name in enumerate(("cat", "dog")):
            write_images(folder / split / name, 3, colour=(100 * i, 0, 0))
    return folder


def same(one: ImageData, other: ImageData) -> bool:
    return (
        (one.source, one.classes) == (other.source, other.classes)
        and (one.train.images == other.train.images).all()
        and (one.train.labels == other.train.labels).all()
        and (one.test.images == other.test.images).all()
    )


def test_the_second_load_comes_from_the_cache(pets: Path) -> None:
    first = load_images(str(pets), image_size=8)
    (entry,) = (pets / ".cache").iterdir()
    (entry / "train_images.npy").unlink()  # `first` is mapped from it
    np.save(entry / "train_images.npy", 255 - first.train.images)  # shows where the second load reads
    second = load_images(str(pets), image_size=8)
    assert (second.train.images == 255 - first.train.images).all()
    assert type(second.train.images) is np.ndarray  # not np.memmap, which pickle would copy
    assert not second.train.images.flags.owndata


def test_changed_input_and_other_sizes_are_decoded_again(pets: Path) -> None:
    before = load_images(str(pets), image_size=8)
    (pets / "train" / "cat" / "0.png").write_bytes(picture((1, 2, 3)))
    after = load_images(str(pets), image_size=8)
    assert after.train.images[0, 0, 0].tolist() == [1, 2, 3] != before.train.images[0, 0, 0].tolist()
    assert load_images(str(pets), image_size=4).train.images.shape == (6, 4, 4, 3)
    (pets / "train" / "cat" / "1.png").unlink()
    assert len(load_images(str(pets), image_size=8).train) == 5


@pytest.mark.parametrize("bytes_left", [0, 200])
def test_a_damaged_cache_is_replaced(pets: Path, bytes_left: int) -> None:
    first = load_images(str(pets), image_size=8)
    (entry,) = (pets / ".cache").iterdir()
    file = entry / "train_images.npy"
    content = file.read_bytes()
    file.unlink()  # `first` is mapped from it
    file.write_bytes(content[:bytes_left])
    assert same(load_images(str(pets), image_size=8), first)
    assert np.load(file).shape == (6, 8, 8, 3)


def test_read_only_data_are_cached_in_the_users_folder(pets: Path, user_cache: Path) -> None:
    pets.chmod(0o555)
    try:
        first = load_images(str(pets), image_size=8)
        assert not (pets / ".cache").exists()
        assert len(list((user_cache / "vision-study").iterdir())) == 1
        assert same(load_images(str(pets), image_size=8), first)
    finally:
        pets.chmod(0o755)


def test_nothing_is_cached_without_a_writable_folder(pets: Path, user_cache: Path) -> None:
    (pets / ".cache").write_text("a file where the folder would be")
    user_cache.write_text("here too")
    assert len(load_images(str(pets), image_size=8).train) == 6
