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
from conftest import PATIENCE, ROOT
from rich.console import Console

from record.errors import UserError
from study import cluster

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


ADDRESS = "127.0.0.1:6399"


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[psutil.Process]:
    """The first process of a Ray cluster with one GPU and eight CPUs by its own account, whatever the machine has."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it asks for the token that an earlier Ray left in the home
    ray = Path(sys.executable).with_name("ray")
    host, port = ADDRESS.split(":")
    start = [ray, "start", "--head", "--block", f"--port={port}", "--num-gpus=1", "--num-cpus=8"]
    head = subprocess.Popen([*start, "--include-dashboard=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(120):
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            break
        time.sleep(0.5)
    yield psutil.Process(head.pid)
    head.terminate()  # and what it started with it; `ray stop` would end every Ray of this machine
    head.wait(timeout=PATIENCE)


def training_now(head: psutil.Process) -> set[str]:
    """The trials that the cluster's workers train: they carry its name as their title, as do children before they exec."""
    prefixes = tuple(f"ray::{model}-" for model in SPACE["models"])  # type: ignore[attr-defined]
    titles = set()
    for process in head.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            titles.add(" ".join(process.cmdline()))
    return {title for title in titles if title.startswith(prefixes)}


@pytest.mark.slow
def test_a_quarter_of_a_gpu_each_lets_four_trials_run_at_once_and_never_five(
    tmp_path: Path, head: psutil.Process
) -> None:
    (tmp_path / "quarters.yaml").write_text(yaml.safe_dump(SPACE))
    command = [sys.executable, str(ROOT / "run_study.py"), "--space", "quarters.yaml", "--address", ADDRESS]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output, env=os.environ)
        counts = []
        while process.poll() is None:
            counts.append(len(training_now(head)))
            time.sleep(0.2)
    assert process.returncode == 0, (tmp_path / "output").read_text()
    assert max(counts) == 4
    trials = pd.read_csv(tmp_path / "results" / "quarters" / "trials.csv")
    assert trials.groupby("model").state.agg(list).to_dict() == {name: ["complete"] * 2 for name in SPACE["models"]}  # type: ignore[attr-defined]


def test_a_ray_that_does_not_start_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", "nonsense")
    with pytest.raises(
        UserError, match=r"^Ray did not start on this machine \(Expecting value.*\); start the study again"
    ):
        cluster.connect(None, Console(quiet=True))
