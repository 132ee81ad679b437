"""What environment.json says of a run: on what hardware, with which versions, from which command."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import torch

from record import processors
from study.address import masked
from trainables.device import cpu_name

PACKAGES = ("torch", "torchvision", "timm", "ray", "optuna", "pandas", "numpy", "scikit-learn", "spacy", "sacrebleu")


def describe() -> dict[str, object]:
    """Versions, hardware of this machine, git commit of the code, the command and the process that runs it."""
    process = psutil.Process()
    return {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "command": masked(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "driver": {"host": socket.gethostname(), "pid": process.pid, "created": process.create_time()},
        "finished": None,  # until all phases are done
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "hardware": {
            "cpu": cpu_name(),
            "cpus": os.cpu_count(),
            "cpu_quota": processors.quota(),
            "usable_cpus": processors.usable(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
            "system": platform.platform(),
        },
    }


def _git_commit() -> str | None:
    """The commit of the checkout that this code runs from, marked '+' if files were changed since."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
