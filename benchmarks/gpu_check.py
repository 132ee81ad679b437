"""What only a CUDA GPU shows: memory caps and their end, honest timing, fast formats, merging, and who else computes.

python -m benchmarks.gpu_check      # at most ten minutes; a table; exit status 1 where a line is not ok

Without a CUDA GPU it says so in one line and exits with status 0. The GPU should be idle.
"""

from __future__ import annotations

import multiprocessing
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.figure import Figure, at_least, at_most
from benchmarks.tome_speed import flops, merge_per_block
from models.layers.precision import has_bfloat16
from record.errors import one_line
from trainables import device as hardware
from trainables import timing
from trainables.data.images import Images
from trainables.image_classification.loop import EVAL_BATCH
from trainables.image_classification.task import Config, Data, Loop

TRIALS = 4
VIT: dict[str, Any] = {"architecture": "vit_small_patch16_224", "image_size": 224}
RESNET: dict[str, Any] = {"image_size": 224}
SAME_LOSS = 0.03  # of two ways to compute it in bfloat16
BFLOAT16_CAPABILITY = 8  # major number of the first GPUs that compute bfloat16 in hardware
Check = Callable[[torch.device], Iterable[Figure]]


def build_loop(device: torch.device, model: str, options: dict[str, Any], batch: int, **config: Any) -> Loop:
    """A training on random images: as many as one batch has."""
    size, rng = options["image_size"], np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8), np.arange(batch) % 10)
    fields: dict[str, Any] = {"batch_size": batch, "flip": False, "shift": 0.0} | config
    return Loop(Config(**fields), model, options, "none", Data(tuple("0123456789"), images, images), device)


def step_of(loop: Loop) -> Callable[[], Tensor]:
    """The training step of a loop, in training mode; its loss."""
    loop.model.train()
    return partial(loop.train_step, np.arange(loop.config.batch_size), 1e-4, torch.Generator())


def between(name: str, value: float, low: float, high: float) -> Figure:
    return Figure(name, f"{value:.3f}x", f"{low:g}x to {high:g}x", low <= value <= high)


# Memory


class Capped(NamedTuple):
    """What a trial with a share of the GPU's memory did."""

    loss: float
    peak_share: float  # of the GPU's memory, reserved by the trial
    is_refused: bool  # whether more than its share was refused


def _remember(barrier: Any) -> None:
    global all_started
    all_started = barrier


all_started: Any = threading.Barrier(1)  # in the processes of `four_trials`: for all of them


