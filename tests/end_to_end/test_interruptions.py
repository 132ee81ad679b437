"""Studies that are killed, interrupted or out of time: what was computed is kept, and --resume continues."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from conftest import PATIENCE, ROOT, TINY, Program, one_error

LONG = """
description: enough epochs to be killed in the middle of
data: {name: digits}
objectives: [val_accuracy]
phases: [search]
trials: 3
checkpoint_seconds: 0
early_stopping: {grace_epochs: 2, reduction_factor: 2}
all_models:
  epochs: 6
  train_size: 320
  batch_size: 16
  image_size: 16
  flip: false
  search: {lr: {low: 1.0e-3, high: 1.0e-2, log: true}}
models:
  scratch_vit: {patch_size: 4, width: 32, depth: 2, heads: 2, feed_forward: 64, norm: pre}
  vit: {architecture: vit_tiny_patch16_224, patch_size: 4, embed_dim: 32, depth: 2, num_heads: 2}
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "run_study.py"), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def recorded_epochs(folder: Path) -> int:
    """The epochs that the ledger of the study holds so far."""
    if not (folder / "study.db").exists():
        return 0
    # Read only: Optuna would create the tables itself, and the study that is just doing so would fail.
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'study.db'}?mode=ro", uri=True)) as database:
        try:
            query = "SELECT count(*) FROM trial_user_attributes WHERE key LIKE 'epoch\\_%' ESCAPE '\\'"
            return int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # no table yet
            return 0


def wait_for_epochs(process: subprocess.Popen[str], folder: Path, epochs: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while recorded_epochs(folder) < epochs and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def kill_when_it_has_done(process: subprocess.Popen[str], folder: Path, epochs: int) -> None:
    wait_for_epochs(process, folder, epochs)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def check_resumed(before: pd.DataFrame, after: pd.DataFrame, epochs: pd.DataFrame) -> None:
    """Every finished trial kept once, the number of trials exact, no epoch missing or twice, decisions consistent."""
    assert Counter(after.cell) == {"scratch_vit": 3, "vit": 3}
    assert set(after.state) <= {"complete", "pruned"} and after.trial.is_unique
    finished = before[before.state != "running"].set_index("trial")
    kept = after.set_index("trial").loc[finished.index]
    assert (kept.val_accuracy == finished.val_accuracy).all() and (kept.state == finished.state).all()
    counts = epochs.groupby("trial").epoch.agg(list)
    for trial in after.itertuples():
        assert counts[trial.trial] == list(range(1, trial.epochs + 1))
        assert trial.epochs == 6 if trial.state == "complete" else trial.epochs in (2, 4)
    for _, cell in after.groupby("cell"):
        assert (cell.state == "complete").any()


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(5))
def test_a_study_that_is_killed_continues_where_it_was(tmp_path: Path, run_study: Program, attempt: int) -> None:
    (tmp_path / "long.yaml").write_text(LONG)
    folder = tmp_path / "results" / "long"
    kill_when_it_has_done(start(tmp_path, "--space", "long.yaml"), folder, random.Random().randint(1, 24))
    before = pd.read_csv(folder / "trials.csv") if (folder / "trials.csv").exists() else pd.DataFrame(columns=["state"])
    had = recorded_epochs(folder)
    result = run_study("--name", "long", "--resume", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert recorded_epochs(folder) >= had
    check_resumed(before, pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "epochs.csv"))


@pytest.mark.parametrize("end", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_records_everything_and_says_how_to_go_on_the_lock_keeps_a_second_run_out_and_a_kill_loses_nothing(
    tmp_path: Path, run_study: Program, end: signal.Signals
) -> None:
    (tmp_path / "long.yaml").write_text(LONG.replace("checkpoint_seconds: 0", "checkpoint_seconds: 3600"))
    folder = tmp_path / "results" / "long"
    process = start(tmp_path, "--space", "long.yaml")
    wait_for_epochs(process, folder, 2)
    assert process.poll() is None, process.communicate()[0]
    process.send_signal(signal.SIGSTOP)  # the first run must not be over before the second one has started
    assert "another run" in one_error(run_study("--name", "long", "--resume", cwd=tmp_path))
    process.send_signal(signal.SIGCONT)
    process.send_signal(end)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output
    assert "--resume" in output and "Traceback" not in output
    before = pd.read_csv(folder / "trials.csv")
    running = before[before.state == "running"]
    for trial in running.itertuples():  # saved at the stop, although the next checkpoint was an hour away
        if trial.epochs:
            assert (folder / "checkpoints" / f"{trial.trial}.pt").exists()
    kill_when_it_has_done(start(tmp_path, "--name", "long", "--resume"), folder, recorded_epochs(folder) + 3)
    result = run_study("--name", "long", "--resume", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    check_resumed(before, pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "epochs.csv"))


def test_ctrl_c_while_the_models_are_timed_ends_as_cleanly(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    process = start(tmp_path, "--space", "tiny.yaml")
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any("timing 3 settings" in line for line in lines)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output
    assert "--name tiny --resume" in output and "Traceback" not in output


@pytest.mark.slow
def test_a_time_budget_ends_the_search_early(tmp_path: Path, run_study: Program) -> None:
    (tmp_path / "long.yaml").write_text(LONG)
    result = run_study("--space", "long.yaml", "--time-budget", "1s", cwd=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "time budget" in result.stdout
    result = run_study("--name", "long", "--resume", "--time-budget", "1h", "--trials", "1", cwd=tmp_path)
    assert result.returncode == 0 and len(pd.read_csv(tmp_path / "results" / "long" / "trials.csv")) == 2


def test_nothing_of_ray_is_left_running() -> None:
    """Runs last in this file: every study above has stopped what it started."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        assert not (b"raylet" in command and str(os.getpid()).encode() in path.read_bytes()), command
