"""A cluster whose nodes share no disk: code travels, files are handed in, and nodes that cannot work are named."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
import pytest
from conftest import ROOT, TINY, Program, one_error
from test_interruptions import LONG, check_resumed, wait_for_epochs

from analysis.use.export import export
from study import nodes
from trainables.examination import Facts, python

RAY = str(Path(sys.executable).with_name("ray"))
ADDRESS = "127.0.0.1:6402"
SMALL = "--num-gpus=0 --object-store-memory=100000000 --disable-usage-stats"
ROOMS = ("record", "models", "trainables", "study")


class Cluster:
    """Nodes of Ray on this machine: a head without CPUs, and others that see another disk where the study lies."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, []
        self.stale = folder.parent / "stale"  # packages that are named like ours, as an older version would be
        for name in ROOMS:
            (self.stale / name).mkdir(parents=True)
            (self.stale / name / "__init__.py").write_text("raise SystemExit('stale code was imported')\n")
        self.start(f"exec {RAY} start --head --block --port=6402 --include-dashboard=false --num-cpus=0 {SMALL}")
        self.wait_for(1)

    def start(self, script: str) -> psutil.Process:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", script], env=os.environ | {"PYTHONPATH": str(self.stale)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.started.append(process)
        return psutil.Process(process.pid)

    def add(self, disk: str = "mount -t tmpfs none .", cpus: int = 2) -> psutil.Process:
        """A node, once it has joined: of two that join at once, one may miss. disk: what is mounted at the study's place."""
        known = self._living()
        node = f"exec {RAY} start --block --address={ADDRESS} --num-cpus={cpus} {SMALL}"
        process = self.start(f"cd {self.folder}\n{disk}\ncd /\n{node}")
        self.wait_for(known + 1)
        return process

    def wait_for(self, count: int) -> None:
        """Until the head knows so many living nodes."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self._living() == count:
                return
            time.sleep(0.5)
        raise AssertionError(f"the cluster did not get {count} nodes")

    def _living(self) -> int:
        code = "import ray; ray.init(address='ADDRESS', log_to_driver=False, logging_level='ERROR'); "
        code += "print(f\"{sum(node['Alive'] for node in ray.nodes())} living\")"  # Ray prints remarks beside it
        command = [sys.executable, "-c", code.replace("ADDRESS", ADDRESS)]
        found = re.search(r"(\d+) living", subprocess.run(command, capture_output=True, text=True).stdout)
        return int(found[1]) if found else 0

    def stop(self) -> None:
        for process in reversed(self.started):
            process.terminate()
            process.wait(timeout=60)


def kill(process: psutil.Process) -> None:
    """As a machine dies: it, and all that runs on it."""
    for each in [process, *process.children(recursive=True)]:
        each.kill()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this user may not give a process its own disks")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it asks for the token that an earlier Ray left in the home
    (tmp_path / "here").mkdir()
    cluster = Cluster(tmp_path / "here")
    yield cluster
    cluster.stop()


@pytest.mark.slow
def test_a_study_of_a_node_that_shares_no_disk_is_whole_beside_the_driver(cluster: Cluster, run_study: Program) -> None:
    cluster.add()
    (cluster.folder / "tiny.yaml").write_text(TINY)
    result = run_study("--space", "tiny.yaml", "--address", ADDRESS, cwd=cluster.folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 of 1 nodes do not see" in result.stdout
    folder = cluster.folder / "results" / "tiny"
    trials = pd.read_csv(folder / "trials.csv")
    assert set(trials.state) == {"complete"} and set(trials.phase) == {"search", "confirm"}
    confirmed = trials[trials.phase == "confirm"].trial
    assert {f"{trial}.npy" for trial in confirmed} < {path.name for path in (folder / "predictions").iterdir()}
    assert not list(folder.glob(".node-*"))
    assert export(folder, "best", cluster.folder / "model").trial in set(trials.trial)


@pytest.mark.slow
def test_a_node_and_the_driver_are_killed_and_nothing_is_lost(cluster: Cluster, run_study: Program) -> None:
    first = cluster.add(cpus=1)
    cluster.add(cpus=1)
    (cluster.folder / "long.yaml").write_text(LONG)
    folder = cluster.folder / "results" / "long"
    command = [sys.executable, str(ROOT / "run_study.py"), "--space", "long.yaml", "--address", ADDRESS]
    with (cluster.folder / "output").open("w") as output:
        driver = subprocess.Popen(command, cwd=cluster.folder, stdout=output, stderr=output)
        wait_for_epochs(driver, folder, 4)
        kill(first)
        wait_for_epochs(driver, folder, 9)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = pd.read_csv(folder / "trials.csv")
    assert (folder / "checkpoints").is_dir()  # of trials that run on disks of their own
    result = run_study("--name", "long", "--resume", "--address", ADDRESS, cwd=cluster.folder)
    assert result.returncode == 0, result.stdout + result.stderr
    check_resumed(before, pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "epochs.csv"))


@pytest.mark.slow
def test_nodes_that_cannot_work_are_named_before_anything_is_trained(cluster: Cluster, run_study: Program) -> None:
    (cluster.folder / "tiny.yaml").write_text(TINY)
    (cluster.folder / "results").mkdir()
    bad = cluster.add("mount --bind results results; mount -o remount,ro,bind results")
    refused = one_error(run_study("--space", "tiny.yaml", "--address", ADDRESS, cwd=cluster.folder))
    assert "cannot write into" in refused and "results/tiny: Read-only file system" in refused
    kill(bad)
    cluster.wait_for(1)
    other = cluster.stale / "torch-0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.1\n")
    cluster.add()
    refused = one_error(run_study("--space", "tiny.yaml", "--name", "b", "--address", ADDRESS, cwd=cluster.folder))
    assert f"has torch 0.1, not {version('torch').split('+')[0]}" in refused and "requirements.lock" in refused
    assert not list(cluster.folder.glob("results/*/trials.csv"))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"python": "2.7"}, f"has Python 2.7, but this program runs with {python()}"),
        ({"versions": {"torch": "2.9.0", "timm": None}}, "lacks timm; install there"),
        ({"versions": {"torch": "1.0", "timm": "1"}}, "has torch 1.0, not 2.9.0: results would not be comparable"),
        ({"problem": "no weights"}, "no weights"),
        ({}, ""),
    ],
)
def test_what_a_node_lacks_is_one_line(facts: dict[str, object], words: str) -> None:
    good = Facts("host", python(), {"torch": "2.9.0", "timm": "1"}, sees=True)
    problem = nodes._problem(good._replace(**facts), {"torch": "2.9.0", "timm": "1"})  # type: ignore[arg-type]
    assert problem.startswith(words) and bool(problem) == bool(words)
