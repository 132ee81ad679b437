"""A study whose results are kept in S3: continued, read and exported on another machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import PATIENCE, ROOT, Program, one_error
from test_interruptions import LONG, check_resumed, start, wait_for_epochs

from analysis.use.export import export


def fetch(url: str, folder: Path) -> None:
    command = [sys.executable, ROOT / "vision_study.py", "fetch", f"{url}/long"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.mark.slow
def test_a_study_continues_on_another_machine_after_its_own_was_lost(
    tmp_path: Path, run_study: Program, s3: str
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for machine in (first, second, third):
        machine.mkdir()
    (first / "long.yaml").write_text(LONG)
    process = start(first, "--space", "long.yaml", "--results", s3)
    wait_for_epochs(process, first / "results" / "long", 5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and f"--results {s3} --resume" in output, output
    before = pd.read_csv(first / "results" / "long" / "trials.csv")
    result = run_study("--name", "long", "--results", s3, "--resume", cwd=second)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = second / "results" / "long"
    check_resumed(before, pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "epochs.csv"))
    fetch(s3, third)
    copy = third / "results" / "long"
    assert {path.name for path in copy.iterdir()} == {path.name for path in folder.iterdir()}
    assert (copy / "report.html").read_bytes() == (folder / "report.html").read_bytes()
    assert export(copy, "best", third / "model").trial == export(folder, "best", second / "model").trial
    # The first machine has an older state, and gets the newer one; the study is finished.
    again = run_study("--name", "long", "--results", s3, "--resume", cwd=first)
    assert again.returncode == 0, again.stdout + again.stderr
    assert pd.read_csv(first / "results" / "long" / "trials.csv").equals(pd.read_csv(folder / "trials.csv"))


def test_a_bucket_that_is_not_there_is_refused_before_anything_runs(
    tmp_path: Path, run_study: Program, s3: str
) -> None:
    url = s3.replace("b-", "other-")
    refused = one_error(run_study("--space", "digits_compare", "--results", url, cwd=tmp_path))
    assert refused.startswith(f"error: {url}/digits_compare: results cannot be kept there")
    assert not list(tmp_path.iterdir())
