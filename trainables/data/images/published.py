"""The classification sets that torchvision knows, one per line; `--data` takes their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of its package dataset-fashion-mnist
_DIGITS = tuple("0123456789")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")  # upper and lower case are one class where they look alike


@dataclass(frozen=True)
class Published:
    """One set. Its files lie in the data folder's folder of this name, or in the data folder itself, as torchvision has them.

    Validation images that come beside test images are training images here: a study takes its own validation split.
    """

    kind: str  # the class of torchvision.datasets
    layout: str  # a file or folder that is there where the set is
    train: tuple[str, ...] = ()  # its splits; () for a set that comes in one piece
    test: str = ""
    classes: tuple[str, ...] = ()  # their names where torchvision does not say them
    options: dict[str, str] = field(default_factory=dict)  # of the class


@dataclass(frozen=True)
class PublishedIdx(Published):
    """A set of IDX files, which may lie in the folders without those that torchvision puts around them."""

    prefix: str = ""  # of the files' names
    elsewhere: tuple[Path, ...] = ()  # where a system's package puts them


_TWO = (("train",), "test")
_THREE = (("train", "val"), "test")

SETS: dict[str, Published] = {
    "caltech101": Published("Caltech101", "caltech101/101_ObjectCategories"),
    "caltech256": Published("Caltech256", "caltech256/256_ObjectCategories"),
    "country211": Published("Country211", "country211/train", ("train", "valid"), "test"),
    "dtd": Published("DTD", "dtd/dtd", *_THREE),
    "emnist": PublishedIdx(
        "EMNIST", "EMNIST/raw", *_TWO, _DIGITS + _LETTERS, {"split": "balanced"}, prefix="emnist-balanced-"
    ),
    "eurosat": Published("EuroSAT", "eurosat/2750"),
    "fashion_mnist": PublishedIdx("FashionMNIST", "FashionMNIST/raw", *_TWO, FASHION, elsewhere=(DEBIAN,)),
    "fgvc_aircraft": Published("FGVCAircraft", "fgvc-aircraft-2013b", ("trainval",), "test"),
    "flowers102": Published("Flowers102", "flowers-102", *_THREE),
    "food101": Published("Food101", "food-101", *_TWO),
    "gtsrb": Published("GTSRB", "gtsrb/GTSRB", *_TWO),
    "imagenette": Published("Imagenette", "imagenette2", ("train",), "val"),
    "kmnist": PublishedIdx("KMNIST", "KMNIST/raw", *_TWO, _KANA),
    "mnist": PublishedIdx("MNIST", "MNIST/raw", *_TWO, _DIGITS),
    "oxford_pets": Published("OxfordIIITPet", "oxford-iiit-pet", ("trainval",), "test"),
    "pcam": Published("PCAM", "pcam/camelyonpatch_level_2_split_train_x.h5", *_THREE, ("no tumour", "tumour")),
    "qmnist": PublishedIdx("QMNIST", "QMNIST/raw", *_TWO, _DIGITS, prefix="qmnist-"),
    "rendered_sst2": Published("RenderedSST2", "rendered-sst2", *_THREE),
    "semeion": Published("SEMEION", "semeion.data", classes=_DIGITS),
    "stanford_cars": Published("StanfordCars", "stanford_cars/devkit", *_TWO),
    "stl10": Published("STL10", "stl10_binary", *_TWO),
    "sun397": Published("SUN397", "SUN397"),
    "svhn": Published("SVHN", "train_32x32.mat", *_TWO, _DIGITS),
    "usps": Published("USPS", "usps.bz2", *_TWO, _DIGITS),
}
