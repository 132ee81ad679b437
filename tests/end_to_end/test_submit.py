"""A study that is submitted to a Ray cluster: the same tables, looked on and stopped from outside."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import PATIENCE, ROOT, Command

SPACE = """
description: one tiny model
data: {name: digits}
objectives: [val_accuracy]
phases: [search]
trials: 2
models:
  scratch_vit:
    {epochs: 2, train_size: 300, batch_size: 32, image_size: 16, flip: false, patch_size: 4, width: 32, depth: 2, heads: 2,
     feed_forward: 64, norm: pre, resources: {cpus: 1}, search: {lr: {low: 1.0e-3, high: 1.0e-2, log: true}}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def call(*arguments: object, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "vision_study.py"), *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_what_cannot_be_submitted_is_one_line(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    nowhere = f"http://127.0.0.1:{free_port()}"
    for arguments, words in (
        (["submit", "--space", "digits_compare"], "--cluster"),
        (["submit", "--cluster", "auto", "--space", "my.yaml"], "must be the address of a cluster's dashboard"),
        (["submit", "--cluster", nowhere], "--space is missing"),
        (["submit", "--cluster", nowhere, "--space", "mine.yaml"], "mine.yaml"),
        (["submit", "--cluster", nowhere, "--space", "my.yaml", "--trails", "3"], "--trails"),
        (["submit", "--cluster", nowhere, "--space", "my.yaml", "--address", "auto"], "--address: not for a submitted"),
        (["submit", "--cluster", nowhere, "--space", "my.yaml"], f"--cluster {nowhere}: "),
        (["status", "my", "--cluster", nowhere], f"--cluster {nowhere}: "),
    ):
        status, _, error = command(*arguments)
        assert status == 2 and error.count("\n") == 1 and words in error, error


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a cluster's dashboard and the environment of its clients, who need a token."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    port, dashboard, token = free_port(), free_port(), secrets.token_hex(32)
    environment = os.environ | {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    ray = Path(sys.executable).with_name("ray")
    options = [f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=2", "--block", "--disable-usage-stats"]
    options.append(f"--dashboard-agent-listen-port={free_port()}")  # which the Ray of a study beside it may have taken
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    head = subprocess.Popen([ray, "start", "--head", *options], env=environment, start_new_session=True, **quiet)
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", dashboard)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        head.terminate()
        head.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_submitted_study_has_the_tables_of_a_run(tmp_path: Path, cluster: tuple[str, dict[str, str]]) -> None:
    url, environment = cluster
    (tmp_path / "my.yaml").write_text(SPACE)
    where = {"cwd": tmp_path, "environment": environment}
    given = ["--space", "my.yaml", "--name", "sent", "--seed", "3", "--results", "results"]
    sent = call("submit", "--cluster", url, "--python", sys.executable, *given, **where)
    assert sent.returncode == 0, sent.stderr
    job = sent.stdout.strip()
    assert job.startswith("sent-") and str(tmp_path / "results" / "sent") in sent.stderr
    printed = call("logs", job, "--follow", "--cluster", url, **where).stdout
    assert "Study folder:" in printed, printed
    status = call("status", job, "--cluster", url, **where).stdout
    assert f"{job}: succeeded, study sent" in status and "took " in status
    listed = call("list", "--cluster", url, "--format", "csv", **where).stdout.splitlines()
    assert listed[1].startswith(f"{job},sent,succeeded")
    assert "there is nothing to stop" in call("stop", job, "--cluster", url, **where).stderr
    wrong = call(
        "submit", "--cluster", url, *given, cwd=tmp_path, environment=environment | {"RAY_AUTH_TOKEN": "0" * 64}
    )
    assert wrong.returncode == 2 and "token" in wrong.stderr and wrong.stderr.count("\n") == 1
    local = {name: value for name, value in environment.items() if not name.startswith("RAY_AUTH")}
    run = call("run", "--space", "my.yaml", "--name", "run", "--seed", "3", cwd=tmp_path, environment=local)
    assert run.returncode == 0, run.stderr
    columns = ["trial", "state", "seed", "lr", "epochs", "val_accuracy"]
    tables = [pd.read_csv(tmp_path / "results" / name / "trials.csv")[columns] for name in ("sent", "run")]
    pd.testing.assert_frame_equal(*[table.sort_values("trial", ignore_index=True) for table in tables])


@pytest.mark.slow
def test_a_submitted_study_is_stopped_by_its_name_and_goes_on(
    tmp_path: Path, cluster: tuple[str, dict[str, str]]
) -> None:
    url, environment = cluster
    (tmp_path / "my.yaml").write_text(SPACE.replace("epochs: 2", "epochs: 300"))
    where = {"cwd": tmp_path, "environment": environment}
    given = ["submit", "--cluster", url, "--python", sys.executable, "--space", "my.yaml", "--results", "results"]
    sent = call(*given, **where)
    assert sent.returncode == 0, sent.stderr
    first, study = sent.stdout.strip(), tmp_path / "results" / "my"
    epochs = study / "epochs.csv"

    def wait_until(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, call("logs", first, "--cluster", url, **where)
            time.sleep(0.5)

    wait_until(lambda: epochs.is_file() and len(pd.read_csv(epochs)) > 3)
    assert "asked to end" in call("stop", "my", "--cluster", url, **where).stdout
    wait_until(lambda: f"{first}: stopped" in call("status", "my", "--cluster", url, **where).stdout)
    kept = pd.read_csv(epochs)
    assert 3 < len(kept) < 600 and "stopped" in call("status", study, **where).stdout
    again = call(*given, "--resume", **where).stdout.strip()
    assert again != first
    assert json.loads(call("status", "my", "--json", "--cluster", url, **where).stdout)["job"] == again
    call("logs", again, "--follow", "--cluster", url, **where)
    assert f"{again}: succeeded" in call("status", "my", "--cluster", url, **where).stdout
    whole = pd.read_csv(epochs)
    assert len(whole) == 600 and set(pd.read_csv(study / "trials.csv").state) == {"complete"}
    columns = ["trial", "epoch", "val_accuracy"]
    pd.testing.assert_frame_equal(kept[columns], whole.merge(kept[["trial", "epoch"]])[columns])
