"""What the hardware under a trial can do, and how much memory it used."""

from __future__ import annotations

import ctypes
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch


def pick(gpus: float) -> torch.device:
    """The device for a trial that was given this many GPUs: Ray may show a GPU to a trial that has none."""
    return torch.device("cuda" if gpus > 0 and torch.cuda.is_available() else "cpu")


def threads_of(cpus: float) -> int:
    """The threads that a trial which was given this many CPUs computes with."""
    return max(1, int(cpus))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside, torch computes with this many threads on the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_name() -> str:
    """The processor's name as its manufacturer gives it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def other_processes_on(device: torch.device) -> int:
    """How many other processes compute on this GPU, according to its driver; 0 for a CPU, or if the driver cannot say."""
    if device.type != "cuda":
        return 0
    uuid = torch.cuda.get_device_properties(device).uuid
    # One of them is this process. Its own id would not tell which: inside a container it is a different one.
    return max(0, len(_ask_driver(f"--id=GPU-{uuid}", "--query-compute-apps=pid").split()) - 1)


def gpu_name() -> str:
    """The name of this machine's first GPU, found without computing on it; "" where there is none."""
    return next(iter(_ask_driver("--query-gpu=name").splitlines()), "").strip()


def _ask_driver(*query: str) -> str:
    """What NVIDIA's driver says; "" where there is none."""
    command = ["nvidia-smi", *query, "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_memory(device: torch.device) -> None:
    """Before a training: release what the previous one left, and reset the peak.

    A reused worker must not report the peak of its previous trial.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _keep_freed_memory()
        with suppress(OSError):  # Linux: 5 resets the high-water mark of the resident set
            Path("/proc/self/clear_refs").write_text("5")


def _keep_freed_memory() -> None:
    """Let this process keep the memory that it frees from now on, but not what it has freed so far.

    glibc returns large blocks to the system at once; the next step gets them back page by page, each cleared first,
    which takes up to a quarter of its time.
    """
    mmap_max, trim_threshold = -4, -1  # mallopt(3): M_MMAP_MAX, M_TRIM_THRESHOLD
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
        libc.malloc_trim(0)


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
