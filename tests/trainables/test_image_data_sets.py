"""Image data sets by name: which there are, how a wrong name is refused, and the digits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import assert_refused, write_images

from trainables.data import DataError, data_sets
from trainables.data.images import Images, sets
from trainables.data.images.loading import load_images
from trainables.image_classification.config import DataOptions
from trainables.image_classification.data import load_data

pytestmark = pytest.mark.usefixtures("user_cache")  # decoded and tokenised data are cached there


def test_every_data_set_file_is_listed() -> None:
    assert data_sets(sets) == ["cifar10", "cifar100", "digits"]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("cifar-10", "did you mean 'cifar10'.*folder"),
        ("digit", "did you mean 'digits'"),
        ("/no/such/place", "neither a data set nor a folder; valid: cifar10, cifar100, digits and 24 more; a folder"),
        ("fashion-mnist", "nor a folder in the current folder or data; did you mean 'fashion_mnist'"),
        ("food-101", "did you mean 'food101'"),
        ("flower102", "did you mean 'flowers102'"),
        ("", "neither a data set"),
        (__file__, "is a file; name the folder"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name: str, match: str) -> None:
    assert_refused(match, name)


def test_the_image_size_must_be_positive() -> None:
    assert_refused("image_size is 0", "digits", image_size=0)


def test_a_name_may_be_a_folder_inside_the_data_folder(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / "pets" / name, 5)
    assert load_images("pets", tmp_path, image_size=8).name == "pets"


def test_images_refuse_wrong_arrays() -> None:
    with pytest.raises(DataError, match="uint8"):
        Images(np.zeros((2, 4, 4, 3)), np.zeros(2, np.int64))
    with pytest.raises(DataError, match="labels must be"):
        Images(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64))


def test_digits_are_the_scans_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    loaded = load_images("digits")
    assert loaded.train.images.shape == (1438, 8, 8, 3)
    assert loaded.test.images.shape == (359, 8, 8, 3)
    assert loaded.source == "digits (scikit-learn)"
    together = np.concatenate([loaded.train.images, loaded.test.images])[..., 0]
    original = load_digits().images  # 0-16
    as_bytes = {scan.astype(np.uint8).tobytes() for scan in original}
    assert {np.round(scan / (255 / 16)).astype(np.uint8).tobytes() for scan in together} == as_bytes
    counts = np.bincount(loaded.test.labels)
    assert counts.max() - counts.min() <= 2  # 174 to 183 scans per class


def test_the_digits_are_loaded_without_importing_large_libraries() -> None:
    code = (
        "import sys; from trainables.data.images.loading import load_images; load_images('digits')\n"
        "print([name for name in ('pyarrow', 'sklearn', 'torch', 'torchvision') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_the_test_split_of_the_digits_does_not_depend_on_the_seed() -> None:
    one, other = load_images("digits", seed=1), load_images("digits", seed=2)
    assert (one.test.images == other.test.images).all()


def test_a_part_of_the_test_images_is_the_same_for_any_seed_and_is_said() -> None:
    whole = load_data("digits", Path("data"), DataOptions(), [8], seed=0)[1]
    data, part, _ = load_data("digits", Path("data"), DataOptions(test=100), [8], seed=1)
    assert data.summary.endswith("; 100 of the test images are used")
    assert np.bincount(part.labels).tolist() == [10] * 10
    assert {image.tobytes() for image in part.images} < {image.tobytes() for image in whole.images}
    again = load_data("digits", Path("data"), DataOptions(test=100 / len(whole)), [8], seed=2)[1]
    assert np.array_equal(part.images, again.images)
    with pytest.raises(DataError, match=r"^data.test: 400 of 359 test images are asked for$"):
        load_data("digits", Path("data"), DataOptions(test=400), [8], seed=0)
