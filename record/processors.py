"""How many processors this process may use: a container often has fewer than its machine, and only its cgroup says so."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def quota(cgroup: Path = CGROUP) -> float | None:
    """The processors' time that the cgroup may take per second, such as 1.5; None where it is not limited.

    Read where Docker and Kubernetes mount them, and where Ray looks: `cpu.max` of version 2 ("150000 100000", or "max"),
    `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1 (-1: no limit). See cgroup-v2.rst and sched-bwc.rst of Linux.
    """
    for read in (_version_2, _version_1):
        with suppress(OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
            limit, period = read(cgroup)
            return limit / period if limit > 0 else None
    return None


def usable(cgroup: Path = CGROUP) -> int:
    """Processors to use: those that this process may run on, within the quota. A part of one is left out, as Ray does:
    a thread more than the quota would make all of them wait, again and again."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota(cgroup)
    return own if limit is None else max(1, min(own, int(limit)))


def _version_2(cgroup: Path) -> tuple[int, int]:
    limit, period = (cgroup / "cpu.max").read_text().split()
    return int(limit), int(period)


def _version_1(cgroup: Path) -> tuple[int, int]:
    limit, period = (int((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    return limit, period
