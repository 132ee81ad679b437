"""What the hardware under a trial can do, and how much memory it used."""

from __future__ import annotations

import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch


def pick(gpus: float) -> torch.device:
    """The device of a trial that was given this many GPUs: Ray may show a GPU to a trial that has none."""
    return torch.device("cuda" if gpus > 0 and torch.cuda.is_available() else "cpu")


def cpu_name() -> str:
    """The processor's name as its maker gives it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Start a new peak: a worker that is reused must not report the peak of the trial before."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # Linux: 5 resets the high-water mark of the resident set
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Peak since the last reset: allocated on the GPU, or the resident set of this process (MB, 1e6 bytes)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
