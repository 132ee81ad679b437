"""CIFAR-10: 50,000 training and 10,000 test images, 32x32 pixels, https://www.cs.toronto.edu/~kriz/cifar.html

Read from the first of these in the data folder's `cifar10` folder or the data folder itself:
`cifar-10-batches-py`, `cifar-10-python.tar.gz`, hub-style Parquet files. Otherwise downloaded through
torchvision.
"""

from __future__ import annotations

import io
import pickle
import socket
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from record.folder import missing_folders, remove_empty
from trainables.data import DataError
from trainables.data.images import ImageData, Images, parquet

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_FOLDER = "cifar-10-batches-py"
_ARCHIVE = "cifar-10-python.tar.gz"
_TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST_FILES = ("test_batch",)
_SIDE = 32  # pixels
_TIMEOUT_SECONDS = 10.0


def load(data_dir: Path, image_size: int, seed: int) -> ImageData:
    """CIFAR-10 at its native 32x32. Raises DataError, also if it is neither there nor can be downloaded."""
    place = location(data_dir) or _download(data_dir)
    if place.name == _FOLDER:
        return _from_batches(_FOLDER, place, lambda name: (place / name).read_bytes())
    if place.name == _ARCHIVE:
        return _from_archive(place)
    data = parquet.read(place, image_size=_SIDE, seed=seed, name="cifar10", classes=CLASSES)
    if data.train.images.shape[1] != _SIDE or len(data.classes) != len(CLASSES):
        raise DataError(
            f"{place}: not CIFAR-10 ({len(data.classes)} classes, {data.train.images.shape[1]} pixels); "
            "to read other Parquet files, name their folder with --data"
        )
    return data


def location(data_dir: Path) -> Path | None:
    """The batches' folder, the archive, or the folder of Parquet files."""
    loose_parquet = data_dir if any(data_dir.glob("*.parquet")) else None
    return location_in(data_dir / "cifar10") or location_in(data_dir) or loose_parquet


def location_in(folder: Path) -> Path | None:
    """Like `location`, in this folder alone; Parquet files count if the folder is named like CIFAR-10."""
    for place in (folder / _FOLDER, folder / _ARCHIVE):
        if place.exists():
            return place
    is_cifar10 = folder.resolve().name.lower().replace("-", "").replace("_", "") == "cifar10"
    return folder if is_cifar10 and parquet.holds_parquet(folder) else None


def _from_archive(archive: Path) -> ImageData:
    """Read the batches from the archive without extracting it, so that paths inside it can do no harm."""
    try:
        with tarfile.open(archive) as tar:

            def read_member(name: str) -> bytes:
                member = tar.extractfile(f"{_FOLDER}/{name}")
                if member is None:
                    raise KeyError(f"{name} is not a file")
                return member.read()

            return _from_batches(_ARCHIVE, archive, read_member)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: broken archive ({error}); delete it to download it again") from None


def _from_batches(source: str, place: Path, read: Callable[[str], bytes]) -> ImageData:
    def read_all(names: tuple[str, ...]) -> Images:
        parts = [_read_batch(name, place, read) for name in names]
        return Images(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    return ImageData("cifar10", f"cifar10 ({source})", CLASSES, read_all(_TRAIN_FILES), read_all(_TEST_FILES))


def _read_batch(name: str, place: Path, read: Callable[[str], bytes]) -> tuple[np.ndarray, np.ndarray]:
    """((N, 32, 32, 3) uint8, (N,) int64) of one batch file."""
    try:
        content = read(name)
    except (FileNotFoundError, KeyError):
        raise DataError(f"{place}: {name} is missing; delete {place.name} to download it again") from None
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        rows = np.asarray(batch["data"])
        labels = np.asarray(batch["labels"], dtype=np.int64)
        if rows.dtype != np.uint8 or rows.shape != (len(labels), 3 * _SIDE * _SIDE):
            raise ValueError(f"'data' is {rows.dtype} {rows.shape} for {len(labels)} labels")
        if not np.isin(labels, np.arange(len(CLASSES))).all():
            raise ValueError("labels are not all from 0 to 9")
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise DataError(f"{place}, {name}: not a CIFAR-10 batch ({problem}); replace it") from None
    planes = rows.reshape(-1, 3, _SIDE, _SIDE)  # (N, 3, 32, 32): one colour plane after another
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


_ALLOWED = frozenset({("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")})


class _ArraysOnly(pickle.Unpickler):
    """The batches are pickles, which could run any code: this one only builds numpy arrays."""

    def find_class(self, module: str, name: str) -> object:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return super().find_class("numpy._core.multiarray", name)  # the files have numpy 1's name for it
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")


def _download(data_dir: Path) -> Path:
    """Fetch the archive, checked against torchvision's MD5 sum; an interrupted download leaves nothing behind."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url

    archive = data_dir / _ARCHIVE
    default_timeout, absent = socket.getdefaulttimeout(), missing_folders(data_dir)
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)  # torchvision sets none: without a network it could hang
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="downloading-", dir=data_dir) as draft:
            download_url(CIFAR10.url, draft, filename=_ARCHIVE, md5=CIFAR10.tgz_md5)
            (Path(draft) / _ARCHIVE).rename(archive)
    except (OSError, RuntimeError) as error:
        remove_empty(absent)
        # URLError is an OSError; a wrong MD5 sum is a RuntimeError.
        raise DataError(
            f"CIFAR-10 is not in {data_dir} and could not be downloaded ({error}): put {_ARCHIVE}, "
            f"{_FOLDER}/, or train*.parquet and test*.parquet there, name the folder that has them with "
            "--data-dir, or use --data digits"
        ) from None
    finally:
        socket.setdefaulttimeout(default_timeout)
    return archive
