"""Token merging against the same plain fused ViT-S/16 at 224 px: inference, training step, and what merging itself costs.

python -m benchmarks.tome_speed

"Fused" is torch's scaled_dot_product_attention, as timm calls it. In bfloat16 on a CPU this project's models are faster
(models/layers/attention.py), the plain one too. So the gain of merging alone is also measured, with the same attention
on both sides. At last, the latency of one image, in eager PyTorch and in the engines that models are deployed with.

python -m benchmarks.tome_speed --single    # only the latency of one image
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import models
from benchmarks.figure import Figure, at_least, at_most, show
from models import engines, vit_tome
from models.engines import Classifier, EngineError, Source
from models.layers import attention, token_merging
from record import processors
from trainables import device as hardware
from trainables.data.images import Images
from trainables.image_classification.task import Config, Data, Loop
from trainables.task import Scalar
from trainables.timing import Timing, alternate

TARGETS = {8: (1.3, 1.3), 13: (1.65, 1.6), 16: (1.95, 1.9)}  # r per block: speed-up of inference and training step
SHARE_AT, MAX_SHARE = 13, 0.05
OF_ARITHMETIC = 0.97
BATCH = 64  # as in the spaces at 224 px
SMALL_BATCH = 16  # the fastest for inference of the plain ViT on 2 cores; merging is a larger share of it
SINGLE: dict[str, dict[str, Scalar]] = {
    "112 px, 65 tokens": {"image_size": 112, "patch_size": 14},
    "224 px, 197 tokens": {"image_size": 224},
}
RATIOS = (0.3, 0.5, 0.8)
ENGINES = ("torch", "onnxruntime", "openvino")
FUSED = -1
Contestants = dict[int, Callable[[], object]]  # by r; 0 is the plain model
Timings = dict[int, Timing]  # by r, with FUSED
OPTIONS: dict[str, Scalar] = {"architecture": "vit_small_patch16_224", "image_size": 224}


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8), np.arange(BATCH, dtype=np.int64) % 10)
    data = Data(tuple(map(str, range(10))), images, images)
    loops = {0: build_loop("vit", data, device)} | {r: build_loop("vit_tome", data, device) for r in TARGETS}
    for r in TARGETS:
        merge_per_block(loops[r].model, r)
    inference, inference_small, allowed = time_inference(loops, torch.from_numpy(images.images).to(device))
    steps = time_steps(loops, device)
    for kind, times, column in (("inference", inference, 0), ("training step", steps, 1)):
        note = f", {dtype(loops[0])}, batch {BATCH}"
        yield Figure(
            f"plain ViT, {kind}: our attention against torch's fused kernel",
            f"{times[FUSED].median / times[0].median:.2f}x{note}, {BATCH / times[0].median:.1f} images/s",
        )
        for r, targets in TARGETS.items():
            yield from speed_ups(kind, r, times, targets[column], allowed[r], note)
    yield from best_batches(inference, inference_small)
    for batch in (BATCH, SMALL_BATCH):
        yield from share_of_merging(loops[SHARE_AT], batch, device)
    yield from single_image(device)


def time_inference(loops: Mapping[int, Loop], pixels: torch.Tensor) -> tuple[Timings, Timings, dict[int, float]]:
    """By r: (timings of all images, of the first SMALL_BATCH, speed-up that the number of operations allows)."""
    device = pixels.device
    with ExitStack() as stack:
        for loop in loops.values():
            stack.enter_context(loop.inference())
        calls: Contestants = {r: partial(loop.logits, pixels) for r, loop in loops.items()}
        times = timed(calls, device, seconds=50)
        small_calls: Contestants = {r: partial(loop.logits, pixels[:SMALL_BATCH]) for r, loop in loops.items()}
        small_times = timed(small_calls, device, seconds=15)
        allowed = {r: flops(calls[0]) / flops(calls[r]) for r in TARGETS}
    return times, small_times, allowed


def time_steps(loops: Mapping[int, Loop], device: torch.device) -> Timings:
    """The timing of a training step, by r."""
    order, generator = np.arange(BATCH), torch.Generator()
    for loop in loops.values():
        loop.model.train()
    steps: Contestants = {r: partial(loop.train_step, order, 1e-4, generator) for r, loop in loops.items()}
    return timed(steps, device, seconds=60)


def speed_ups(kind: str, r: int, times: Timings, target: float, allowed: float, note: str) -> Iterator[Figure]:
    """Merging against the plain ViT: as timm has it, and with the same attention on both sides."""
    spread = f"{note}, quartiles {max(times[FUSED].spread, times[r].spread):.0%} apart"
    ratio = times[FUSED].median / times[r].median
    yield at_least(f"ToMe {kind}, r = {r}, against the plain fused ViT", ratio, target, note=spread)
    same = times[0].median / times[r].median
    yield at_least(
        f"ToMe {kind}, r = {r}, with the same attention on both sides: share of what the arithmetic allows",
        same / allowed, OF_ARITHMETIC, unit="", note=f" ({same:.2f}x of {allowed:.2f}x)",
    )  # fmt: skip


def best_batches(times: Timings, small_times: Timings) -> Iterator[Figure]:
    """Each contestant at the batch that suits it better."""
    speed = {r: max(BATCH / times[r].median, SMALL_BATCH / small_times[r].median) for r in times}
    for name, plain in (("fused ViT", FUSED), ("ViT with the same attention", 0)):
        yield Figure(
            f"ToMe inference, r = {' / '.join(map(str, TARGETS))}, against the plain {name}, each at the better of batch "
            f"{SMALL_BATCH} and {BATCH}",
            " / ".join(f"{speed[r] / speed[plain]:.2f}x" for r in TARGETS),
        )


def single_image(device: torch.device) -> Iterator[Figure]:
    """Latency of one image, plain and merging in turns, in each engine that computes on the device."""
    for what, options in SINGLE.items():
        built: dict[str, Any] = OPTIONS | options
        networks = [models.build("vit", **built)]
        networks += [models.build("vit_tome", tome_ratio=ratio, **built) for ratio in RATIOS]
        for name in ENGINES:
            if device.type not in engines.find(name).DEVICES:
                continue
            figure = f"one image, {what}, {name}: ToMe of ratio {' / '.join(map(str, RATIOS))} against plain"
            try:
                yield Figure(figure, latencies(name, [network.to(device).eval() for network in networks], device))
            except EngineError as error:  # not installed
                yield Figure(figure, str(error))


def latencies(engine: str, networks: Sequence[Any], device: torch.device) -> str:
    """How many times as fast as the first network the others answer one image."""
    size, half = networks[0].patch_embed.img_size[0], (0.5, 0.5, 0.5)
    source = Source(size, size, size, half, half)
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    runners = [
        engines.find(engine).compile(
            Classifier(network, source), threads=processors.usable(), calibration=None, bfloat16=True
        )
        for network in networks
    ]  # fmt: skip
    calls = [partial(runner, image) for runner in runners]
    plain, *merging = alternate(calls, device, seconds=10 / len(calls), min_turns=20)
    spread = max(each.spread for each in (plain, *merging))
    ratios = " / ".join(f"{plain.median / each.median:.2f}x" for each in merging)
    return f"{ratios}, {runners[0].dtype}, plain {1000 * plain.median:.1f} ms, quartiles up to {spread:.0%} apart"


def build_loop(model: str, data: Data, device: torch.device) -> Loop:
    config = Config(batch_size=len(data.train.labels), flip=False, shift=0.0)
    return Loop(config, model, OPTIONS, "none", data, device)


def dtype(loop: Loop) -> str:
    """The number format that the loop computes in on this hardware."""
    return "bfloat16" if loop.uses_bfloat16 else "float32 (no bfloat16 in this hardware)"


def merge_per_block(model: Any, r: int) -> None:
    """Make each block of a vit_tome merge r tokens, or half of the remaining ones."""
    patches = left = model.patch_embed.num_patches
    for _ in model.blocks:
        left -= min(r, left // 2)
    assert max(vit_tome.set_ratio(model, (patches - left) / patches)) == r


def timed(calls: Contestants, device: torch.device, seconds: float) -> Timings:
    """The timing of each contestant, in turns; FUSED is contestant 0, the plain model, with torch's fused attention."""

    def fused() -> None:
        with patch.object(attention, "MAX_KEYS", 0):
            calls[0]()

    all_calls = {FUSED: fused} | calls
    return dict(zip(all_calls, alternate([*all_calls.values()], device, seconds=seconds / len(all_calls)), strict=True))


