"""CIFAR-10 and CIFAR-100 as their authors publish them, https://www.cs.toronto.edu/~kriz/cifar.html

Each is 50,000 training and 10,000 test images of 32x32 pixels, in pickles of numpy arrays. Read from the first of these
in the data folder's folder of the set's name or the data folder itself: the folder of batches, the archive, hub-style
Parquet files. Otherwise downloaded through torchvision.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.data import DataError
from trainables.data.download import download
from trainables.data.images import ImageData, Images, parquet

_SIDE = 32  # pixels


@dataclass(frozen=True)
class Cifar:
    """One of the two."""

    name: str  # cifar10, also that of the folder
    title: str  # CIFAR-10
    kind: str  # the class of torchvision.datasets that knows where it is and its checksum
    folder: str  # of the batches, in the archive and outside
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    label_key: str  # of a batch
    classes: tuple[str, ...]

    @property
    def archive(self) -> str:
        return f"{self.title.lower()}-python.tar.gz"

    def load(self, data_dir: Path, seed: int) -> ImageData:
        """The images at their native 32x32. Raises DataError, also if it is neither there nor can be downloaded."""
        place = self.location(data_dir) or self._download(data_dir)
        if place.name == self.folder:
            return self._from_batches(self.folder, place, lambda name: (place / name).read_bytes())
        if place.name == self.archive:
            return self._from_archive(place)
        data = parquet.read(place, image_size=_SIDE, seed=seed, name=self.name, classes=self.classes)
        if data.train.images.shape[1] != _SIDE or len(data.classes) != len(self.classes):
            raise DataError(
                f"{place}: not {self.title} ({len(data.classes)} classes, {data.train.images.shape[1]} pixels); "
                "to read other Parquet files, name their folder with --data"
            )
        return data

    def location(self, data_dir: Path) -> Path | None:
        """The batches' folder, the archive, or the folder of Parquet files."""
        loose_parquet = data_dir if any(data_dir.glob("*.parquet")) else None
        return self.location_in(data_dir / self.name) or self.location_in(data_dir) or loose_parquet

    def location_in(self, folder: Path) -> Path | None:
        """Like `location`, in this folder alone; Parquet files count if the folder is named like the set."""
        for place in (folder / self.folder, folder / self.archive):
            if place.exists():
                return place
        is_named = folder.resolve().name.lower().replace("-", "").replace("_", "") == self.name
        return folder if is_named and parquet.holds_parquet(folder) else None

    def _from_archive(self, archive: Path) -> ImageData:
        """Read the batches from the archive without extracting it, so that paths inside it can do no harm."""
        try:
            with tarfile.open(archive) as tar:

                def read_member(name: str) -> bytes:
                    member = tar.extractfile(f"{self.folder}/{name}")
                    if member is None:
                        raise KeyError(f"{name} is not a file")
                    return member.read()

                return self._from_batches(self.archive, archive, read_member)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"{archive}: broken archive ({error}); delete it to download it again") from None

    def _from_batches(self, source: str, place: Path, read: Callable[[str], bytes]) -> ImageData:
        def read_all(names: tuple[str, ...]) -> Images:
            parts = [self._read_batch(name, place, read) for name in names]
            return Images(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

        train, test = read_all(self.train_files), read_all(self.test_files)
        return ImageData(self.name, f"{self.name} ({source})", self.classes, train, test)

    def _read_batch(self, name: str, place: Path, read: Callable[[str], bytes]) -> tuple[np.ndarray, np.ndarray]:
        """((N, 32, 32, 3) uint8, (N,) int64) of one batch file."""
        try:
            content = read(name)
        except (FileNotFoundError, KeyError):
            raise DataError(f"{place}: {name} is missing; delete {place.name} to download it again") from None
        try:
            batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
            rows = np.asarray(batch["data"])
            labels = np.asarray(batch[self.label_key], dtype=np.int64)
            if rows.dtype != np.uint8 or rows.shape != (len(labels), 3 * _SIDE * _SIDE):
                raise ValueError(f"'data' is {rows.dtype} {rows.shape} for {len(labels)} labels")
            if not np.isin(labels, np.arange(len(self.classes))).all():
                raise ValueError(f"labels are not all from 0 to {len(self.classes) - 1}")
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            raise DataError(f"{place}, {name}: not a {self.title} batch ({problem}); replace it") from None
        planes = rows.reshape(-1, 3, _SIDE, _SIDE)  # (N, 3, 32, 32): one colour plane after another
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels

    def _download(self, data_dir: Path) -> Path:
        """Fetch the archive, checked against torchvision's MD5 sum."""
        from torchvision import datasets
        from torchvision.datasets.utils import download_url

        published = getattr(datasets, self.kind)
        instead = (
            f"put {self.archive}, {self.folder}/, or train*.parquet and test*.parquet there, name the folder that has "
            "them with --data-dir, or use --data digits"
        )
        download(
            data_dir,
            self.title,
            instead,
            lambda draft: download_url(published.url, draft, filename=self.archive, md5=published.tgz_md5),
        )
        return data_dir / self.archive


_ALLOWED = frozenset({("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")})


class _ArraysOnly(pickle.Unpickler):
    """The batches are pickles, which could run any code: this one only builds numpy arrays."""

    def find_class(self, module: str, name: str) -> object:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return super().find_class("numpy._core.multiarray", name)  # the files have numpy 1's name for it
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
