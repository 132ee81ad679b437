"""The table of a results folder, on made-up studies."""

from pathlib import Path

from fake_study import write_study

from analysis.weigh.overview import overview


def test_one_row_per_study_and_a_note_for_what_cannot_be_read(tmp_path: Path) -> None:
    write_study(tmp_path / "one", models=("vit", "resnet18"), trials=4, seeds=2)
    write_study(tmp_path / "two", models=("vit",), quality="bleu", seeds=0)
    (tmp_path / "not_a_study").mkdir()
    (tmp_path / "a_file").write_text("")
    broken = write_study(tmp_path / "broken", models=("vit",))
    (broken / "trials.csv").write_text('a,b\n"')
    table, notes = overview(tmp_path)
    assert table["study"].tolist() == ["one", "two"] and len(notes) == 1 and "broken" in notes[0]
    one = table.set_index("study").loc["one"]
    # Two models with four trials: one failed, one of each model pruned; each model's best confirmed twice.
    assert one[["complete", "pruned", "failed", "running"]].tolist() == [5 + 4, 2, 1, 0]
    assert one["best_model"] == "vit" and one["best"].startswith("accuracy 8") and one["best"].endswith(" %")
    assert table.set_index("study").loc["two", "best"].startswith("BLEU 3")


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    table, notes = overview(tmp_path)
    assert table.empty and not notes
