"""Random kills of driver, worker and raylet: nothing is lost, doubled or burnt, and decisions and weights do not change."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
import yaml
from conftest import Program
from test_interruptions import recorded_epochs, start, wait_for_epochs

RUNS = 30

ENTRIES: dict[str, dict[str, Any]] = {
    "scratch_vit": {"patch_size": 4, "width": 32, "depth": 1, "heads": 2, "feed_forward": 64, "norm": "pre"},
    "resnet18": {"width": 4},
    "vit": {"architecture": "vit_tiny_patch16_224", "patch_size": 4, "embed_dim": 32, "depth": 1, "num_heads": 2},
    "vit_tome": {
        "architecture": "vit_tiny_patch16_224", "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2,
        "factors": {"tome_ratio": [0.0, 0.5]},
    },
}  # fmt: skip


def random_space(choose: random.Random) -> dict[str, Any]:
    """One trial at a time on all cores, so that an undisturbed run decides in the same order."""
    models = choose.sample(sorted(ENTRIES), choose.choice([1, 2]))
    return {
        "description": "chaos",
        "data": {"name": "digits"},
        "objectives": ["val_accuracy"],
        "phases": choose.choice([["search"], ["search", "confirm"]]),
        "trials": choose.choice([2, 3]),
        "seed": choose.randrange(100),
        "checkpoint_seconds": choose.choice([0, 0.3]),
        "early_stopping": choose.choice([None, {"grace_epochs": 1, "reduction_factor": 2}]),
        "confirm": {"seeds": 2, "candidates": 1},
        "all_models": {
            "epochs": choose.choice([3, 5]),
            "train_size": 300,
            "batch_size": 32,
            "image_size": 16,
            "flip": False,
            "resources": {"cpus": 2},
            "search": {"lr": {"low": 1.0e-3, "high": 1.0e-2, "log": True}},
        },
        "models": {name: ENTRIES[name] for name in models},
    }


def victims(driver: psutil.Process, kind: str) -> Iterator[psutil.Process]:
    """The processes of this run of that kind, as the system lists them now."""
    if kind == "driver":
        yield driver
        return
    for child in driver.children(recursive=True):
        try:
            is_worker = child.cmdline()[:1] and child.cmdline()[0].startswith(tuple(f"ray::{name}" for name in ENTRIES))
            if (kind == "worker" and is_worker) or (kind == "raylet" and child.name() == "raylet"):
                yield child
        except psutil.Error:
            continue


def run_with_kills(folder: Path, choose: random.Random, kills: int) -> int:
    """Start the study, kill something at random moments, resume until it ends by itself; the kills that hit."""
    hits, arguments = 0, ["--space", "chaos.yaml"]
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        process = start(folder, *arguments)
        if hits < kills:
            study = folder / "results" / "chaos"
            wait_for_epochs(process, study, recorded_epochs(study) + choose.choice([0, 1, 1, 1]))
            time.sleep(choose.uniform(0, 2))
            if process.poll() is None:
                kind = choose.choice(["driver", "worker", "raylet"])
                for victim in list(victims(psutil.Process(process.pid), kind))[:1]:
                    victim.send_signal(signal.SIGKILL)
                    hits += 1
        output, _ = process.communicate(timeout=300)
        assert "Traceback" not in output, output
        if process.returncode == 0:  # perhaps before enough kills had hit
            return hits
        arguments = ["--space", "chaos.yaml", "--resume"]
    raise AssertionError("the study did not end")


def outcome(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a study decided and reached, without times."""
    trials = pd.read_csv(folder / "trials.csv").sort_values("trial").reset_index(drop=True)
    epochs = pd.read_csv(folder / "epochs.csv").sort_values(["trial", "epoch"]).reset_index(drop=True)
    columns = ["trial", "model", "phase", "state", "seed", "lr", "epochs", "val_accuracy", "test_accuracy", "pareto"]
    return trials[columns], epochs[
        ["trial", "epoch", "decision", "val_accuracy", "val_loss", "train_loss", "learning_rate"]
    ]


def weights(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted((folder / "checkpoints").glob("*.pt"))
    return {path.stem: torch.load(path, weights_only=True)["loop"]["model"] for path in paths}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(RUNS))
def test_kills_change_nothing(
    tmp_path: Path, run_study: Program, record_property: Callable[[str, object], None], seed: int
) -> None:
    choose = random.Random(seed)
    space = yaml.safe_dump(random_space(choose))
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    for folder in (calm, wild):
        folder.mkdir()
        (folder / "chaos.yaml").write_text(space)
    undisturbed = run_study("--space", "chaos.yaml", cwd=calm)
    assert undisturbed.returncode == 0, undisturbed.stdout + undisturbed.stderr
    record_property("kills", run_with_kills(wild, choose, kills=choose.choice([1, 2])))
    expected, reached = outcome(calm / "results" / "chaos"), outcome(wild / "results" / "chaos")
    pd.testing.assert_frame_equal(reached[0], expected[0])
    pd.testing.assert_frame_equal(reached[1], expected[1])
    before, after = weights(calm / "results" / "chaos"), weights(wild / "results" / "chaos")
    assert before.keys() == after.keys()
    for trial, state in before.items():
        assert all(torch.equal(state[name], after[trial][name]) for name in state), trial


@pytest.mark.slow
def test_a_trial_whose_workers_die_says_of_what(tmp_path: Path) -> None:
    model = {"resnet18": ENTRIES["resnet18"] | {"epochs": 1000, "image_size": 16, "resources": {"cpus": 2}}}
    space = {"description": "never ends", "data": {"name": "digits"}, "objectives": ["val_accuracy"]}
    space |= {"phases": ["search"], "trials": 1, "early_stopping": None, "models": model}
    (tmp_path / "endless.yaml").write_text(yaml.safe_dump(space))
    process = start(tmp_path, "--space", "endless.yaml")
    killed, deadline = set(), time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        for victim in victims(psutil.Process(process.pid), "worker"):
            killed.add(victim.pid)
            victim.send_signal(signal.SIGKILL)
        time.sleep(0.2)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in output, output
    [trial] = pd.read_csv(tmp_path / "results" / "endless" / "trials.csv").itertuples()
    said, _, reason = trial.error.partition(", the last time: ")
    assert (trial.state, trial.interruptions, len(killed), said) == ("failed", 4, 4, "its worker died 4 times")
    assert "SIGKILL" in reason or "died" in reason, reason
    assert "\x1b" not in reason and reason.splitlines() == [reason]
