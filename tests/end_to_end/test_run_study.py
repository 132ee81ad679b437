"""The program as a person meets it: one command, its folder, its interruptions, its refusals."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import yaml
from conftest import ROOT, SHARED, TINY, TINY_OPTIONS, Program, one_error


@pytest.fixture
def copied(tiny_study: Path, tmp_path: Path) -> Path:
    """A working folder of its own with the finished tiny study and its space."""
    shutil.copytree(tiny_study, tmp_path / "results" / "tiny")
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def test_a_study_leaves_the_folder_of_the_contract(tiny_study: Path) -> None:
    for name in ("study.yaml", "environment.json", "study.db", "trials.csv", "epochs.csv", "profile.csv"):
        assert (tiny_study / name).stat().st_size > 0, name
    assert (tiny_study / "figures" / "accuracy_vs_speed.png").read_bytes().startswith(b"\x89PNG")
    trials = pd.read_csv(tiny_study / "trials.csv")
    assert Counter(trials[["phase", "model", "state"]].itertuples(index=False, name=None)) == {
        ("search", "scratch_vit", "complete"): 2,
        ("search", "vit_tome", "complete"): 2,
        ("confirm", "scratch_vit", "complete"): 2,
        ("confirm", "vit_tome", "complete"): 2,
    }
    assert trials.trial.is_unique and set(trials.trial[trials.phase == "search"]) >= {"scratch_vit-000", "vit_tome-001"}
    assert set(trials.data) == {"digits (scikit-learn)"} and set(trials.weights) == {"none"}
    assert (trials.inference_images_per_second > 0).all() and (trials.train_seconds > 0).all()
    epochs = pd.read_csv(tiny_study / "epochs.csv")
    assert epochs.columns[:4].tolist() == ["trial", "model", "phase", "epoch"] and len(epochs) == 16
    assert epochs.columns.str.startswith("contended_").sum() == 3
    profile = pd.read_csv(tiny_study / "profile.csv")
    assert len(profile[profile.phase == "profile"]) == 3  # scratch_vit, and vit_tome at two ratios
    environment = json.loads((tiny_study / "environment.json").read_text())
    assert environment["versions"]["ray"] and environment["data"]["test"] == 359
    assert set(environment["duration_seconds"]) == {"profile", "search", "confirm"}
    assert set(environment["expected_seconds"]) == {"search", "confirm"}


def test_only_confirmed_trials_have_seen_the_test_split_and_each_with_its_own_seed(tiny_study: Path) -> None:
    trials = pd.read_csv(tiny_study / "trials.csv")
    confirmed = trials[trials.phase == "confirm"]
    assert trials[trials.phase == "search"].test_accuracy.isna().all() and confirmed.test_accuracy.notna().all()
    assert confirmed.groupby("candidate").seed.nunique().tolist() == [2, 2]
    assert not set(confirmed.seed) & set(trials[trials.phase == "search"].seed)


def test_optuna_opens_the_ledger_with_one_study_a_cell(tiny_study: Path) -> None:
    names = optuna.get_all_study_names(f"sqlite:///{tiny_study / 'study.db'}")
    assert sorted(names) == ["confirm scratch_vit", "confirm vit_tome", "profile", "scratch_vit", "vit_tome"]


def test_checkpoints_are_kept_for_what_can_be_exported_and_no_more(tiny_study: Path) -> None:
    trials = pd.read_csv(tiny_study / "trials.csv")
    kept = {path.stem for path in (tiny_study / "checkpoints").glob("*")}
    assert kept == set(trials.trial[trials.phase == "confirm"]) | set(trials.candidate.dropna())


def test_an_existing_study_is_not_overwritten(copied: Path, run_study: Program) -> None:
    assert "--resume" in one_error(run_study("--space", "tiny.yaml", cwd=copied))


def test_resuming_a_finished_study_shows_its_table_and_trains_nothing(copied: Path, run_study: Program) -> None:
    before = (copied / "results" / "tiny" / "trials.csv").read_text()
    result = run_study("--space", "tiny.yaml", *TINY_OPTIONS, "--resume", cwd=copied)
    assert result.returncode == 0, result.stderr
    assert "scratch_vit" in result.stdout and "running" not in result.stdout
    assert (copied / "results" / "tiny" / "trials.csv").read_text() == before


def test_a_changed_space_is_refused(copied: Path, run_study: Program) -> None:
    (copied / "tiny.yaml").write_text(TINY.replace("width: 32", "width: 64"))
    message = one_error(run_study("--space", "tiny.yaml", "--resume", cwd=copied))
    assert "models.scratch_vit.width: 32 -> 64" in message
    assert "epochs" in one_error(run_study("--name", "tiny", "--resume", "--epochs", 9, cwd=copied))


@pytest.mark.slow
def test_more_trials_extend_the_study(copied: Path, run_study: Program) -> None:
    old = pd.read_csv(copied / "results" / "tiny" / "trials.csv").set_index("trial")
    result = run_study("--name", "tiny", "--resume", "--trials", 3, cwd=copied)
    assert result.returncode == 0, result.stderr
    assert re.search(r"took 0:\S+: profile \S+, search \S+ \(expected \S+\), confirm \S+ \(expected", result.stdout)
    new = pd.read_csv(copied / "results" / "tiny" / "trials.csv").set_index("trial")
    assert (new.phase == "search").sum() == 6
    assert (new.loc[old.index].val_accuracy == old.val_accuracy).all()


@pytest.mark.slow
def test_a_model_that_cannot_hold_a_limit_is_left_out_and_said(copied: Path, run_study: Program) -> None:
    """vit_tome has 27,946 parameters, scratch_vit fewer; the trials that both have already stay."""
    old = pd.read_csv(copied / "results" / "tiny" / "trials.csv")
    wanted = ("--trials", 3, "--set", "limits.parameters=25000")
    result = run_study("--name", "tiny", "--resume", *wanted, cwd=copied)
    assert result.returncode == 0, result.stderr
    assert "limits: vit_tome is left out, not under parameters 25,000: 27,946, tome_ratio 0.0" in result.stdout
    new = pd.read_csv(copied / "results" / "tiny" / "trials.csv")
    assert Counter(new[new.phase == "search"].model) == {"scratch_vit": 3, "vit_tome": 2}
    assert (new[new.phase == "confirm"].model == "vit_tome").sum() == (
        old.phase[old.model == "vit_tome"] == "confirm"
    ).sum()
    assert yaml.safe_load((copied / "results" / "tiny" / "study.yaml").read_text())["limits"] == {"parameters": 25000.0}


def test_limits_that_no_model_can_hold_end_the_study_with_the_nearest_in_a_line(
    copied: Path, run_study: Program
) -> None:
    message = one_error(run_study("--name", "tiny", "--resume", "--set", "limits.parameters=10", cwd=copied))
    assert (
        "no model can hold the limits; the nearest is scratch_vit, not under parameters 10: 19,008;" in message
        and "--resume" in message
    )


def test_a_study_is_not_timed_further_on_other_hardware(copied: Path, run_study: Program) -> None:
    """As if it had been begun on another machine, and one of its settings not timed yet."""
    with sqlite3.connect(copied / "results" / "tiny" / "study.db") as ledger:
        change = "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?) WHERE key = ? AND value_json LIKE ?"
        for key, like, old, new in (("hardware", "%", " x ", " x Other "), ("point", "%0.0%", "0.0", "0.01")):
            changed = ledger.execute(change, (old, new, key, like)).rowcount
            assert changed == {"hardware": 3, "point": 1}[key]
    message = one_error(run_study("--name", "tiny", "--resume", cwd=copied))
    assert (
        "models.vit_tome: speeds of this study are timed on " in message
        and " x Other " in message
        and "continue there" in message
    )
    assert "Other" in (copied / "results" / "tiny" / "profile.csv").read_text()


@pytest.mark.slow
def test_a_study_learns_from_an_earlier_one_says_so_and_needs_it_no_more(copied: Path, run_study: Program) -> None:
    short = ("--set", "phases=[search]", "--set", "objectives=[val_accuracy]", "--set", "learn_from=[results/tiny]")
    learnt = "settings learnt: 2 of scratch_vit, 2 of vit_tome from tiny"
    assert (
        f"# {learnt}" in run_study("--space", "tiny.yaml", "--name", "second", *short, "--dry-run", cwd=copied).stdout
    )
    result = run_study("--space", "tiny.yaml", "--name", "second", *short, cwd=copied)
    assert result.returncode == 0, result.stderr
    assert learnt in result.stdout and "tried: 1 of 2 trials per cell of scratch_vit, vit_tome" in result.stdout
    second = copied / "results" / "second"
    first = pd.read_csv(copied / "results" / "tiny" / "trials.csv").set_index("trial")
    shutil.rmtree(copied / "results" / "tiny")
    assert "learn_from" in one_error(run_study("--name", "second", "--resume", "--set", "learn_from=[]", cwd=copied))
    result = run_study("--name", "second", "--resume", "--trials", 3, cwd=copied)
    assert result.returncode == 0, result.stderr
    trials = pd.read_csv(second / "trials.csv").dropna(subset="learnt_from")
    assert len(trials) == 4
    for _, trial in trials.iterrows():
        assert trial.lr == first.loc[trial.learnt_from.removeprefix("tiny/")].lr
    [teacher] = json.loads((second / "environment.json").read_text())["learnt_from"]
    assert (
        teacher["name"] == "tiny" and teacher["settings"] == {"scratch_vit": 2, "vit_tome": 2} and teacher["identity"]
    )
    assert "Settings of earlier studies (tiny) tried: 2 of 3 trials" in (second / "report.html").read_text()


def test_dry_run_prints_the_study_and_leaves_nothing(tmp_path: Path, run_study: Program) -> None:
    result = run_study("--space", "digits_compare", "--trials", 7, "--dry-run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert yaml.safe_load(result.stdout)["trials"] == 7 and "# 35 search trials" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_dry_run_with_profile_says_how_long_it_would_take_and_leaves_nothing(
    tmp_path: Path, run_study: Program
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    result = run_study("--space", "tiny.yaml", "--dry-run", "--profile", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"# expected duration on this hardware: about 0:.*\(search .*, confirm .*\), after",
        result.stdout,
    )
    assert "# From about" in result.stdout or "# Within 10 hours" in result.stdout
    assert yaml.safe_load(result.stdout)["trials"] == 2 and len(list(tmp_path.iterdir())) == 1
    assert "--dry-run" in one_error(run_study("--space", "tiny.yaml", "--profile", cwd=tmp_path))


def test_list_spaces_names_them_without_loading_torch(run_study: Program, tmp_path: Path) -> None:
    result = run_study("--list-spaces", cwd=tmp_path)
    for name in ("digits_compare", "cifar_compare", "cifar_small", "scratch_vit_scaling", "tome_tradeoff"):
        assert f"{name}: " in result.stdout
    code = "import sys, run_study; run_study._print_spaces(); assert not {'torch', 'ray', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cpus-per-trial", "512"], ["512", "--cpus-per-trial"]),
        pytest.param(["--gpus-per-trial", "64"], ["64", "--gpus-per-trial"], marks=pytest.mark.slow),
        (["--address", "127.0.0.1:1"], ["127.0.0.1:1", "auto"]),
        pytest.param(["--storage", "nosql://x"], ["nosql://x"], marks=pytest.mark.slow),
    ],
)
def test_a_cluster_or_ledger_that_cannot_be_gets_one_line(
    tmp_path: Path, run_study: Program, arguments: list[str], words: list[str]
) -> None:
    message = one_error(run_study("--space", "digits_compare", *arguments, cwd=tmp_path))
    assert all(word in message for word in words)


PRETRAINED = ["--space", "tome_tradeoff", "--data", "digits", "--set", "models.vit_tome.train_size=9", "--weights"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--space"]),
        (["--space", "digit_compare"], ["did you mean 'digits_compare'"]),
        (["--space", "nowhere.yaml"], ["nowhere.yaml", "no such file"]),
        (["--spaec", "digits_compare"], ["--spaec", "--space"]),
        (["--space", "digits_compare", "--trials", "many"], ["--trials", "integer"]),
        (["--space", "digits_compare", "--set", "trials"], ["--set", "key=value"]),
        (["--space", "digits_compare", "--set", "models.vit.deep=3"], ["deep", "did you mean 'depth'"]),
        (["--space", "digits_compare", "--set", "trials.x=3"], ["trials"]),
        (["--space", "digits_compare", "--time-budget", "soon"], ["time_budget", "30m"]),
        (
            ["--space", "digits_compare", "--set", "sampler.name=TPESample"],
            ["sampler.name", "did you mean 'TPESampler'"],
        ),
        (["--space", "digits_compare", "--set", "sampler={name: CmaEsSampler}"], ["sampler", "one objective"]),
        (["--space", "digits_compare", "--data", "digts"], ["digts", "digits"]),
        (["--space", "digits_compare", "--data", "x" * 300], ["neither a data set nor a folder"]),
        (["--space", "digits_compare", "--data", "~nobody-here/x"], ["neither a data set nor a folder"]),
        (["--space", "cifar_small", "--data-dir", "x" * 300], ["File name too long", "name another"]),
        (
            [*PRETRAINED, "x" * 300],
            ["does not exist", "timm"],
        ),
        (["--space", "cifar_small", "--data-dir", "a/b/c"], ["CIFAR-10 is not in a/b/c"]),
        (["--space", "translation_small", "--data-dir", "a/b/c"], ["Multi30k is not in a/b/c"]),
        (["--space", "digits_compare", "--results", "x" * 300], ["File name too long", "name another"]),
        (["--space", "digits_compare", "--data", "."], ["class folder", "parquet"]),
        (["--space", "cifar_small"], ["cifar", "--data-dir"]),
        (["--space", "cifar_compare", "--data", "digits", "--set", "all_models.train_size=100"], ["--weights"]),
        (["--space", "digits_compare", "--weights", "x.pt"], ["--weights", "no model"]),
        (["--space", "digits_compare", "--weights", "timm"], ["--weights timm", "no model"]),
        (
            [*PRETRAINED, "tim"],
            ["tim does not exist", "none", "timm", "FILE"],
        ),
        (["--space", "digits_compare", "--set", "all_models.train_size=5000"], ["5000", "1150"]),
        (["--space", "digits_compare", "--name", "a/b"], ["--name"]),
        (["--name", "nothing", "--resume"], ["nothing", "--space"]),
    ],
)
def test_nonsense_gets_one_line_and_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    """In this process, since importing torch takes longer than all of these; nothing of Ray is started by them."""
    import run_study as program

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments])
    assert program.cli() == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    for word in words:
        assert word in message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path: Path, run_study: Program) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    assert "results" in one_error(run_study("--space", "digits_compare", cwd=tmp_path))


def with_a_diverging_model() -> dict[str, Any]:
    space: dict[str, Any] = yaml.safe_load(TINY)
    space |= {"objectives": ["val_accuracy"], "phases": ["search"]}
    space["models"]["scratch_vit"] |= {"lr": 1e30, "gradient_clip": 0, "warmup_epochs": 0}
    return space


@pytest.mark.slow
def test_a_model_that_always_fails_is_recorded_with_its_reason_and_the_study_goes_on(
    tmp_path: Path, run_study: Program
) -> None:
    """One model diverges by its learning rate; the other one's trials are unharmed."""
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(with_a_diverging_model()))
    result = run_study("--space", "both.yaml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    trials = pd.read_csv(tmp_path / "results" / "both" / "trials.csv")
    assert Counter(trials[["model", "state"]].itertuples(index=False, name=None)) == {
        ("scratch_vit", "failed"): 2,
        ("vit_tome", "complete"): 2,
    }
    assert trials.error.dropna().str.contains("diverged: the .* loss of epoch").all()


@pytest.mark.slow
def test_a_study_whose_trials_all_fail_is_exit_status_1(tmp_path: Path, run_study: Program) -> None:
    space = with_a_diverging_model()
    del space["models"]["vit_tome"]
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(space))
    assert run_study("--space", "one.yaml", cwd=tmp_path).returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "cifar10").exists(), reason="needs ../shared/data/cifar10, which is absent")
def test_a_folder_of_real_images_runs_on_a_pretrained_backbone(tmp_path: Path, run_study: Program) -> None:
    """Hub-style Parquet and a real weights file: two epochs at a low resolution, for the machinery alone."""
    saliency = SHARED / "weights" / "vit_small_patch14_saliency.safetensors"
    space = {
        "description": "real data and weights", "data": {"name": str(SHARED / "data" / "cifar10"), "validation": 50},
        "objectives": ["val_accuracy"], "phases": ["search"], "trials": 1, "early_stopping": None,
        "models": {"vit": {
            "architecture": "vit_small_patch14_dinov2", "image_size": 28, "weights": str(saliency), "epochs": 1,
            "train_size": 20, "batch_size": 10, "lr": 1e-4,
        }},
    }  # fmt: skip
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(space))
    result = run_study("--space", "real.yaml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    [trial] = pd.read_csv(tmp_path / "results" / "real" / "trials.csv").itertuples()
    assert trial.weights == "file:vit_small_patch14_saliency.safetensors" and "Parquet" in trial.data
