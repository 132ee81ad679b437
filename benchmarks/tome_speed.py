"""Token merging against the same plain fused ViT-S/16 at 224 px: inference, training step, and what merging itself costs.

python -m benchmarks.tome_speed

"Fused" is torch's scaled_dot_product_attention, as timm calls it. In bfloat16 on a CPU this project's models do better
(models/layers/attention.py), the plain one too: so what merging alone gains is told apart, with the same attention on both sides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figure import Figure, at_least, at_most, show
from models import vit_tome
from models.layers import attention, token_merging
from trainables import device as hardware
from trainables.data.images import Images
from trainables.image_classification.task import Config, Data, Loop
from trainables.timing import Timing, alternate

ASKED = {8: (1.3, 1.3), 13: (1.65, 1.6), 16: (1.95, 1.9)}  # r a block: inference and training step, times as fast
SHARE_AT, MOST_SHARE = 13, 0.05
OF_ARITHMETIC = 0.97
BATCH = 64  # that of the spaces at 224 px
SMALL_BATCH = 16  # at which the plain ViT infers fastest on 2 cores; what merging costs weighs more in it
FUSED = -1
Contestants = dict[int, Callable[[], object]]  # by r; 0 is the plain model
OPTIONS: dict[str, str | int | float] = {"architecture": "vit_small_patch16_224", "image_size": 224}


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8), np.arange(BATCH, dtype=np.int64) % 10)
    data = Data(tuple(map(str, range(10))), images, images)
    loops = {0: loop("vit", data, device)} | {r: loop("vit_tome", data, device) for r in ASKED}
    for r in ASKED:
        merge_a_block(loops[r].model, r)

    pixels = torch.from_numpy(images.images).to(device)
    with ExitStack() as stack:
        for own in loops.values():
            stack.enter_context(own.inference())
        answers: Contestants = {r: partial(own.logits, pixels) for r, own in loops.items()}
        inference = timed(answers, device, seconds=50)
        few: Contestants = {r: partial(own.logits, pixels[:SMALL_BATCH]) for r, own in loops.items()}
        small = timed(few, device, seconds=15)
        allowed = {r: flops(answers[0]) / flops(answers[r]) for r in ASKED}
    order, generator = np.arange(BATCH), torch.Generator()
    for own in loops.values():
        own.model.train()
    steps = timed({r: partial(own.train_step, order, 1e-4, generator) for r, own in loops.items()}, device, seconds=60)
    for kind, times, column in (("inference", inference, 0), ("training step", steps, 1)):
        note = f", {dtype(loops[0])}, batch {BATCH}"
        yield Figure(
            f"plain ViT, {kind}: our attention against torch's fused kernel",
            f"{times[FUSED].median / times[0].median:.2f}x{note}, {BATCH / times[0].median:.1f} images/s",
        )
        for r, least in ASKED.items():
            spread = f"{note}, quartiles {max(times[FUSED].spread, times[r].spread):.0%} apart"
            ratio = times[FUSED].median / times[r].median
            yield at_least(f"ToMe {kind}, r = {r}, against the plain fused ViT", ratio, least[column], note=spread)
            same = times[0].median / times[r].median
            yield at_least(
                f"ToMe {kind}, r = {r}, with the same attention on both sides: share of what the arithmetic allows",
                same / allowed[r], OF_ARITHMETIC, unit="", note=f" ({same:.2f}x of {allowed[r]:.2f}x)",
            )  # fmt: skip
    speed = {r: max(BATCH / inference[r].median, SMALL_BATCH / small[r].median) for r in inference}
    for name, plain in (("fused ViT", FUSED), ("ViT with the same attention", 0)):
        yield Figure(
            f"ToMe inference, r = {' / '.join(map(str, ASKED))}, against the plain {name}, each at the better of batch "
            f"{SMALL_BATCH} and {BATCH}",
            " / ".join(f"{speed[r] / speed[plain]:.2f}x" for r in ASKED),
        )
    for batch in (BATCH, SMALL_BATCH):
        yield from share_of_merging(loops[SHARE_AT], batch, device)


def loop(model: str, data: Data, device: torch.device) -> Loop:
    config = Config(batch_size=len(data.train.labels), flip=False, shift=0.0)
    return Loop(config, model, OPTIONS, "none", data, device)


def dtype(some: Loop) -> str:
    """The format that the loop computes in on this hardware."""
    return "bfloat16" if some.uses_bfloat16 else "float32 (no bfloat16 in this hardware)"


def merge_a_block(model: Any, r: int) -> None:
    """Let each block merge r tokens, or half of those that are left."""
    patches = left = model.patch_embed.num_patches
    for _ in model.blocks:
        left -= min(r, left // 2)
    assert max(vit_tome.set_ratio(model, (patches - left) / patches)) == r


def timed(calls: Contestants, device: torch.device, seconds: float) -> dict[int, Timing]:
    """Each contestant's timing, in turns; FUSED is contestant 0, the plain model, on torch's fused attention kernel."""

    def fused() -> None:
        with patch.object(attention, "MAX_KEYS", 0):
            calls[0]()

    everyone = {FUSED: fused} | calls
    return dict(zip(everyone, alternate([*everyone.values()], device, seconds=seconds), strict=True))


def flops(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def share_of_merging(some: Loop, batch: int, device: torch.device) -> Iterator[Figure]:
    """The time of the blocks that goes into matching and merging, taken inside them: alone, they would find warm caches."""
    model: Any = some.model
    tokens = torch.randn(batch, model.patch_embed.num_patches + model.num_prefix_tokens, model.embed_dim, device=device)
    spent: list[float] = []  # by pass

    def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            hardware.synchronise(device)
            begun = time.perf_counter()
            result = function(*args)
            hardware.synchronise(device)
            spent[-1] += time.perf_counter() - begun
            return result

        return call

    def blocks() -> None:
        spent.append(0.0)
        model.blocks(tokens)

    with ExitStack() as stack:
        stack.enter_context(some.inference())
        for module, name in ((vit_tome, "sum_over_heads"), (token_merging, "match"), (token_merging, "merge")):
            stack.enter_context(patch.object(module, name, clocked(getattr(module, name))))
        times = timed({0: blocks}, device, seconds=20)
    merging = statistics.median(spent)
    note = f" ({1000 * merging:.1f} ms), {dtype(some)}"
    for name, whole in (("the fused blocks'", times[FUSED]), ("our blocks'", times[0])):
        what = f"merging alone, share of {name} time at r = {SHARE_AT}, batch {batch}"
        yield at_most(what, 100 * merging / whole.median, 100 * MOST_SHARE, " %", note)


if __name__ == "__main__":
    show(run())