def capped_trial(share: float) -> Capped:
    """Train a few steps in a process that may use this share, as `tune_adapter` sets it, then ask for more."""
    device = torch.device("cuda")
    torch.cuda.set_per_process_memory_fraction(share, device)
    all_started.wait(120)  # all trials are on the GPU at once
    step = step_of(build_loop(device, "resnet18", {"image_size": 32}, 64))
    loss = [step().item() for _ in range(20)][-1]
    total = torch.cuda.get_device_properties(device).total_memory
    peak = torch.cuda.max_memory_reserved(device) / total
    try:
        torch.empty(int(1.1 * share * total), dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:
        return Capped(loss, peak, True)
    return Capped(loss, peak, False)


def four_trials(device: torch.device) -> Iterator[Figure]:
    """Trials that share the GPU train side by side, and none takes more memory than its share."""
    context, share = multiprocessing.get_context("spawn"), 1 / TRIALS
    with ProcessPoolExecutor(TRIALS, context, _remember, (context.Barrier(TRIALS),)) as pool:
        trials = list(pool.map(capped_trial, [share] * TRIALS))
    trained = sum(bool(np.isfinite(trial.loss)) for trial in trials)
    yield at_least("trials of a quarter of the GPU that trained side by side", trained, TRIALS, "")
    yield at_most(
        "largest share of the memory that a trial reserved", max(trial.peak_share for trial in trials), share, ""
    )
    yield at_least(
        "trials that were refused more than their share", sum(trial.is_refused for trial in trials), TRIALS, ""
    )


def out_of_memory(device: torch.device) -> Iterator[Figure]:
    """A batch that does not fit is computed in parts, with the same loss; so is an evaluation."""
    batch = EVAL_BATCH
    loop = build_loop(device, "vit", VIT, batch)
    base = torch.cuda.memory_allocated(device)
    expected = step_of(loop)().item()
    step_peak = torch.cuda.max_memory_allocated(device)
    del loop
    hardware.reset_memory(device)
    with capped(device, base + (step_peak - base) * 0.6):
        loop = build_loop(device, "vit", VIT, batch)
        loss = step_of(loop)().item()
    yield at_least("parts of a batch that needs more memory than there is", loop.accumulation, 2, "")
    yield at_most("difference of the loss in parts from that in one", abs(loss - expected), SAME_LOSS, "")
    loop.optimiser.zero_grad(set_to_none=True)
    hardware.reset_memory(device)
    before = torch.cuda.memory_allocated(device)
    whole = loop.evaluate(loop.data.validation)
    peak = torch.cuda.max_memory_allocated(device)
    hardware.reset_memory(device)
    with capped(device, before + (peak - before) * 0.6):
        in_parts = loop.evaluate(loop.data.validation)
    yield at_most("images per batch of an evaluation that did not fit", loop.eval_batch, EVAL_BATCH // 2, "")
    yield at_most("difference of the evaluation's loss", abs(whole[1] - in_parts[1]), SAME_LOSS, "")


class capped:
    """Inside, this process may reserve so many bytes of the GPU."""

    def __init__(self, device: torch.device, limit: float) -> None:
        self.device, self.limit = device, limit

    def __enter__(self) -> None:
        total = torch.cuda.get_device_properties(self.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, self.limit / total), self.device)

    def __exit__(self, *_: object) -> None:
        torch.cuda.set_per_process_memory_fraction(1.0, self.device)


# Time


def event_seconds(call: Callable[[], object], repeats: int = 20) -> float:
    """Median seconds of a call by the GPU's own clock."""
    seconds = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        end.synchronize()
        seconds.append(start.elapsed_time(end) / 1000)
    return statistics.median(seconds)


def synchronised_timing(device: torch.device) -> Iterator[Figure]:
    """The product's clock waits for the GPU: it agrees with CUDA events."""
    matrix = torch.randn(4096, 4096, device=device)
    ours = timing.measure(lambda: matrix @ matrix, device).median
    yield between(
        "matrix product: our timing over that of CUDA events", ours / event_seconds(lambda: matrix @ matrix), 0.9, 1.1
    )
    step = step_of(build_loop(device, "vit", VIT, 64))
    ours = timing.measure(step, device).median
    yield between("training step: our timing over that of CUDA events", ours / event_seconds(step), 0.9, 1.1)


def speed_up(slow: Callable[[], object], fast: Callable[[], object], device: torch.device) -> float:
    """How many times as fast the second is, timed in turns."""
    before, after = timing.alternate([slow, fast], device, seconds=3)
    return before.median / after.median


def bfloat16(device: torch.device) -> Iterator[Figure]:
    """It is used where the hardware has it, changes little, and is faster."""
    in_hardware = torch.cuda.get_device_capability(device)[0] >= BFLOAT16_CAPABILITY
    yield Figure(
        "bfloat16 in this GPU", str(has_bfloat16(device)), str(in_hardware), has_bfloat16(device) == in_hardware
    )
    if not in_hardware:
        return
    full, half = (step_of(build_loop(device, "vit", VIT, 64, bfloat16=use)) for use in (False, True))
    difference = abs(full().item() - half().item())
    yield at_most("difference of the first loss from that in float32", difference, SAME_LOSS, "")
    yield at_least("training step in bfloat16 against float32, ViT-S", speed_up(full, half, device), 1.3)


def compiled(device: torch.device) -> Iterator[Figure]:
    """A compiled model trains as an eager one does."""
    eager, fast = (step_of(build_loop(device, "vit", VIT, 64, compile=use)) for use in (False, True))
    difference = max(abs(eager().item() - fast().item()) for _ in range(3))
    yield at_most("difference of the compiled model's loss in three steps", difference, SAME_LOSS, "")
    yield at_least("training step compiled against eager, ViT-S", speed_up(eager, fast, device), 1.0)


def channels_last(device: torch.device) -> Iterator[Figure]:
    """The order of memory that convolutions are fastest in."""
    last, first = (build_loop(device, "resnet18", RESNET, 64) for _ in range(2))
    first.model.to(memory_format=torch.contiguous_format)
    first.forward = lambda pixels: first.model(pixels.contiguous())
    gain = speed_up(step_of(first), step_of(last), device)
    yield at_least("training step in channels_last against contiguous, ResNet18", gain, 1.0)


def token_merging(device: torch.device) -> Iterator[Figure]:
    """Merging gains what its arithmetic allows, but for what it costs itself."""
    r, batch = 13, 256
    plain, merging = (build_loop(device, model, VIT, batch) for model in ("vit", "vit_tome"))
    merge_per_block(merging.model, r)
    pixels = torch.from_numpy(plain.data.train.images).to(device)
    slow, fast = (partial(loop.logits, pixels) for loop in (plain, merging))
    slow_single, fast_single = (partial(loop.logits, pixels[:1]) for loop in (plain, merging))
    with plain.inference(), merging.inference():
        allowed = flops(slow) / flops(fast)
        gain, single = speed_up(slow, fast, device), speed_up(slow_single, fast_single, device)
    note = f" ({gain:.2f}x of {allowed:.2f}x)"
    yield at_least(f"ToMe, r = {r}, batch {batch}: share of what the arithmetic allows", gain / allowed, 0.85, "", note)
    yield Figure(f"ToMe, r = {r}, one image, against plain", f"{single:.2f}x")


OTHER = "import torch; x = torch.zeros(1, device='cuda'); print('ready', flush=True); input()"


def other_processes(device: torch.device) -> Iterator[Figure]:
    """A process beside a timing is noticed, and so is its end."""
    torch.zeros(1, device=device)  # from now on this process is on the GPU, which `other_processes_on` counts on
    before = hardware.other_processes_on(device)
    yield at_most("other processes on the GPU at the start", before, 0, "")
    command = [sys.executable, "-c", OTHER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        during = hardware.other_processes_on(device)
        other.communicate("\n")
    yield at_least("other processes noticed beside one more", during - before, 1, "")
    time.sleep(2)
    yield at_most("other processes noticed after its end", hardware.other_processes_on(device) - before, 0, "")


CHECKS: Sequence[Check] = (
    other_processes,  # first: the trials below are processes too
    synchronised_timing,
    bfloat16,
    channels_last,
    compiled,
    token_merging,
    out_of_memory,
    four_trials,
)


def run(checks: Sequence[Check], device: torch.device) -> Iterator[Figure]:
    """The figures of all checks; of one that fails with an error, the error."""
    for check in checks:
        try:
            yield from check(device)
        except Exception as error:  # the other checks are still worth having
            yield Figure(check.__name__, f"{type(error).__name__}: {one_line(error)}", "no error", False)
        finally:
            hardware.reset_memory(device)


def table(figures: Sequence[Figure]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    rows = [f"| {each.name} | {each.measured} | {each.target} | {words[each.reached]} |" for each in figures]
    return "\n".join(["| figure | measured | expected | ok |", "| --- | --- | --- | --- |", *rows])


def exit_status(figures: Sequence[Figure]) -> int:
    """1 where a figure is not what was expected."""
    return int(any(each.reached is False for each in figures))


def main() -> int:
    if not torch.cuda.is_available():
        print("gpu_check: there is no CUDA GPU here, so nothing was checked")
        return 0
    start, figures = time.monotonic(), []
    for figure in run(CHECKS, hardware.pick(1)):
        print(figure, flush=True)
        figures.append(figure)
    print(
        f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, {time.monotonic() - start:.0f} s\n\n{table(figures)}"
    )
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main())
