"""list, status, logs and stop: what they say of studies that run, were killed, or are finished."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from conftest import Command
from driven_study import TRACEBACK, driven


def test_the_status_of_a_study_that_runs(tmp_path: Path, command: Command) -> None:
    with driven(tmp_path / "mine") as study:
        status, out, _ = command("status", "mine", "--results", tmp_path)
        assert status == 0 and out.startswith("mine: running (process "), out
        assert "search phase, 3.5 of 6 done, expected end " in out
        assert "trials: 2 complete, 1 failed, 1 running" in out
        assert "running: resnet18-003  epoch 2 of 4  accuracy 25.0 %" in out
        assert "best so far: resnet18-001 accuracy 75.0 % (search)" in out
        assert "failed: resnet18-002: ValueError: <b>bad</b>" in out
        study.train(study.running, 3, 0.5)
        state = json.loads(command("status", tmp_path / "mine", "--json")[1])
    assert state["state"] == "running" and state["running"][0]["epoch"] == 3
    assert state["failed"][0]["traceback"] == TRACEBACK


def test_a_killed_a_finished_and_a_distant_study_are_told_apart(tmp_path: Path, command: Command) -> None:
    dead = {"host": socket.gethostname(), "pid": 1, "created": 0.0}  # another process has its number now
    with driven(tmp_path / "killed") as study:
        study.write_environment(driver=dead)
    with driven(tmp_path / "finished") as study:
        study.train(study.running, 4, 0.5)
        study.write_environment(driver=dead, finished="2026-01-31T12:00:00")
    with driven(tmp_path / "distant") as study:
        study.write_environment(driver=dead | {"host": "another"})
    listed = command("list", "--results", tmp_path, "--format", "csv")[1].splitlines()
    assert listed[0].startswith("study,state,phase,started,complete,pruned,failed,running")
    assert sorted(line.split(",")[1] for line in listed[1:]) == ["elsewhere", "finished", "stopped"]
    killed = command("status", tmp_path / "killed")[1]
    assert "stopped in the search phase, 3.5 of 6 done" in killed and "--name killed" in killed and "--resume" in killed
    assert "finished 2026-01-31T12:00:00" in command("status", tmp_path / "finished")[1]
    assert "its driver ran on another, process 1" in command("status", tmp_path / "distant")[1]
    for name, words in (
        ("killed", "does not run (stopped)"),
        ("finished", "(finished)"),
        ("distant", "ran on another"),
    ):
        status, _, error = command("stop", tmp_path / name)
        assert status == 2 and error.count("\n") == 1 and words in error


def test_the_logs_of_a_study_and_of_a_trial(tmp_path: Path, command: Command) -> None:
    with driven(tmp_path / "mine"):
        lines = command("logs", "mine", "--results", tmp_path)[1].splitlines()
        trial = command("logs", "resnet18-003", "--results", tmp_path)[1].splitlines()
        failed = command("logs", tmp_path / "mine" / "resnet18-002")[1]
        again = command("logs", "mine/resnet18-002", "--results", tmp_path)[1]
    assert "resnet18-000 started: lr=" in lines[0] and lines[-1] == "mine: running"
    assert any(line.endswith("resnet18-001 complete: accuracy 75.0 % after 4 epochs") for line in lines)
    assert any(line.endswith("resnet18-002 failed: ValueError: <b>bad</b>") for line in lines)
    assert (
        trial[1] == "epoch 1 of 4: val_accuracy=0.25 train_loss=1 train_seconds=2"
        and trial[3] == "resnet18-003: running"
    )
    assert failed == again and failed.endswith(TRACEBACK)


def test_logs_that_are_followed_end_with_the_study(tmp_path: Path, command: Command) -> None:
    with driven(tmp_path / "mine") as study:
        study.write_environment(driver={})
        assert command("logs", tmp_path / "mine", "--follow")[1].endswith("mine: stopped\n")
        assert command("logs", tmp_path / "mine" / "resnet18-003", "--follow")[1].endswith("resnet18-003: running\n")


def test_names_that_nothing_has_are_one_line(tmp_path: Path, command: Command) -> None:
    for name in ("one", "two"):
        with driven(tmp_path / name):
            pass
    (tmp_path / "not_a_study").mkdir()
    for arguments, words in (
        (["status", "onne", "--results", tmp_path], "no such study"),
        (["status", "not_a_study", "--results", tmp_path], "is not a study folder"),
        (["logs", "resnet18-009", "--results", tmp_path], "did you mean"),
        (["logs", "resnet18-001", "--results", tmp_path], "several studies have such a trial"),
        (["logs", tmp_path / "one" / "resnet18-1"], "has no trial 'resnet18-1'; did you mean"),
        (["stop", "three", "--results", tmp_path], "no such study"),
        (["list", "--results", tmp_path / "none"], "no such folder"),
    ):
        status, _, error = command(*arguments)
        assert status == 2 and error.startswith("error: ") and error.count("\n") == 1 and words in error, error
    (tmp_path / "one" / "study.db").write_bytes(b"not a database" * 100)
    assert command("status", tmp_path / "one")[0] == 2
    status, out, error = command("list", "--results", tmp_path, "--format", "csv")
    assert status == 0 and "one,," in out and "the ledger cannot be read" in error


def test_looking_on_changes_nothing_and_imports_no_engine(tmp_path: Path) -> None:
    import subprocess

    with driven(tmp_path / "mine") as study:
        study.write_environment(driver={})
    before = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir() if path.is_file()}
    code = (
        "import sys; from pathlib import Path; from service import progress, tell; "
        "print(tell.lines(progress.read(progress.find(sys.argv[1], Path('results'))))[0]); "
        "print({'ray', 'torch', 'optuna', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "mine")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.splitlines()[-1] == "set()"
    assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir() if path.is_file()} == before
