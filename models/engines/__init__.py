"""What a trained image classifier is deployed with: the name of an engine is the name of a file in this folder.

    NAME.py       one engine: the names that such a file has are those of `Engine`, and of `Portable` if it writes files
    conversion/   from a network of torch's to what other engines read

Importing this package imports neither torch nor an engine; `Portable` engines load and run without torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from models import Triple
from record.errors import UserError, nearest, one_line

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

EAGER = "torch"
INPUT, OUTPUT = "images", "logits"  # of the files of engines
CALIBRATION_IMAGES = (
    300  # training images, at most, that engines of whole numbers are calibrated on; NNCF's own default
)
CHECKED_IMAGES = 256  # at most, on which a trained network is compared with eager float32
EXTRA = "pip install 'vision-study[runtimes]'"


class EngineError(UserError):
    """An engine is unknown or not installed, cannot run a network, or computes something else; one line."""


@dataclass(frozen=True)
class Source:
    """The images that an engine gets, and what the network makes of them: models/inputs/preprocessing.py."""

    height: int
    width: int
    size: int  # side that they are resized to
    mean: Triple
    std: Triple


class Classifier:
    """A trained network and its images, for engines to compile. Its graph, which several of them convert, is made once, so a
    network that was trained further needs another of these."""

    def __init__(self, network: nn.Module, source: Source) -> None:
        self.network, self.source = network, source

    @cached_property
    def graph(self) -> ExportedProgram:
        """From INPUT, uint8 (B, height, width, 3), to OUTPUT, float32 (B, classes), for any B. Raises EngineError."""
        from models.engines.conversion.graph import export  # imports torch

        return export(self.network, self.source)


class Runner(Protocol):
    """A network, ready to classify images as they are stored. Its threads rest between calls: engines are timed in turns."""

    dtype: str  # float32, bfloat16 or int8: what most of it computes in

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, height, width, 3) uint8, any B -> logits (B, classes) float32."""


class SavedRunner(Runner, Protocol):
    def save(self, folder: Path) -> None:
        """Write the files of the engine into a folder that exists."""


class Engine(Protocol):
    """The names that every file here has."""

    @property
    def DEVICES(self) -> tuple[str, ...]:
        """Types of torch's devices that it computes on; of these it takes the one that holds the network."""

    @property
    def PACKAGES(self) -> tuple[str, ...]:
        """Packages of the extra that it needs, in the order in which a missing one is named."""

    def compile(
        self, classifier: Classifier, *, threads: int, calibration: np.ndarray | None, bfloat16: bool
    ) -> Runner:
        """The network, which is left as it is, ready to run on the CPU with this many threads.

        calibration: TRAINING images (N, height, width, 3) uint8, for engines that compute in whole numbers; the others
        ignore them. bfloat16: compute in it if engine and hardware do. Raises EngineError.
        """


@runtime_checkable
class Portable(Protocol):
    """An engine with files of its own, preprocessing included. Its `compile` returns a `SavedRunner`."""

    FILES: tuple[str, ...]

    def load(self, folder: Path, *, threads: int, bfloat16: bool) -> Runner:
        """What `SavedRunner.save` wrote. Raises EngineError."""


class Difference(NamedTuple):
    """How far the answers of two runners are apart."""

    largest: float  # difference of two logits
    equal: float  # share of images with the same most likely class
    images: int

    def __str__(self) -> str:
        return (
            f"same class on {self.equal:.2%} of {self.images} images, logits differ by up to {self.largest:.1e} from "
            "float32 PyTorch"
        )


class Bound(NamedTuple):
    """What a `Difference` may be."""

    largest: float
    equal: float

    def holds(self, difference: Difference) -> bool:
        return difference.largest <= self.largest and difference.equal >= self.equal


# Fewer bits change answers where two classes are nearly equally likely. Their bounds tell that from a broken conversion;
# whether the accuracy suffices must be measured on labelled images.
BOUNDS = {
    "float32": Bound(1e-3, 0.999),
    "bfloat16": Bound(float("inf"), 0.97),
    "int8": Bound(float("inf"), 0.9),
}


def available() -> list[str]:
    """Names of the engines: the files here, sorted. Whether their packages are installed shows when they are used."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def find(name: str) -> Engine:
    """The engine of this name. Raises EngineError, naming the nearest ones, for an unknown name."""
    if name not in available():
        raise EngineError(f"unknown engine '{name}'; {nearest(name, available())}")
    return cast(Engine, importlib.import_module(f"{__name__}.{name}"))


def check_installed(name: str) -> None:
    """Raise EngineError where a package of this engine is missing; none of them is imported."""
    for package in find(name).PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise _not_installed(name, package)


def _not_installed(engine: str, package: str | None) -> EngineError:
    return EngineError(f"engine {engine} needs the package {package}, which is not installed: {EXTRA}")


@contextmanager
def packages_of(engine: str) -> Iterator[None]:
    """Inside, a package that is not installed is an EngineError that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise _not_installed(engine, error.name) from None


def unreadable(path: Path, error: Exception) -> EngineError:
    """The error of a file, written by `save`, that an engine does not read."""
    return EngineError(f"{path} cannot be read ({one_line(error)}); export the model again")


def compare(reference: Runner, runner: Runner, images: np.ndarray, batch: int = 64) -> Difference:
    """The answers of `runner` against those of `reference`, on images (N, height, width, 3) uint8."""
    largest, equal = 0.0, 0
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        expected, actual = reference(some), runner(some)
        # A logit that is not a number makes the difference infinite: nothing compares with it.
        largest = max(largest, float(np.nan_to_num(np.abs(expected - actual), nan=np.inf).max()))
        equal += int((expected.argmax(1) == actual.argmax(1)).sum())
    return Difference(largest, equal / len(images), len(images))


def spread(images: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` of the images, evenly spread."""
    return images[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)]


def check(name: str, reference: Runner, runner: Runner, images: np.ndarray) -> Difference:
    """`compare`, with the eager engine in float32 as reference. Raises EngineError where BOUNDS do not hold."""
    difference, bound = compare(reference, runner, images), BOUNDS[runner.dtype]
    if not bound.holds(difference):
        limit = "" if bound.largest == float("inf") else f" and logits within {bound.largest:g}"
        raise EngineError(
            f"engine {name} ({runner.dtype}) is refused: {difference}; needed are {bound.equal:.1%}{limit}"
        )
    return difference
