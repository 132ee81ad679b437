"""CIFAR-10 and CIFAR-100 in each of their published forms: batches, archive, Parquet."""

from __future__ import annotations

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import assert_refused

from trainables.data.images import ImageData
from trainables.data.images.loading import load_images
from trainables.data.images.sets import cifar10

pytestmark = pytest.mark.usefixtures("user_cache")  # decoded and tokenised data are cached there

SHARED_CIFAR10 = Path(__file__).parents[2].parent / "shared" / "data" / "cifar10"


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    """A `cifar-10-batches-py` of 20 + 10 images, 2 and 1 per class; class c has the colour (c, 0, 255)."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    files = {f"data_batch_{i}": list(range(4 * i - 4, 4 * i)) for i in range(1, 6)}
    for name, numbers in (files | {"test_batch": list(range(10))}).items():
        labels = [number % 10 for number in numbers]
        planes = np.zeros((len(labels), 3, 1024), np.uint8)
        planes[:, 0] = np.array(labels)[:, None]
        planes[:, 2] = 255
        batch = {"data": planes.reshape(len(labels), 3072), "labels": labels, "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def assert_tiny_cifar10(loaded: ImageData, source: str) -> None:
    assert loaded.source == f"cifar10 ({source})"
    assert loaded.classes[:2] == ("airplane", "automobile")
    assert loaded.train.images.shape == (20, 32, 32, 3)
    assert loaded.train.labels.tolist() == [*range(10), *range(10)]
    assert loaded.train.images[3, 5, 7].tolist() == [3, 0, 255]
    assert loaded.test.labels.tolist() == list(range(10))


def test_cifar10_batches(batches: Path, tmp_path: Path) -> None:
    assert_tiny_cifar10(load_images("cifar10", tmp_path), "cifar-10-batches-py")
    assert_tiny_cifar10(load_images(str(tmp_path)), "cifar-10-batches-py")


def test_cifar10_archive_is_read_without_extracting_it(batches: Path, tmp_path: Path) -> None:
    home = tmp_path / "home" / "cifar10"
    home.mkdir(parents=True)
    with tarfile.open(home / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(batches, arcname=batches.name)
    assert_tiny_cifar10(load_images("cifar10", tmp_path / "home"), "cifar-10-python.tar.gz")
    assert [path.name for path in home.iterdir()] == ["cifar-10-python.tar.gz"]


def test_cifar10_archive_cut_short(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8b\x08\x00 cut short")
    assert_refused("broken archive.*delete it", "cifar10", tmp_path)


def test_cifar10_missing_batch(batches: Path, tmp_path: Path) -> None:
    (batches / "data_batch_3").unlink()
    assert_refused("data_batch_3 is missing", "cifar10", tmp_path)


def test_cifar10_batch_of_another_shape(batches: Path, tmp_path: Path) -> None:
    (batches / "data_batch_2").write_bytes(pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [1, 2]}))
    assert_refused("data_batch_2: not a CIFAR-10 batch.*2, 5", "cifar10", tmp_path)


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.target,))


def test_cifar10_pickles_cannot_run_code(batches: Path, tmp_path: Path) -> None:
    attack = Attack(tmp_path / "executed")
    (batches / "test_batch").write_bytes(pickle.dumps({"data": attack, "labels": []}))
    assert_refused("test_batch: not a CIFAR-10 batch.*which no array needs", "cifar10", tmp_path)
    assert not attack.target.exists()


def test_numpy_1_pickles_are_read(batches: Path, tmp_path: Path) -> None:
    """The published files have the module names of numpy 1."""
    for file in batches.iterdir():
        old = file.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
        assert b"numpy.core.multiarray" in old
        file.write_bytes(old)
    assert_tiny_cifar10(load_images("cifar10", tmp_path), "cifar-10-batches-py")


def test_cifar10_without_a_network_names_the_alternatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there: refused at once
    assert_refused("could not be downloaded.*cifar-10-python.tar.gz.*--data-dir.*--data digits", "cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def write_cifar100(folder: Path, labels: list[int]) -> None:
    """Images of class c have the colour (c, 0, 255); the coarse label is another one."""
    folder.mkdir(parents=True)
    planes = np.zeros((len(labels), 3, 1024), np.uint8)
    planes[:, 0], planes[:, 2] = np.array(labels)[:, None], 255
    batch = {"data": planes.reshape(-1, 3072), "fine_labels": labels, "coarse_labels": [0] * len(labels)}
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


def test_cifar100_has_its_fine_classes_from_batches_and_archive(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "cifar-100-python", [3, 99, 0])
    home = tmp_path / "home"
    home.mkdir()
    with tarfile.open(home / "cifar-100-python.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "cifar-100-python", arcname="cifar-100-python")
    for name, data_dir in (("cifar100", tmp_path), (str(tmp_path), Path()), ("cifar100", home)):
        loaded = load_images(name, data_dir)
        assert loaded.name == "cifar100" and len(loaded.classes) == 100
        assert [loaded.classes[label] for label in loaded.train.labels] == ["bear", "worm", "apple"]
        assert loaded.test.images[1, 5, 7].tolist() == [99, 0, 255]


def test_cifar100_refuses_the_batches_of_cifar10_and_code(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "cifar-100-python", [3, 100])
    assert_refused("labels are not all from 0 to 99", "cifar100", tmp_path)
    attack = Attack(tmp_path / "executed")
    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps({"data": attack, "fine_labels": []}))
    assert_refused("train: not a CIFAR-100 batch.*which no array needs", "cifar100", tmp_path)
    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps({"data": [], "labels": []}))
    assert_refused("train: not a CIFAR-100 batch .KeyError: 'fine_labels'", "cifar100", tmp_path)
    assert not attack.target.exists()


@pytest.mark.skipif(not SHARED_CIFAR10.is_dir(), reason="the shared CIFAR-10 files are not on this machine")
def test_real_cifar10_parquet(tmp_path: Path) -> None:
    """The first 600 and 300 rows of the real files, under both names that a user may give."""
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for split, rows in (("train", 600), ("test", 300)):
        (file,) = SHARED_CIFAR10.glob(f"{split}*.parquet")
        rows_read = next(pq.ParquetFile(file).iter_batches(rows))
        pq.write_table(pa.Table.from_batches([rows_read]), folder / file.name)
    for loaded in (load_images("cifar10", tmp_path), load_images(str(folder), image_size=224)):
        assert loaded.source == "cifar10 (Parquet)"
        assert loaded.classes == cifar10.CLASSES
        assert loaded.train.images.shape == (600, 32, 32, 3)
        assert loaded.test.images.shape == (300, 32, 32, 3)
        assert loaded.train.labels[:5].tolist() == [1, 1, 6, 0, 4]
        assert 100 < loaded.train.images.mean() < 140
