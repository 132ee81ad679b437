"""The sets of torchvision as it lays them out after a download, each with a few images of its own."""

from __future__ import annotations

import bz2
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from image_files import picture
from scipy.io import savemat

NUMBERS = itertools.count()
FLOWERS = {"label": "imagelabels", "setid": "setid"}
STL10 = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")


def images(paths: Iterable[Path], size: tuple[int, int] = (20, 12)) -> None:
    """An image per path, of another colour than the 29 before."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        form = {".ppm": "PPM", ".png": "PNG"}.get(path.suffix, "JPEG")
        path.write_bytes(picture((200, 30, 8 * (next(NUMBERS) % 30)), size, form))


def lines(path: Path, content: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in content))


def tree(root: Path, classes: Iterable[str], count: int, end: str = "jpg", stem: str = "image_{:04}") -> None:
    images(root / name / f"{stem.format(i + 1)}.{end}" for name in classes for i in range(count))


def caltech101(root: Path) -> None:
    tree(root / "caltech101" / "101_ObjectCategories", ["ant", "bee", "BACKGROUND_Google"], 5)


def caltech256(root: Path) -> None:
    for number, name in enumerate(("001.ant", "002.bee"), start=1):
        tree(root / "caltech256" / "256_ObjectCategories", [name], 5, stem=f"{number:03}_{{:04}}")


def country211(root: Path) -> None:
    for split, count in (("train", 3), ("valid", 2), ("test", 2)):
        tree(root / "country211" / split, ["AD", "AE"], count)


def dtd(root: Path) -> None:
    folder = root / "dtd" / "dtd"
    names = [f"{name}/{name}_{i}.jpg" for i in range(7) for name in ("banded", "dotted")]
    images(folder / "images" / name for name in names)
    for split, part in (("train", names[:6]), ("val", names[6:10]), ("test", names[10:])):
        lines(folder / "labels" / f"{split}1.txt", part)


def eurosat(root: Path) -> None:
    tree(root / "eurosat" / "2750", ["Forest", "River"], 5)


def fgvc_aircraft(root: Path) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    lines(data / "variants.txt", ["707-320", "A300 B4"])
    images(data / "images" / f"{number}.jpg" for number in range(14))
    for split, numbers in (("trainval", range(10)), ("test", range(10, 14))):
        labelled = (f"{number} {('707-320', 'A300 B4')[number % 2]}" for number in numbers)
        lines(data / f"images_variant_{split}.txt", labelled)


def flowers102(root: Path) -> None:
    folder = root / "flowers-102"
    images(folder / "jpg" / f"image_{number:05}.jpg" for number in range(1, 15))
    savemat(folder / "imagelabels.mat", {"labels": np.arange(14) % 2 + 1})
    savemat(folder / "setid.mat", {"trnid": np.arange(1, 7), "valid": np.arange(7, 11), "tstid": np.arange(11, 15)})


def food101(root: Path) -> None:
    folder = root / "food-101"
    for split, count in (("train", 5), ("test", 2)):
        names = {name: [f"{name}/{split}{i}" for i in range(count)] for name in ("pie", "soup")}
        images(folder / "images" / f"{path}.jpg" for paths in names.values() for path in paths)
        lines(folder / "meta" / f"{split}.json", [json.dumps(names)])


def gtsrb(root: Path) -> None:
    folder = root / "gtsrb" / "GTSRB"
    tree(folder / "Training", ["00000", "00001"], 5, "ppm")
    images(folder / "Final_Test" / "Images" / f"{i:05}.ppm" for i in range(4))
    lines(root / "gtsrb" / "GT-final_test.csv", ["Filename;ClassId", *(f"{i:05}.ppm;{i % 2}" for i in range(4))])


def imagenette(root: Path) -> None:
    for split, count in (("train", 5), ("val", 2)):
        tree(root / "imagenette2" / split, ["n01440764", "n02102040"], count, "jpeg")


def oxford_pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    names = [f"{('Abyssinian', 'yorkshire_terrier')[i % 2]}_{i}" for i in range(14)]
    images(folder / "images" / f"{name}.jpg" for name in names)
    rows = [f"{name} {i % 2 + 1} {i % 2 + 1} 1" for i, name in enumerate(names)]
    lines(folder / "annotations" / "trainval.txt", rows[:10])
    lines(folder / "annotations" / "test.txt", rows[10:])


def rendered_sst2(root: Path) -> None:
    for split, count in (("train", 3), ("valid", 2), ("test", 2)):
        tree(root / "rendered-sst2" / split, ["negative", "positive"], count, "png")


def stanford_cars(root: Path) -> None:
    folder = root / "stanford_cars"
    devkit = folder / "devkit"
    devkit.mkdir(parents=True)
    savemat(devkit / "cars_meta.mat", {"class_names": np.array(["Audi TT", "BMW M3"], dtype=object)})
    for split, count, path in (
        ("train", 10, devkit / "cars_train_annos.mat"),
        ("test", 4, folder / "cars_test_annos_withlabels.mat"),
    ):
        images(folder / f"cars_{split}" / f"{i:05}.jpg" for i in range(count))
        rows = np.array([(f"{i:05}.jpg", i % 2 + 1) for i in range(count)], dtype=[("fname", "O"), ("class", "i8")])
        savemat(path, {"annotations": rows})


def sun397(root: Path) -> None:
    lines(root / "SUN397" / "ClassName.txt", ["/a/abbey", "/b/bar/indoor"])
    for name in ("a/abbey", "b/bar/indoor"):
        images(root / "SUN397" / name / f"sun_{i}.jpg" for i in range(5))


FILES: dict[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (
        caltech101, caltech256, country211, dtd, eurosat, fgvc_aircraft, flowers102, food101, gtsrb, imagenette,
        oxford_pets, rendered_sst2, stanford_cars, sun397,
    )
}  # fmt: skip


def greys(count: int, side: int) -> np.ndarray:
    """(N, S, S): image i has the grey 10 i in its upper half, and 0 below."""
    pixels = np.zeros((count, side, side), np.uint8)
    pixels[:, : side // 2] = 10 * np.arange(count)[:, None, None]
    return pixels


def usps(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, count in (("usps.bz2", 20), ("usps.t.bz2", 10)):
        values = greys(count, 16).reshape(count, -1) / 255 * 2 - 1 + 1e-4
        rows = (f"{i % 10 + 1} " + " ".join(f"{j}:{v:.5f}" for j, v in enumerate(row)) for i, row in enumerate(values))
        (root / name).write_bytes(bz2.compress("\n".join(rows).encode()))


def semeion(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    digits = np.eye(10)[np.arange(20) % 10]
    pixels = (np.arange(256)[None] < 12 * np.arange(1, 21)[:, None]).astype(float)
    np.savetxt(root / "semeion.data", np.concatenate([pixels, digits], axis=1), fmt="%.4f")


def svhn(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 20), ("test", 10)):
        colours = np.repeat(greys(count, 32)[..., None], 3, axis=3)
        labels = np.where(np.arange(count) % 10 == 0, 10, np.arange(count) % 10)[:, None]
        savemat(root / f"{split}_32x32.mat", {"X": colours.transpose(1, 2, 3, 0), "y": labels.astype(np.uint8)})


def stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    lines(folder / "class_names.txt", "airplane bird car cat deer dog horse monkey ship truck".split())  # noqa: SIM905
    (folder / "unlabeled_X.bin").write_bytes(b"")
    for split, count in (("train", 20), ("test", 10)):
        planes = np.repeat(greys(count, 96)[:, None], 3, axis=1).transpose(0, 1, 3, 2)  # column by column
        (folder / f"{split}_X.bin").write_bytes(planes.tobytes())
        (folder / f"{split}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())


ARRAYS: dict[str, Callable[[Path], None]] = {each.__name__: each for each in (semeion, stl10, svhn, usps)}


def own_checksums(root: Path) -> dict[str, dict[str, object]]:
    """Class of torchvision -> attributes that hold the checksums of published files, with those of the files here."""

    def md5(name: str) -> str:
        path = root / name
        return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else ""

    flowers = {key: (f"{name}.mat", md5(f"flowers-102/{name}.mat")) for key, name in FLOWERS.items()}
    stl10 = {name: md5(f"stl10_binary/{name}") for name in (*STL10, "unlabeled_X.bin")}
    return {
        "Flowers102": {"_file_dict": flowers},
        "SEMEION": {"md5_checksum": md5("semeion.data")},
        "STL10": {
            "train_list": [[name, stl10[name]] for name in (*STL10[:2], "unlabeled_X.bin")],
            "test_list": [[name, stl10[name]] for name in STL10[2:]],
        },
        "SVHN": {
            "split_list": {split: ["", f"{split}_32x32.mat", md5(f"{split}_32x32.mat")] for split in ("train", "test")}
        },
    }
