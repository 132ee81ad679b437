"""A disk that takes no more: one line, nothing lost, and the study goes on when there is room again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import TINY, Program


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 280 kB, which the ledger fills in the middle of the second trial."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=280k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount the small disk that this needs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_study_in_one_line_and_resume_goes_on(
    tmp_path: Path, small_disk: Path, run_study: Program
) -> None:
    space = yaml.safe_load(TINY) | {"objectives": ["val_accuracy"], "phases": ["search"], "early_stopping": None}
    del space["models"]["vit_tome"]
    space["all_models"]["epochs"] = 6
    (tmp_path / "full.yaml").write_text(yaml.safe_dump(space))
    result = run_study("--space", "full.yaml", "--results", "disk", cwd=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stderr.count("\n") == 1 and "cannot be recorded" in result.stderr and "--resume" in result.stderr
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    result = run_study("--name", "full", "--results", "disk", "--resume", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    trials = pd.read_csv(small_disk / "full" / "trials.csv")
    assert trials.state.tolist() == ["complete"] * 2 and trials.epochs.tolist() == [6, 6]
    epochs = pd.read_csv(small_disk / "full" / "epochs.csv")
    assert epochs.groupby("trial").epoch.agg(list).tolist() == [list(range(1, 7))] * 2
