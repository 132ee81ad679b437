"""The table of a study, for programs and for a terminal."""

import io
from pathlib import Path

import pandas as pd
import pytest
from fake_study import trial_row, write_study, write_tables
from rich.console import Console

import analysis
from analysis.tell.summary import print_summary
from analysis.weigh.summary import summary


def printed(study: analysis.Study, width: int = 80) -> str:
    text = io.StringIO()
    print_summary(study, Console(file=text, width=width))
    return text.getvalue()


def test_a_row_shows_the_best_candidate_of_the_model(tmp_path: Path) -> None:
    rows = [
        trial_row("vit-000", 0.90, 100.0, lr=0.01),
        trial_row("vit-001", 0.95, 100.0, lr=0.02),
        trial_row("vit-002", 0.99, 100.0, state="pruned"),
        trial_row("resnet18-000", 0.80, 50.0),
        trial_row("scratch_vit-000", None, 500.0, state="failed", error="loss is nan"),
    ]
    table = {row["model"]: row for row in summary(analysis.load(write_tables(tmp_path, rows))).to_dict("records")}
    shown = ("trial", "val_accuracy", "lr", "train_size", "complete", "pruned", "failed", "running")
    assert [table["vit"][name] for name in shown] == ["vit-001", 0.95, 0.02, 500, 2, 1, 0, 0]
    assert table["vit"]["on_front"] is True
    assert table["resnet18"]["on_front"] is False
    assert pd.isna([table["scratch_vit"][name] for name in ("trial", "val_accuracy", "on_front", "seeds")]).all()


def test_a_confirmed_candidate_is_chosen_by_validation_and_shown_by_test(tmp_path: Path) -> None:
    rows = [trial_row("vit-000", 0.95, 100.0), trial_row("vit-001", 0.94, 200.0)]
    for name, val, test in (("vit-000", 0.94, 0.90), ("vit-001", 0.93, 0.99)):
        for seed in range(2):
            confirm = {
                "phase": "confirm",
                "candidate": name,
                "seed": seed,
                "test_accuracy": test + 0.01 * seed,
            }
            rows.append(trial_row(f"{name}-s{seed}", val, 100.0, **confirm))
    (row,) = summary(analysis.load(write_tables(tmp_path, rows))).to_dict("records")
    assert row["trial"] == "vit-000"
    assert row["test_accuracy"] == pytest.approx(0.905)
    assert row["test_accuracy_std"] == pytest.approx(0.01 / 2**0.5)
    assert row["seeds"] == 2
    assert row["complete"] == 2  # the search's trials, without the confirm runs


@pytest.mark.parametrize("seeds", [0, 3])
def test_the_terminal_shows_it_all_in_80_columns(tmp_path: Path, seeds: int) -> None:
    text = printed(analysis.load(write_study(tmp_path / "digits", seeds=seeds)))
    assert max(map(len, text.splitlines())) <= 80
    assert "16 search trials (11 complete, 4 pruned, 1 failed)" in text
    assert "Failed: scratch_vit-003: loss is nan in epoch 2 [lr 0.3]" in text
    assert "AMD EPYC (2 cores) cpu, 2 threads, float32, batch 64" in text
    assert "Data: digits (scikit-learn)" in text
    assert ("mean ± standard deviation over 3 seeds" in text) == (seeds == 3)
    assert "\x1b" not in text  # no colour codes where there is no terminal


def test_failures_of_one_reason_share_a_line(tmp_path: Path) -> None:
    failed = [trial_row(f"vit-{i:03d}", None, 100.0, state="failed", error="out of\nmemory") for i in range(6)]
    text = printed(analysis.load(write_tables(tmp_path, failed)), width=200)
    assert "Failed: vit-000, vit-001, vit-002, vit-003 and 2 more: out of memory\n" in text
    assert "Front" not in text


def test_translation_is_measured_in_bleu_and_sentences(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "multi30k", quality="bleu"))
    assert {"test_bleu", "test_bleu_std", "val_bleu", "inference_sentences_per_second"} <= set(summary(study).columns)
    assert "sentences/s" in printed(study)


def test_a_translation_that_is_not_timed_yet_is_not_counted_in_images(tmp_path: Path) -> None:
    row = trial_row("transformer-000", 0.7, None, state="running")
    text = printed(analysis.load(write_tables(tmp_path, [row], quality="bleu")))
    assert "sentences/s" in text
    assert "images/s" not in text


def test_many_settings_move_below_the_table(tmp_path: Path) -> None:
    more = {"weight_decay": 0.1, "dropout": 0.2}
    folder = write_tables(tmp_path, [trial_row("vit-000", 0.9, 100.0, **more)])
    (folder / "study.yaml").write_text("models: {vit: {search: {weight_decay: 1, dropout: 1}}}")
    text = printed(analysis.load(folder))
    assert "vit-000: lr 0.001, train_size 500, weight_decay 0.1, dropout 0.2" in text


def test_the_error_of_interpolated_speeds_is_told(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, [trial_row("vit_tome-000", 0.9, 100.0)])
    assert "Interpolated" not in printed(analysis.load(folder))
    profile = pd.read_csv(folder / "profile.csv")
    exact = profile.assign(inference_images_per_second=100.0, interpolated_images_per_second=[90.0, 102.0, 100.0, None])
    exact.to_csv(folder / "profile.csv", index=False)
    line = "Interpolated speeds of 3 settings against exact timings: median error 2.0%, largest 10.0%"
    assert line in " ".join(printed(analysis.load(folder)).split())


def test_timings_that_stayed_disturbed_are_counted(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, [trial_row("vit_tome-000", 0.9, 100.0)])
    assert "disturbed" not in printed(analysis.load(folder))
    profile = pd.read_csv(folder / "profile.csv").astype({"busy": object})
    profile.loc[0, "busy"] = "other processes took 30% of the processor time"
    profile.to_csv(folder / "profile.csv", index=False)
    assert f"1 of {len(profile)} timings stayed disturbed" in " ".join(printed(analysis.load(folder)).split())


def test_a_disturbed_speed_is_marked(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, [trial_row("vit_tome-000", 0.9, 100.0), trial_row("vit-000", 0.8, 300.0)])
    assert "~" not in printed(analysis.load(folder))
    profile = pd.read_csv(folder / "profile.csv").astype({"busy": object})
    profile.loc[profile["model"] == "vit_tome", "busy"] = "other processes took 30% of the processor time"
    profile.to_csv(folder / "profile.csv", index=False)
    words = printed(analysis.load(folder)).split()
    assert {"~100", "300", "~:"} <= set(words) and "~300" not in words
