"""A cluster whose nodes share no disk: code travels, files are handed in, and nodes that cannot work are named."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from conftest import PATIENCE, ROOT, TINY, Program, one_error
from test_interruptions import LONG, check_resumed, wait_for_epochs

from analysis.use.export import export
from benchmarks.scale import SPACE
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

    def start(self, script: str, path: str = "") -> psutil.Process:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", script], env=os.environ | {"PYTHONPATH": f"{path}:{self.stale}"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.started.append(process)
        return psutil.Process(process.pid)

    def add(self, disk: str = "mount -t tmpfs none .", cpus: int = 2, path: str = "") -> psutil.Process:
        """A node, once it has joined: of two that join at once, one may miss.

        disk: what is mounted at the study's place. path: where its Python looks first.
        """
        known = self._living()
        node = f"exec {RAY} start --block --address={ADDRESS} --num-cpus={cpus} {SMALL}"
        process = self.start(f"cd {self.folder}\n{disk}\ncd /\n{node}", path)
        self.wait_for(known + 1)
        return process

    def wait_for(self, count: int) -> None:
        """Until the head knows so many living nodes."""
        deadline = time.monotonic() + PATIENCE
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
            process.wait(timeout=PATIENCE)


def old_torch(folder: Path) -> str:
    """A path on which Python finds another version of torch installed."""
    other = folder / "torch-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.1\n")
    return str(folder)


def no_torch(folder: Path) -> str:
    """A path on which Python does not find torch."""
    folder.mkdir()
    (folder / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    return str(folder)


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
def test_a_node_and_the_driver_are_killed_and_nothing_is_lost(cluster: Cluster, run_study: Program, s3: str) -> None:
    first, *_ = [cluster.add(cpus=1) for _ in range(3)]
    (cluster.folder / "long.yaml").write_text(LONG)
    folder = cluster.folder / "results" / "long"
    at = ("--address", ADDRESS, "--results", s3)
    command = [sys.executable, str(ROOT / "run_study.py"), "--space", "long.yaml", *at]
    with (cluster.folder / "output").open("w") as output:
        driver = subprocess.Popen(command, cwd=cluster.folder, stdout=output, stderr=output)
        wait_for_epochs(driver, folder, 4)
        kill(first)
        wait_for_epochs(driver, folder, 9)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = pd.read_csv(folder / "trials.csv")
    assert (folder / "checkpoints").is_dir()  # of trials that run on disks of their own
    result = run_study("--name", "long", "--resume", *at, cwd=cluster.folder)
    assert result.returncode == 0, result.stdout + result.stderr
    check_resumed(before, pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "epochs.csv"))
    elsewhere = cluster.folder / "elsewhere"
    elsewhere.mkdir()
    subprocess.run([sys.executable, ROOT / "vision_study.py", "fetch", f"{s3}/long"], cwd=elsewhere, check=True)
    copy = elsewhere / "results" / "long"
    assert (copy / "report.html").read_bytes() == (folder / "report.html").read_bytes()
    assert export(copy, "best", elsewhere / "model").trial in set(pd.read_csv(folder / "trials.csv").trial)


@pytest.mark.slow
def test_five_hundred_trials_use_all_nodes_and_the_driver_does_not_grow(cluster: Cluster, s3: str) -> None:
    raylets = [cluster.add(cpus=1) for _ in range(3)]
    space = {"description": "stubs", "trials": 500, "early_stopping": None, **SPACE}
    (cluster.folder / "stubs.yaml").write_text(yaml.safe_dump(space))
    folder = cluster.folder / "results" / "stubs"
    at = ("--address", ADDRESS, "--results", s3)
    command = [sys.executable, str(ROOT / "run_study.py"), "--space", "stubs.yaml", *at]
    memory: list[tuple[pd.Timestamp, float]] = []  # MB that only the driver holds
    busy = set()  # nodes that have run a trial
    with (cluster.folder / "output").open("w") as output:
        driver = subprocess.Popen(command, cwd=cluster.folder, stdout=output, stderr=output)
        while driver.poll() is None:
            with suppress(psutil.NoSuchProcess):
                memory.append((pd.Timestamp.now(), psutil.Process(driver.pid).memory_full_info().uss / 1e6))
                busy |= {node for node, raylet in enumerate(raylets) if _trains(raylet)}
            time.sleep(0.5)
    assert driver.returncode == 0, (cluster.folder / "output").read_text()
    trials = pd.read_csv(folder / "trials.csv")
    assert len(trials) == 500 and trials.trial.is_unique and set(trials.state) == {"complete"}
    assert busy == {0, 1, 2}
    with closing(sqlite3.connect(folder / "study.db")) as database:
        ends = pd.read_sql("SELECT datetime_complete FROM trials WHERE state = 'COMPLETE' ORDER BY 1", database)
    end = pd.to_datetime(ends.datetime_complete)
    used = pd.DataFrame(memory, columns=["at", "mb"]).set_index("at").mb
    growth = used.asof(end.iloc[-1]) - used.asof(end.iloc[100])
    first, last = end.iloc[100] - end.iloc[0], end.iloc[-1] - end.iloc[-101]
    print(f"first 100 trials {first.total_seconds():.1f} s, last 100 {last.total_seconds():.1f} s, + {growth:.0f} MB")
    assert growth < 100


def _trains(raylet: psutil.Process, model: str = "stub") -> bool:
    """Whether a worker of a trial, which Ray names after it, lives on the node."""
    titles = []
    for child in raylet.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            titles += child.cmdline()
    return any(re.match(rf"ray::\w*{model}-\d", title) for title in titles)


@pytest.mark.slow
def test_nodes_that_cannot_work_are_named_before_anything_is_trained(cluster: Cluster, run_study: Program) -> None:
    (cluster.folder / "tiny.yaml").write_text(TINY)
    (cluster.folder / "results").mkdir()
    bad = cluster.add("mount --bind results results; mount -o remount,ro,bind results")
    refused = one_error(run_study("--space", "tiny.yaml", "--address", ADDRESS, cwd=cluster.folder))
    assert "cannot write into" in refused and "results/tiny: Read-only file system" in refused
    kill(bad)
    cluster.wait_for(1)
    cluster.add(path=old_torch(cluster.stale))
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("differ", "reason"), [(old_torch, "has torch 0.1, not"), (no_torch, "No module named 'torch'")]
)
def test_a_node_that_joins_later_is_used_but_nothing_is_computed_on_one_that_differs(
    cluster: Cluster, run_study: Program, tmp_path: Path, differ: Callable[[Path], str], reason: str
) -> None:
    cluster.add(cpus=1)
    (cluster.folder / "long.yaml").write_text(LONG.replace("trials: 3", "trials: 60"))
    folder = cluster.folder / "results" / "long"
    command = [sys.executable, str(ROOT / "run_study.py"), "--space", "long.yaml", "--address", ADDRESS]
    with (cluster.folder / "output").open("w") as output:
        driver = subprocess.Popen(command, cwd=cluster.folder, stdout=output, stderr=output)
        wait_for_epochs(driver, folder, 2)
        good = cluster.add(cpus=1)
        while not _trains(good, "vit"):
            assert driver.poll() is None
            time.sleep(0.1)
        bad = cluster.add(cpus=1, path=differ(tmp_path / "other"))
        driver.wait(timeout=PATIENCE)
    error = (cluster.folder / "output").read_text().splitlines()[-1]
    assert driver.returncode == 2, error
    assert error.startswith("error: node ") and reason in error
    assert "what was computed so far is safe" in error and "--resume" in error
    before = pd.read_csv(folder / "trials.csv")
    assert set(before.state) <= {"complete", "pruned", "running"}
    kill(bad)
    cluster.wait_for(3)
    result = run_study("--name", "long", "--resume", "--address", ADDRESS, cwd=cluster.folder)
    assert result.returncode == 0, result.stdout + result.stderr
    after = pd.read_csv(folder / "trials.csv")
    assert len(after) == 120 and set(after.state) <= {"complete", "pruned"}
