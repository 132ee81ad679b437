"""The sentences of the answer and the remarks of the report, where a single number decides what they say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import confirmed_study, trial_row, write_tables

import analysis
from analysis.read.conditions import learnt
from analysis.tell.answer import answers
from analysis.tell.remarks import unsteady_timings
from analysis.tell.report import render
from analysis.tell.wording import count, enumeration, setting, shortened
from analysis.weigh.comparison import comparisons, intervals


@pytest.mark.parametrize(
    ("seeds", "images", "sentence"),
    [
        (7, np.nan, "Telling it apart from vit_tome-000 would take about 7 seeds instead of 3 (2.0 points lie between"),
        (np.nan, 1234.0, "Telling it apart from vit_tome-000 would take about 1,200 test images instead of 400"),
        (np.nan, np.nan, "The differences are too small, as measured, to say how many seeds or test images"),
    ],
)
def test_what_would_tell_two_candidates_apart(tmp_path: Path, seeds: float, images: float, sentence: str) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    tied = {"p_holm": 0.4, "differ": False, "difference": 0.02, "seeds_needed": seeds, "images_needed": images}
    best = answers(study, intervals(study), pd.DataFrame([{"first": "vit-000", "second": "vit_tome-000"} | tied]))[0]
    assert best.trial == "vit-000"
    assert best.sentences[-2] == "It cannot be told apart from vit_tome-000 in accuracy."
    assert best.sentences[-1].startswith(sentence)


def test_no_candidate_stands_for_balance_that_another_beats_on_new_images(tmp_path: Path) -> None:
    """In validation vit_tome is the knee between vit and resnet18; on the test split resnet18 is better and faster."""
    folder = confirmed_study(tmp_path / "s")

    def met() -> dict[str, str]:
        study = analysis.load(folder)
        return {need: a.trial for a in answers(study, intervals(study), comparisons(study)) for need in a.needs}

    assert met()["Best balance (knee of the front)"] == "vit_tome-000"
    trials = pd.read_csv(folder / "trials.csv")
    tested = trials.loc[trials["model"] == "resnet18", "test_accuracy"].mean()
    trials.loc[(trials["model"] == "vit_tome") & (trials["phase"] == "confirm"), "test_accuracy"] = tested - 0.01
    trials.to_csv(folder / "trials.csv", index=False)
    assert met().get("Best balance (knee of the front)") != "vit_tome-000"


def test_an_answer_is_in_the_terms_of_its_task(tmp_path: Path) -> None:
    rows = [trial_row("vit-000", 0.75, 100.0, dropout=0.1), trial_row("vit-001", 0.7375, 250.0, dropout=0.2)]
    folder = write_tables(tmp_path, rows, quality="bleu")
    (folder / "study.yaml").write_text("task: translation\nmodels: {vit: {search: {lr: 1, dropout: 1}}}\n")
    study = analysis.load(folder)
    best, fast = answers(study, intervals(study), comparisons(study))
    reached = "validation BLEU 30.0 (unconfirmed, optimistic: the best of 2 single trainings)"
    assert f"{reached}, 100 sentences/s alone on the hardware." in best.sentences[0]
    assert "Fastest within 1 point of the best" in fast.needs
    assert fast.sentences[1] == "It is 2.50 times as fast as vit-000 and was measured 0.5 BLEU less accurate."


@pytest.mark.parametrize(("second", "is_warned"), [(110.0, False), (130.0, True)])
def test_a_setting_timed_twice_with_different_speeds_is_warned_about(
    tmp_path: Path, second: float, is_warned: bool
) -> None:
    folder = write_tables(tmp_path, [trial_row("vit-000", 0.9, 100.0)])
    first = pd.read_csv(folder / "profile.csv").query("model == 'vit'").assign(inference_images_per_second=100.0)
    again = first.assign(inference_images_per_second=second)
    pd.concat([first, again]).to_csv(folder / "profile.csv", index=False)
    warned = unsteady_timings(analysis.load(folder))
    assert [f"up to {second / 100:.1f} times as fast" in line for line in warned] == [True] * is_warned


def test_a_speed_that_was_timed_beside_something_else_is_not_called_alone(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, [trial_row("vit-000", 0.9, 100.0)])
    study = analysis.load(folder)
    assert "100 images/s alone on the hardware" in answers(study, intervals(study), comparisons(study))[0].sentences[0]
    assert unsteady_timings(study) == []
    profile = pd.read_csv(folder / "profile.csv")
    profile.assign(busy="other processes took 50% of the processor time").to_csv(folder / "profile.csv", index=False)
    study = analysis.load(folder)
    sentence = answers(study, intervals(study), comparisons(study))[0].sentences[0]
    assert "100 images/s (do not rely on this speed: other processes took 50% of the processor time)" in sentence
    assert f"{len(profile)} of {len(profile)} timings stayed disturbed" in unsteady_timings(study)[0]


def test_what_was_learnt_from_earlier_studies_is_counted_by_model(tmp_path: Path) -> None:
    """Two cells of vit tried one and one of two; resnet18, which the earlier study did not have, none."""
    rows = [trial_row(f"vit-{cell}-{i}", 0.9, 100.0, model="vit", cell=cell) for cell in "ab" for i in range(2)]
    assert learnt(analysis.load(write_tables(tmp_path / "cold", rows))) == []
    for number, row in enumerate(rows):
        row["learnt_from"] = None if number % 2 else "results-1/vit-003"
    rows += [trial_row(f"resnet18-{i}", 0.8, 200.0, learnt_from=None) for i in range(2)]
    folder = write_tables(tmp_path / "warm", rows)
    line = "Settings of earlier studies (results-1) tried: 1 of 2 trials per cell of vit; 0 of 2 trials per cell of resnet18"
    assert learnt(analysis.load(folder)) == [line]
    assert f"{line}." in render(analysis.load(folder))
    both = learnt(analysis.load(tmp_path / "cold", folder))
    assert both == [line.replace("tried:", "tried (warm):")]


def test_wording() -> None:
    assert (count(1, "seed"), count(1200, "image")) == ("1 seed", "1,200 images")
    assert [enumeration(names) for names in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert shortened(["a", "b", "c"], 2) == "a, b and 1 more"
    assert shortened(["a", "b"], 2) == "a, b"
    assert [setting("train_size", 10_000), setting("lr", 0.00123456)] == ["train size 10,000", "lr 0.00123"]
