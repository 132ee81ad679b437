"""`python -m analysis`: what it answers, and one line with exit status 2 for what it cannot."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from fake_study import confirmed_study, trial_row, write_study, write_tables

ROWS = [
    trial_row("vit-000", 0.97, 100.0, train_seconds=50.0),
    trial_row("vit-001", 0.96, 200.0, train_seconds=60.0),
    trial_row("resnet18-000", 0.95, 400.0, train_seconds=20.0),
    trial_row("resnet18-001", 0.70, 800.0, train_seconds=10.0),
    trial_row("resnet18-002", 0.69, 700.0, train_seconds=10.0),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tables(tmp_path / "a|b", ROWS)


def test_pareto_of_speed_and_accuracy(ask, folder: Path) -> None:
    status, out, _ = ask("pareto", folder, "--format", "csv")
    front = pd.read_csv(io.StringIO(out))
    assert status == 0
    assert front["trial"].to_list() == ["vit-000", "vit-001", "resnet18-000", "resnet18-001"]
    assert front.columns.to_list() == [
        "model",
        "trial",
        "inference_images_per_second",
        "val_accuracy",
        "lr",
        "train_size",
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["--x", "train_seconds"], ["resnet18-001", "resnet18-000", "vit-000"]),
        (["--x", "train_seconds:max"], ["vit-000", "vit-001"]),
        (["--z", "train_seconds"], ["vit-000", "vit-001", "resnet18-000", "resnet18-001"]),
        (["--y", "epochs"], ["resnet18-001"]),
        (["--x", "lr:min"], ["vit-000"]),
    ],
)
def test_pareto_knows_gains_from_costs(ask, folder: Path, columns: list[str], expected: list[str]) -> None:
    _, out, _ = ask("pareto", folder, *columns, "--format", "json")
    assert [row["trial"] for row in json.loads(out)] == expected


def test_best_names_a_candidate_for_each_need(ask, folder: Path) -> None:
    status, out, err = ask("best", folder, "--above", 500, "--format", "json")
    answers = {row["need"]: row["trial"] for row in json.loads(out)}
    doubt = "one training, the best of many (unconfirmed, optimistic)"
    assert (status, err) == (0, f"val_accuracy of vit-000, vit-001, resnet18-000, resnet18-001: {doubt}\n")
    assert answers == {
        "most accurate": "vit-000",
        "fastest within 0.01 of the best": "vit-001",
        "knee of the front": "resnet18-000",
        "most accurate above 500": "resnet18-001",
    }


def test_best_says_which_need_nothing_meets(ask, folder: Path) -> None:
    status, _, err = ask("best", folder, "--above", 5000)
    assert status == 0
    assert err.splitlines()[1:] == ["no candidate for: most accurate above 5000"]


def test_best_of_a_study_without_speeds_is_the_most_accurate(ask, tmp_path: Path) -> None:
    study = write_tables(tmp_path, [trial_row("vit-000", 0.8, None), trial_row("vit-001", 0.9, None)])
    status, out, _ = ask("best", study, "--format", "json")
    assert (status, [(row["need"], row["trial"]) for row in json.loads(out)]) == (0, [("most accurate", "vit-001")])
    status, _, err = ask("best", study, "--above", 500)
    assert status == 2 and "'inference_images_per_second' holds no numbers in this study" in err


def test_best_of_nothing_concludes_nothing(ask, tmp_path: Path) -> None:
    status, _, err = ask("best", write_tables(tmp_path, [trial_row("vit-000", None, 1.0, state="failed")]))
    assert status == 1
    assert "no candidate for: most accurate\n" in err


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("markdown", r"| a\|b | vit | vit-000 |"),
        ("latex", r"a|b & vit & vit-000 &"),
        ("csv", "a|b,vit,vit-000,"),
        ("json", '"study":"a|b"'),
        ("text", "a|b"),
    ],
)
def test_the_table_of_two_studies_in_every_format(
    ask, folder: Path, tmp_path: Path, format: str, expected: str
) -> None:
    status, out, err = ask("table", folder, write_study(tmp_path / "second"), "--format", format)
    doubt = "val_accuracy of vit-000, resnet18-000: one training, the best of many (unconfirmed, optimistic)\n"
    assert (status, err) == (0, "" if format == "text" else doubt)  # where the text has it below the table
    assert expected in out


def test_a_table_from_confirmed_candidates(ask, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "digits")
    _, out, _ = ask("pareto", folder, "--format", "csv")
    assert "test_accuracy" in out.splitlines()[0]
    _, out, _ = ask("pareto", folder, "--phase", "search", "--format", "csv")
    assert "val_accuracy" in out.splitlines()[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tabel", "DIR"], "Did you mean 'table'?"),
        (["table"], "Missing argument 'STUDY_DIR...'"),
        (["table", "nowhere"], "nowhere: no such folder"),
        (["table", "DIR", "--format", "xml"], "'xml' is not one of 'text', 'markdown'"),
        (["table", "DIR", "--loud"], "No such option: --loud"),
        (["best", "DIR", "--points", "-1"], "greater than or equal to 0"),
        (["best", "DIR", "--x", "train_seconds"], "more is better"),
        (["best", "DIR", "--x", "train_size"], "train_size:max"),
        (["pareto", "DIR", "--x", "colour"], "'colour' is not a column of trials.csv; "),
        (["pareto", "DIR", "--x", "val_acuracy"], "did you mean 'val_accuracy'"),
        (["pareto", "DIR", "--x", "weights"], "'weights' holds no numbers"),
        (["pareto", "DIR", "--x", "lr"], "lr:max"),
        (["pareto", "DIR", "--x", "lr:up"], "max or min must follow the colon, not 'up'"),
        (["pareto", "DIR", "--x", "val_accuracy"], "different columns"),
        (["predict", "x" * 300, "y.png"], "export the model again"),
        (["translate", "x" * 300, "y.txt"], "File name too long; name another"),
        (["report", "nowhere"], "nowhere: no such folder"),
        (["report", "DIR", "--to", "/dev/null/report.html"], "the report cannot be written"),
        (["figures", "DIR", "--to", "/dev/null/figures"], "the figures cannot be written"),
    ],
)
def test_nonsense_gets_one_line_and_status_2(ask, folder: Path, args: list[str], message: str) -> None:
    status, out, err = ask(*(folder if arg == "DIR" else arg for arg in args))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_users_own_folders_are_not_imported(folder: Path, tmp_path: Path) -> None:
    for room in ("models", "record", "trainables", "study"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text('raise SystemExit("user\'s")\n')
    command = [sys.executable, "-m", "analysis", "table", folder, "--format", "csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for cwd in (tmp_path, ROOT):
        result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "vit-000" in result.stdout


def test_the_verbs_are_known_before_anything_slow_is_imported() -> None:
    slow = {"numpy", "pandas", "yaml", "rich", "plotly", "torch", "pydantic", "optuna", "ray"}
    code = f"import sys, analysis.cli.main; print({slow} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_without_a_question_it_explains_itself(ask) -> None:
    status, out, _ = ask()
    assert status == 0
    assert all(command in out for command in ("table", "pareto", "best"))


def test_report_and_figures_say_where_they_are(ask, folder: Path, tmp_path: Path) -> None:
    assert ask("report", folder)[:2] == (0, f"{folder / 'report.html'}\n")
    assert ask("report", folder, "--to", tmp_path / "new" / "page.html")[0] == 0
    assert (tmp_path / "new" / "page.html").stat().st_size > 1e6
    status, out, _ = ask("figures", folder)
    assert status == 0
    assert {Path(line).name for line in out.splitlines()} >= {"accuracy_vs_speed.png", "learning_curves.png"}
    assert all(Path(line).exists() for line in out.splitlines())


def test_compare_lists_each_other_candidate(ask, folder: Path, tmp_path: Path) -> None:
    status, out, notes = ask("compare", confirmed_study(tmp_path / "confirmed"), "--format", "json")
    assert "Other settings may close the gap: fewer than 4 trials of resnet18 are complete." in notes
    assert status == 0
    assert [row["differ"] for row in json.loads(out)].count(False) == 1
    assert "nothing to compare" in ask("compare", folder)[2]


def test_importance_without_a_ledger_says_so(ask, folder: Path) -> None:
    status, _, err = ask("importance", folder)
    assert status == 0
    assert "no study.db" in err


def test_best_is_chosen_by_validation_and_shows_the_test(ask, tmp_path: Path) -> None:
    status, out, _ = ask("best", confirmed_study(tmp_path / "confirmed"), "--format", "json")
    assert status == 0
    top = json.loads(out)[0]
    assert (top["trial"], top["val_accuracy"]) == ("vit-000", 0.95)
    assert "test_accuracy" in top
