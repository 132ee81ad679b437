"""An image classifier in the engines that it may be deployed with: compiled, compared with eager PyTorch, timed, tested.

The caller ensures that nothing else runs while something is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast

import numpy as np
import torch

from models import engines
from models.engines import EAGER, Classifier, EngineError, Portable, Runner, SavedRunner, Source
from record import contents
from record.errors import one_line
from record.figures import COMPILE_SECONDS, REFUSED
from record.folder import StudyFolder
from trainables import latency, timing
from trainables.data.images import Images
from trainables.image_classification.config import Config
from trainables.image_classification.loop import EVAL_BATCH, Loop
from trainables.image_classification.profile import INFERENCE_BATCHES, loop_on_noise
from trainables.pace import Yardstick
from trainables.task import Figures, Settings
from trainables.timing import Throughput

CHOICE_SECONDS = 0.5  # of each batch size between which the best one is chosen
SECONDS = 1.5  # for the last timing of an engine at its best batch


def time_engines(
    config: Config,
    model: str,
    options: Settings,
    device: torch.device,
    shape: Mapping[str, int],
    names: Sequence[str],
    yardstick: Yardstick,
    latency_seconds: float = latency.SECONDS,
) -> Callable[[], dict[str, Figures]]:
    """Compile one model of random weights with each engine; the call that times them, in turns, on random images.

    Images start in main memory, where logits end: what a GPU has to fetch is part of its time.
    """
    loop = loop_on_noise(config, model, options, device, shape)
    images = loop.data.train.images
    compiled = compiler(loop, images)
    runners: dict[str, Runner] = {}
    took: dict[str, float] = {}
    refused: dict[str, Figures] = {}
    for name in names:
        try:
            start = time.perf_counter()
            runners[name] = compiled(name)
            runners[name](images)  # torch_compile compiles in the first call
            took[name] = time.perf_counter() - start
            _rehearse(name, runners[name], compiled, images)
        except Exception as error:
            if name == EAGER:
                raise
            refused[name] = {REFUSED: reason(name, error)}
            runners.pop(name, None)
    return partial(_time, loop, runners, took, refused, images, yardstick, latency_seconds)


def evaluate_engines(
    loop: Loop, test: Images, folder: StudyFolder, trial: str, names: Sequence[str]
) -> dict[str, Figures]:
    """Classify the validation and test images with the trained network in each engine: its figures, or why it is refused.

    Predictions lie beside those of `Loop.test`, which comes first. Each engine is compared with float32 on validation
    images, and whole numbers are calibrated on images of the trial's own training subset. `equal_classes` is the share of
    the test images that get the same class as with eager PyTorch.
    """
    eager = contents.read_predictions(folder.predictions(trial))
    calibration = loop.data.train.images[loop.indices[: engines.CALIBRATION_IMAGES]]
    checked = engines.spread(loop.data.validation.images, engines.CHECKED_IMAGES)
    compiled = compiler(loop, calibration)
    exact = compiled(EAGER, bfloat16=False)
    rows: dict[str, Figures] = {EAGER: {"dtype": "bfloat16" if loop.uses_bfloat16 else "float32"}}
    for name in names:
        try:
            runner = compiled(name)
            engines.check(name, exact, runner, checked)
            validated, predictions = (_classify(runner, each.images) for each in (loop.data.validation, test))
        except Exception as error:  # an engine's failure is not the trial's
            rows[name] = {REFUSED: reason(name, error)}
            continue
        contents.write_predictions(folder.predictions(trial, name), predictions)
        rows[name] = {
            "dtype": runner.dtype,
            "val_accuracy": float((validated == loop.data.validation.labels).mean()),
            "test_accuracy": float((predictions == test.labels).mean()),
            "equal_classes": None if eager is None else float((predictions == eager).mean()),
        }
    return rows


def _classify(runner: Runner, images: np.ndarray) -> np.ndarray:
    """(N, height, width, 3) uint8 -> (N,) classes."""
    parts = range(0, len(images), EVAL_BATCH)
    return np.concatenate([runner(np.array(images[i : i + EVAL_BATCH])).argmax(1) for i in parts])


class Compiler(Protocol):
    def __call__(self, name: str, bfloat16: bool | None = None) -> Runner:
        """The network in the engine of this name; bfloat16: as the config says by default. Raises EngineError, and whatever the
        engine raises."""


def compiler(loop: Loop, calibration: np.ndarray) -> Compiler:
    """For the loop's network as it is now, with torch's threads. calibration: training images (N, height, width, 3)."""
    height, width = loop.data.train.images.shape[1:3]
    (r, g, b), (r_std, g_std, b_std) = loop.mean.tolist(), loop.std.tolist()
    source = Source(height, width, loop.image_size, (r, g, b), (r_std, g_std, b_std))
    classifier = Classifier(loop.model, source)

    def compiled(name: str, bfloat16: bool | None = None) -> Runner:
        return engines.find(name).compile(
            classifier,
            threads=torch.get_num_threads(),
            calibration=calibration,
            bfloat16=loop.config.bfloat16 if bfloat16 is None else bfloat16,
        )

    return compiled


def reason(name: str, error: Exception) -> str:
    """Why an engine is refused, in a line that names it."""
    if isinstance(error, EngineError):
        return str(error)
    return f"engine {name} cannot run this network: {type(error).__name__}: {one_line(error)}"


def _rehearse(name: str, runner: Runner, compiled: Compiler, images: np.ndarray) -> None:
    """Raise EngineError where the engine computes something else than eager float32.

    Random weights make classes nearly equally likely, so the classes say nothing of fewer bits: an engine is checked in
    float32. One of whole numbers only has to run, as it has; trained networks are tested in it.
    """
    if runner.dtype != "int8":
        engines.check(name, compiled(EAGER, bfloat16=False), _in_float32(name, runner, compiled), images)


def _in_float32(name: str, runner: Runner, compiled: Compiler) -> Runner:
    engine = engines.find(name)
    if runner.dtype == "float32":
        return runner
    if not isinstance(engine, Portable):
        return compiled(name, bfloat16=False)
    with TemporaryDirectory(prefix="engine-") as folder:  # reading is faster than converting once more
        cast(SavedRunner, runner).save(Path(folder))
        return engine.load(Path(folder), threads=torch.get_num_threads(), bfloat16=False)


def _time(
    loop: Loop,
    runners: Mapping[str, Runner],
    took: Mapping[str, float],
    refused: Mapping[str, Figures],
    images: np.ndarray,
    yardstick: Yardstick,
    latency_seconds: float,
) -> dict[str, Figures]:
    """Each engine's figures; the best batches are searched one engine after the other, the rest is timed in turns."""
    sizes: dict[str, int] = {}
    failed: dict[str, Figures] = {}
    for name, runner in runners.items():
        try:
            batches = partial(_batch, runner, images)
            sizes[name] = timing.best_batch(batches, INFERENCE_BATCHES, loop.device, seconds=CHOICE_SECONDS).size
        except Exception as error:
            if name == EAGER:
                raise
            failed[name] = {REFUSED: reason(name, error)}
    singles = [_batch(runners[name], images, 1) for name in sizes]
    best = [_batch(runners[name], images, size) for name, size in sizes.items()]
    latencies = latency.alternate(singles, loop.device, latency_seconds, yardstick)
    throughputs = timing.alternate(best, loop.device, yardstick, seconds=SECONDS)
    rows: dict[str, Figures] = {}
    for (name, size), single, several in zip(sizes.items(), latencies, throughputs, strict=True):
        devices = engines.find(name).DEVICES
        rows[name] = {
            "dtype": runners[name].dtype,
            "device": loop.device.type if loop.device.type in devices else devices[0],
            "threads": torch.get_num_threads(),
            **Throughput(several, size).figures("images"),
            **single.figures(),
            **timing.noise(several),
            COMPILE_SECONDS: took[name],
        }
    return {**rows, **failed, **refused}


def _batch(runner: Runner, images: np.ndarray, size: int) -> Callable[[], object]:
    return partial(runner, np.resize(images, (size, *images.shape[1:])))
