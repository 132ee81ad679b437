"""The memory of a training: kept during it, released before the next one."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE_MEMORY = """
import resource
import torch
from trainables import device as hardware

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

cpu = torch.device("cpu")
hardware.reset_memory(cpu)
for step in range(40):
    if step == 20:  # the heap has its final size
        before = page_faults()
    torch.ones(20_000_000)
faults = page_faults() - before
full = hardware.peak_memory_mb(cpu)
hardware.reset_memory(cpu)
print(faults, full - hardware.peak_memory_mb(cpu))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be set to keep memory")
def test_a_training_keeps_the_memory_that_it_frees_and_releases_what_the_previous_one_left() -> None:
    # A process of its own: what other tests left in the heap would count.
    result = subprocess.run(
        [sys.executable, "-c", MEASURE_MEMORY],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    faults, released_mb = map(float, result.stdout.split())
    assert faults < 20_000  # it would be 390,624 pages if each of the twenty tensors were new
    assert released_mb > 70  # of 80 or more
