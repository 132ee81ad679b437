"""A study that runs is looked on from outside: status, live page, metrics, dashboard; the page's button stops it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE, ROOT

ENDLESS = """
description: more epochs than anyone waits for
data: {name: digits}
objectives: [val_accuracy]
phases: [search]
trials: 2
early_stopping: null
models:
  scratch_vit:
    {epochs: 90000, train_size: 320, batch_size: 32, image_size: 16, flip: false, patch_size: 4, width: 32, depth: 2,
     heads: 2, feed_forward: 64, norm: pre, search: {lr: {low: 1.0e-3, high: 1.0e-2, log: true}}}
"""
PROGRAM = (sys.executable, str(ROOT / "vision_study.py"))


def ask(*arguments: object, cwd: Path) -> str:
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(what: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder of Ray's own, whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def exported(ray_folder: Path) -> str:
    """What the nodes of Ray export for Prometheus."""
    listed = json.loads((ray_folder / "ray" / "prom_metrics_service_discovery.json").read_text())
    text = ""
    for target in (target for group in listed for target in group["targets"]):
        try:
            text += urllib.request.urlopen(f"http://{target}/metrics", timeout=PATIENCE).read().decode()
        except OSError:
            continue
    return text


@pytest.mark.slow
def test_a_running_study_is_watched_measured_and_stopped(tmp_path: Path, ray_folder: Path) -> None:
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    command = [*PROGRAM, "run", "--space", "endless.yaml", "--watch"]
    environment = os.environ | {"RAY_TMPDIR": str(ray_folder), "HOME": str(tmp_path)}
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        environment.pop(name, None)
    run = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert run.stdout is not None
        printed = ""
        while not ("Live page: " in printed and "running lr=" in printed) and (line := run.stdout.readline()):
            printed += line
        assert "running lr=" in printed, printed
        page, dashboard, token = (
            re.search(pattern, printed)[1]  # type: ignore[index]
            for pattern in (r"Live page: (\S+)", r"dashboard: (\S+)", r"its token: cat (\S+)\)")
        )
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        assert 'id="live-state"' in browser.open(page, timeout=PATIENCE).read().decode()
        address = page.partition("?")[0]

        def state() -> dict[str, Any]:
            return json.loads(browser.open(f"{address}progress", timeout=PATIENCE).read())

        assert wait_for(lambda: [t for t in state().get("running", []) if t["epoch"] >= 2])
        status = ask("status", "endless", cwd=tmp_path)
        assert "endless: running (process" in status and re.search(r"scratch_vit-000  epoch \d+ of 90000", status)
        assert "endless,running,search" in ask("list", "--format", "csv", cwd=tmp_path)

        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{dashboard}/nodes?view=summary", timeout=PATIENCE)
        allowed = urllib.request.Request(f"{dashboard}/nodes?view=summary")
        allowed.add_header("Authorization", f"Bearer {Path(token).read_text()}")
        assert urllib.request.urlopen(allowed, timeout=PATIENCE).status == 200
        assert Path(token).stat().st_mode & 0o777 == 0o600 and not (tmp_path / ".ray").exists()

        metrics = wait_for(lambda: text if "ray_study_val_accuracy{" in (text := exported(ray_folder)) else "")
        assert re.search(r'ray_study_val_accuracy\{.*study="endless".*trial="scratch_vit-000"', metrics)
        assert re.search(r'ray_study_trials\{.*state="running".*\} [12]', metrics)
        assert "ray_study_images_per_second{" in metrics

        secret = page.partition("token=")[2]
        browser.open(
            urllib.request.Request(f"{address}stop", method="POST", headers={"X-Watch": secret}), timeout=PATIENCE
        )
        rest, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 130 and "--name endless --resume" in rest and "Traceback" not in rest
    finally:
        run.kill()
        run.communicate()
    assert "endless: stopped in the search phase" in ask("status", "endless", cwd=tmp_path)
    assert "epoch 2 of 90000: val_accuracy=" in ask("logs", "endless/scratch_vit-000", cwd=tmp_path)
    with pytest.raises(OSError):
        browser.open(address, timeout=PATIENCE)
