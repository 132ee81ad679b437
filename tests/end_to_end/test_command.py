"""The installed command, from folders that are not the project's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, PATIENCE

pytestmark = pytest.mark.skipif(not COMMAND.exists(), reason="vision-study is not installed in this environment")


def call(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "120"}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
    )


def test_the_users_own_packages_are_not_imported(tiny_study: Path) -> None:
    """Neither by the command and Ray's workers, which ran the study, nor by the verbs that read it."""
    folder = tiny_study.parents[1]
    assert (folder / "models" / "__init__.py").exists()
    listed = call("list", "--format", "csv", cwd=folder)
    assert listed.returncode == 0 and listed.stdout.splitlines()[1].startswith("tiny,"), listed.stdout + listed.stderr
    table = call("table", "results/tiny", cwd=folder)
    assert table.returncode == 0 and "vit_tome" in table.stdout, table.stderr


def test_nonsense_is_one_line_and_exit_status_2(tmp_path: Path) -> None:
    for arguments, words in (
        (["tabel"], "Did you mean 'table'?"),
        (["run", "--space", "digit_compare"], "did you mean 'digits_compare'"),
        (["table", "nowhere"], "nowhere: no such folder"),
        (["plan", ".", "--hours", "0"], "--hours 0: must be a number above 0"),
        (["plan", ".", "--hours", "nan"], "--hours nan"),
        (["plan", ".", "--hours", "soon"], "--hours"),
        (["plan", "."], "is not a study folder"),
        (["plan"], "either a study folder or a --space"),
        (["plan", ".", "--data", "digits"], "go with --space"),
        (["list"], "--results results: no such folder"),
    ):
        result = call(*arguments, cwd=tmp_path)
        assert result.returncode == 2 and result.stderr.count("\n") == 1 and words in result.stderr, result.stderr


def test_the_shell_completes_verbs(tmp_path: Path) -> None:
    completing = {"_VISION_STUDY_COMPLETE": "complete_bash", "COMP_WORDS": "vision-study ta", "COMP_CWORD": "1"}
    result = subprocess.run(
        [str(COMMAND)], cwd=tmp_path, capture_output=True, text=True, env=os.environ | completing, check=False
    )
    assert result.stdout.split() == ["table"]
