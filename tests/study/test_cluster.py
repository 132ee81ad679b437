"""A study on a cluster that was started elsewhere, with fractions of a GPU that Ray only counts."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from conftest import ROOT

SMALL_VIT = {"architecture": "vit_tiny_patch16_224", "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
SPACE = {
    "description": "the four models, a quarter of a GPU each",
    "data": {"name": "digits"},
    "objectives": ["val_accuracy"],
    "phases": ["search"],
    "trials": 2,
    "early_stopping": None,
    "all_models": {
        "epochs": 4, "train_size": 300, "batch_size": 16, "image_size": 16, "flip": False,
        "resources": {"cpus": 1, "gpus": 0.25},
        "search": {"lr": {"low": 1e-3, "high": 1e-2, "log": True}},
    },
    "models": {
        "scratch_vit": {"patch_size": 4, "width": 32, "depth": 2, "heads": 2, "feed_forward": 64, "norm": "pre"},
        "resnet18": {"width": 16},
        "vit": SMALL_VIT,
        "vit_tome": SMALL_VIT | {"tome_ratio": 0.5},
    },
}  # fmt: skip


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray cluster with one GPU and eight CPUs by its own account, whatever the machine has."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it asks for the token that an earlier Ray left in the home
    ray = Path(sys.executable).with_name("ray")
    port = 6399
    start = [ray, "start", "--head", "--block", f"--port={port}", "--num-gpus=1", "--num-cpus=8"]
    head = subprocess.Popen([*start, "--include-dashboard=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(120):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.5)
    yield f"127.0.0.1:{port}"
    head.terminate()  # and what it started with it; `ray stop` would end every Ray of this machine
    head.wait(timeout=60)


def training_now() -> set[int]:
    """The processes that train a trial: workers carry its name as their title."""
    prefixes = tuple(f"ray::{model}-" for model in SPACE["models"])  # type: ignore[attr-defined]
    workers = set()
    for process in psutil.process_iter(["cmdline"]):
        if " ".join(process.info["cmdline"] or []).startswith(prefixes):
            workers.add(process.pid)
    return workers


@pytest.mark.slow
def test_a_quarter_of_a_gpu_each_lets_four_trials_run_at_once_and_never_five(tmp_path: Path, address: str) -> None:
    (tmp_path / "quarters.yaml").write_text(yaml.safe_dump(SPACE))
    command = [sys.executable, str(ROOT / "run_study.py"), "--space", "quarters.yaml", "--address", address]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output, env=os.environ)
        counts = []
        while process.poll() is None:
            counts.append(len(training_now()))
            time.sleep(0.2)
    assert process.returncode == 0, (tmp_path / "output").read_text()
    assert max(counts) == 4
    trials = pd.read_csv(tmp_path / "results" / "quarters" / "trials.csv")
    assert trials.groupby("model").state.agg(list).to_dict() == {name: ["complete"] * 2 for name in SPACE["models"]}  # type: ignore[attr-defined]
