"""Fixtures that several test files share: the program as a user starts it, and one finished study."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings
from simulated_clock import SimulatedClock

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
COMMAND = Path(sys.executable).with_name("vision-study")
SCRIPT = (sys.executable, str(ROOT / "run_study.py"))
INSTALLED = (str(COMMAND), "run") if COMMAND.exists() else SCRIPT

TINY = """
description: two tiny models on digits
data: {name: digits}
objectives: [val_accuracy, inference_images_per_second]
trials: 2
checkpoint_seconds: 0
confirm: {seeds: 2, candidates: 2}
all_models:
  epochs: 2
  train_size: 300
  batch_size: 32
  image_size: 16
  flip: false
  search: {lr: {low: 1.0e-3, high: 1.0e-2, log: true}}
models:
  scratch_vit: {patch_size: 4, width: 32, depth: 2, heads: 2, feed_forward: 64, norm: pre}
  vit_tome:
    architecture: vit_tiny_patch16_224
    patch_size: 4
    embed_dim: 32
    depth: 2
    num_heads: 2
    search: {tome_ratio: [0.0, 0.5]}
"""

TINY_OPTIONS = ("--set", "models.scratch_vit.weight_decay=5e-2")

# Processes that share the tests share the cores: with a thread per core in each, every step would wait for a thread that
# is not running, ten times as long as it computes.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The folders of the tests lie in memory where there is room: on a disk each commit of a ledger waits for milliseconds.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4e9:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

settings.register_profile("no deadline", deadline=None)  # timings never decide a test
settings.load_profile("no deadline")

PATIENCE = 900  # seconds: some machines are ten times as slow as others, and only what hangs takes longer
BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Command = Callable[..., tuple[int, str, str]]
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the user that is deleted with the test's folder."""
    cache = tmp_path / "user-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


def one_error(result: subprocess.CompletedProcess[str]) -> str:
    """The message of a refusal: exit status 2, one line, no traceback."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    """The clock of whatever is timed in the test's own process, but not the yardstick's."""
    clock = SimulatedClock()
    monkeypatch.setattr("trainables.timing.time", clock)
    return clock


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window, driven by selenium; it records what pages print and what they fetch."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in BROWSER_FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driving = selenium.Chrome(options=options, service=Service(driver))
    yield driving
    driving.quit()


def waiting(browser: Any) -> Any:
    """Selenium's wait, with the patience of all tests."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE, poll_frequency=0.05)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server on this machine that speaks S3's protocol."""
    pytest.importorskip("moto.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket there, which is reached as AWS's own would be: by the environment."""
    from pyarrow.fs import FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = re.sub("[^a-z0-9]+", "-", f"b-{tmp_path.name}".lower())[-60:].strip("-")
    FileSystem.from_uri(f"s3://{bucket}?allow_bucket_creation=true")[0].create_dir(bucket)
    return f"s3://{bucket}/studies"


@pytest.fixture(scope="session")
def run_study() -> Program:
    """Start run_study.py with these arguments in a folder, as a user would; output is captured."""

    def run(
        *arguments: object, cwd: Path, timeout: float = PATIENCE, command: tuple[str, ...] = SCRIPT
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "120"}
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def tiny_study(run_study: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study of scratch_vit and vit_tome on digits: all three phases, two seeds confirmed.

    It ran beside packages of the user's that are named like ours and end every program that imports them; with the
    installed command, if there is one.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny-study"
    with FileLock(f"{folder}.lock"):  # the processes that share the tests share it, too
        if not folder.exists():
            folder.mkdir()
            (folder / "tiny.yaml").write_text(TINY)
            for name in ("record", "models", "trainables", "study", "analysis"):
                (folder / name).mkdir()
                (folder / name / "__init__.py").write_text(
                    "raise SystemExit('the user\\'s own package was imported')\n"
                )
            result = run_study("--space", "tiny.yaml", *TINY_OPTIONS, cwd=folder, command=INSTALLED)
            assert result.returncode == 0, result.stdout + result.stderr
    return folder / "results" / "tiny"


def undocumented_columns(folder: Path) -> dict[str, list[str]]:
    """Table of a finished study -> its columns that are neither in record.figures nor a setting of a model."""
    import pandas as pd

    from record import contents, figures
    from record.folder import StudyFolder
    from study.space.reading import resolve
    from study.space.typed import setting_types

    study = StudyFolder(folder)
    spec = resolve(contents.read_spec(study), "study.yaml")
    settings = {name for entry in spec.models.values() for name in setting_types(spec.task, entry.model)}
    tables = (figures.TRIALS, figures.EPOCHS, figures.PROFILE)
    known = {table: settings | {figure.name for figure in figures.of(spec.task, table)} for table in tables}
    return {table: [c for c in pd.read_csv(study.table(table)).columns if c not in known[table]] for table in tables}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call `python -m analysis` with these arguments: (exit status, output, error output)."""
    from analysis.cli import main as cli

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["analysis", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the installed command with these arguments: (exit status, output, error output)."""
    import run_study
    import vision_study

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vision-study", *map(str, arguments)])
        status = run_study.cli(vision_study.app)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
