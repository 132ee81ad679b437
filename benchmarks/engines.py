"""The engines side by side on one CPU, from uint8 images to logits: throughput, latency, and what the product adds.

python -m benchmarks.engines            # 224 px, 15 to 30 minutes on 2 cores, so not part of `make bench`
python -m benchmarks.engines --quick    # 112 px and fewer repeats

Weights are random, so 8 bits are calibrated on noise: their speed is real, their answers are not looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from torch import nn

import models
from benchmarks.figure import Figure, at_least, show
from models import engines
from models.engines import Classifier, Runner, Source
from models.engines.openvino import runtime, shared_core
from record import processors
from trainables.timing import Timing, alternate

CPU = torch.device("cpu")
OF_HAND_WRITTEN = 0.97
HALF = (0.5, 0.5, 0.5)
VIT: dict[str, Any] = {"architecture": "vit_small_patch16_224"}


Script = Callable[[np.ndarray], object]


class Plan(NamedTuple):
    size: int
    batches: tuple[int, ...]
    seconds: float  # for all contestants of one batch size
    engines: tuple[str, ...]


FULL = Plan(224, (1, 8, 32), 40, tuple(engines.available()))
QUICK = Plan(112, (1, 8), 6, tuple(name for name in engines.available() if name != "torch_compile"))


def networks(size: int) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "resnet18": models.build("resnet18", image_size=size),
        "vit_small": models.build("vit", image_size=size, **VIT),
        "vit_small, ToMe 0.5": models.build("vit_tome", image_size=size, tome_ratio=0.5, **VIT),
        "mobilenetv3_small_100": timm.create_model("mobilenetv3_small_100", num_classes=10),
    }


def run(plan: Plan = FULL) -> Iterator[Figure]:
    threads = processors.usable()
    for name, network in networks(plan.size).items():
        network.eval()
        runners = compile_all(network, plan, threads)
        times = {batch: timed(runners, batch, plan) for batch in plan.batches}
        yield from table(name, runners, times)
        if name in ("resnet18", "vit_small"):
            yield from against_hand_written(name, network, runners, plan, threads)


def compile_all(network: nn.Module, plan: Plan, threads: int) -> dict[str, Runner]:
    classifier = Classifier(network, Source(plan.size, plan.size, plan.size, HALF, HALF))
    return {
        name: engines.find(name).compile(classifier, threads=threads, calibration=noise(16, plan.size), bfloat16=True)
        for name in plan.engines
    }


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def timed(runners: dict[str, Runner], batch: int, plan: Plan) -> dict[str, Timing]:
    """The timing of a batch by each runner, in turns."""
    images = noise(batch, plan.size)
    calls: list[Callable[[], object]] = [partial(runner, images) for runner in runners.values()]
    return dict(zip(runners, alternate(calls, CPU, seconds=plan.seconds / len(calls), min_turns=5), strict=True))


def table(name: str, runners: dict[str, Runner], times: dict[int, dict[str, Timing]]) -> Iterator[Figure]:
    """Throughput at the best batch and latency at batch 1, with the factor over eager PyTorch."""
    speed = {engine: max((batch / row[engine].median, batch) for batch, row in times.items()) for engine in runners}
    for engine, runner in runners.items():
        (throughput, batch), single = speed[engine], times[1][engine]
        yield Figure(
            f"{name}, {engine} ({runner.dtype})",
            f"{throughput:.1f} images/s at batch {batch} ({throughput / speed[engines.EAGER][0]:.2f}x of eager), "
            f"{1000 * single.median:.1f} ms at batch 1 ({times[1][engines.EAGER].median / single.median:.2f}x), "
            f"quartiles up to {max(row[engine].spread for row in times.values()):.0%} apart",
        )


def against_hand_written(
    name: str, network: nn.Module, runners: dict[str, Runner], plan: Plan, threads: int
) -> Iterator[Figure]:
    """The engines of floats through the product and by a script for one batch size and nothing else."""
    for engine, script in {"openvino": with_openvino, "onnxruntime": with_onnxruntime}.items():
        for batch in (1, plan.batches[-1]):
            images = noise(batch, plan.size)
            classify = script(network, images, threads, runners[engine].dtype)
            calls: list[Callable[[], object]] = [partial(classify, images), partial(runners[engine], images)]
            alone, ours = alternate(calls, CPU, seconds=plan.seconds / 4, min_turns=10)
            what = f"{name}, {engine} at batch {batch}: speed against a hand-written script"
            yield at_least(what, alone.median / ours.median, OF_HAND_WRITTEN)


def normalised(images: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) bytes -> (N, 3, H, W) from -1 to 1."""
    floats = (images.astype(np.float32) - 127.5) * np.float32(1 / 127.5)
    return np.ascontiguousarray(floats.transpose(0, 3, 1, 2))


def with_openvino(network: nn.Module, images: np.ndarray, threads: int, dtype: str) -> Script:
    openvino = runtime()
    pixels = torch.zeros(len(images), 3, *images.shape[1:3])
    model = openvino.convert_model(network, example_input=pixels, input=[tuple(pixels.shape)])
    precision = "bf16" if dtype == "bfloat16" else "f32"
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = shared_core().compile_model(model, "CPU", options)
    return lambda images: compiled(normalised(images))[0]


def with_onnxruntime(network: nn.Module, images: np.ndarray, threads: int, dtype: str) -> Script:
    import onnxruntime

    pixels = torch.zeros(len(images), 3, *images.shape[1:3])
    exported = torch.onnx.export(network, (pixels,), dynamo=True, verbose=False)
    assert exported is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # it would spin into the other's turns
    model = exported.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    [name] = [each.name for each in session.get_inputs()]
    return lambda images: session.run(None, {name: normalised(images)})[0]


if __name__ == "__main__":
    show(run(QUICK if "--quick" in sys.argv[1:] else FULL))
