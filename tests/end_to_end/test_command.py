"""The installed command, from a folder that is not the project's and holds packages of the user's with our names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

COMMAND = Path(sys.executable).with_name("vision-study")
SEARCH_ONLY = ("--set", "phases=[search]", "--set", "objectives=[val_accuracy]", "--trials", "1")

pytestmark = pytest.mark.skipif(not COMMAND.exists(), reason="vision-study is not installed in this environment")


def call(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "120"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=environment, check=False)


@pytest.fixture
def folder_of_the_user(tmp_path: Path) -> Path:
    """Packages named like ours that end every program that imports them."""
    for name in ("record", "models", "trainables", "study", "analysis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the user\\'s own package was imported')\n")
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def test_the_users_own_packages_are_not_imported(folder_of_the_user: Path) -> None:
    """Neither by the command nor by Ray's workers; then the other verbs read the study."""
    ran = call("run", "--space", "tiny.yaml", *SEARCH_ONLY, cwd=folder_of_the_user)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    listed = call("list", "--format", "csv", cwd=folder_of_the_user)
    assert listed.returncode == 0 and listed.stdout.splitlines()[1].startswith("tiny,"), listed.stdout + listed.stderr
    table = call("table", "results/tiny", cwd=folder_of_the_user)
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