def flops(call: Callable[[], object]) -> int:
    """Floating point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def share_of_merging(loop: Loop, batch: int, device: torch.device) -> Iterator[Figure]:
    """The share of the blocks' time that matching and merging take, timed inside: alone, they would have warm caches."""
    model: Any = loop.model  # a timm model, which has no types
    tokens = torch.randn(batch, model.patch_embed.num_patches + model.num_prefix_tokens, model.embed_dim, device=device)
    seconds: list[float] = []  # per pass

    def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            hardware.synchronise(device)
            start = time.perf_counter()
            result = function(*args)
            hardware.synchronise(device)
            seconds[-1] += time.perf_counter() - start
            return result

        return call

    def blocks() -> None:
        seconds.append(0.0)
        model.blocks(tokens)

    with ExitStack() as stack:
        stack.enter_context(loop.inference())
        for module, name in ((vit_tome, "sum_over_heads"), (token_merging, "match"), (token_merging, "merge")):
            stack.enter_context(patch.object(module, name, clocked(getattr(module, name))))
        times = timed({0: blocks}, device, seconds=20)
    merging = statistics.median(seconds)
    note = f" ({1000 * merging:.1f} ms), {dtype(loop)}"
    for name, whole in (("the fused blocks'", times[FUSED]), ("our blocks'", times[0])):
        what = f"merging alone, share of {name} time at r = {SHARE_AT}, batch {batch}"
        yield at_most(what, 100 * merging / whole.median, 100 * MAX_SHARE, " %", note)


if __name__ == "__main__":
    show(single_image(hardware.pick(1)) if "--single" in sys.argv[1:] else run())
