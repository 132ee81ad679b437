"""Confirmed candidates compared: which run is read, which pairs differ, and what the answer says of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import IMAGES, SKILLS, confirmed_study, trial_row, write_study, write_tables

import analysis
from analysis.tell.answer import answers, status
from analysis.weigh.comparison import answers_right, comparisons, intervals
from analysis.weigh.statistics import accuracy_interval, student_interval, wilson_interval
from record.crossed import differences


def scores(study: analysis.Study, candidate: str) -> np.ndarray:
    return study.trials.loc[study.trials["candidate"] == candidate, "test_accuracy"].to_numpy()


def test_intervals_are_the_textbook_ones(tmp_path: Path) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    table = intervals(study).set_index("trial")
    for trial in SKILLS:
        row, own = table.loc[trial], scores(study, trial)
        assert (row["student_low"], row["student_high"]) == pytest.approx(student_interval(own))
        assert (row["wilson_low"], row["wilson_high"]) == pytest.approx(wilson_interval(own.mean() * IMAGES, IMAGES))
        assert (row["low"], row["high"]) == pytest.approx(accuracy_interval(own, IMAGES))
    assert table["front_probability"]["resnet18-000"] == 1  # nothing is as fast
    assert 0.05 < table["front_probability"]["vit-000"] < 1  # vit_tome is faster and may be as accurate
    assert table.index[-1] == "resnet18-000"


def test_the_most_accurate_in_validation_is_compared_with_each_other_one(tmp_path: Path) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    right = answers_right(study)
    assert {key: runs.shape for key, runs in right.items()} == {(trial,): (3, IMAGES) for trial in SKILLS}
    for trial in SKILLS:
        assert right[(trial,)].mean(axis=1) == pytest.approx(scores(study, trial)[::-1])
    compared = comparisons(study)
    assert set(compared["first"]) == {"vit-000"} and set(compared["second"]) == {"vit_tome-000", "resnet18-000"}
    tested = differences({key[-1]: dict(enumerate(runs.astype(float))) for key, runs in right.items()}, "vit-000")
    for row in compared.to_dict("records"):
        found = tested[row["second"]]
        assert row["difference"] == pytest.approx(right[("vit-000",)].mean() - right[(row["second"],)].mean())
        assert row["p"] == pytest.approx(found.p) and row["p_holm"] >= row["p"]
        half = found.half_width(0.025)  # two rows, so that both hold with 95 %
        assert (row["low"], row["high"]) == pytest.approx((found.mean - half, found.mean + half))
        assert row["differ"] == (row["second"] == "resnet18-000")
        assert not row["differ"] or np.isnan([row["images_needed"], row["seeds_needed"]]).all()


def test_one_seed_tests_nothing_and_no_predictions_count_the_images_as_independent(tmp_path: Path) -> None:
    once = analysis.load(confirmed_study(tmp_path / "once", seeds=1))
    assert comparisons(once)["p"].isna().all() and not comparisons(once)["differ"].any()
    assert set(intervals(once)["interval"]) == {"images"}
    assert intervals(once)["front_probability"].isna().all()
    text = " ".join(answers(once, intervals(once), comparisons(once))[0].sentences)
    assert "was not tested: that takes two candidates with two seeds each" in text
    with_images = comparisons(analysis.load(confirmed_study(tmp_path / "s")))
    blind = analysis.load(confirmed_study(tmp_path / "blind", predictions=False))
    assert (comparisons(blind)["p"] > with_images["p"]).all() and comparisons(blind)["differ"].sum() == 1
    assert set(intervals(blind)["interval"]) == {"seeds and images"}


def test_a_candidate_that_lacks_a_seed_is_compared_over_the_others(tmp_path: Path) -> None:
    folder = confirmed_study(tmp_path / "s")
    trials = pd.read_csv(folder / "trials.csv")
    trials[trials["trial"] != "vit_tome-000-seed1"].to_csv(folder / "trials.csv", index=False)
    study = analysis.load(folder)
    right = answers_right(study)
    row = comparisons(study).set_index("second").loc["vit_tome-000"]
    assert row["difference"] == pytest.approx(right[("vit-000",)][1:].mean() - right[("vit_tome-000",)].mean())


def test_a_claim_names_the_search_it_rests_on_and_what_was_not_tested(tmp_path: Path) -> None:
    """Other settings that were not tried might be better: seeds and images cannot know."""
    folder = confirmed_study(tmp_path / "s")
    trials = pd.read_csv(folder / "trials.csv")
    (folder / "study.yaml").write_text("trials: 4\nmodels: {vit: {search: {lr: 1}}}\n")
    trials[~trials["trial"].str.startswith("vit_tome")].to_csv(folder / "trials.csv", index=False)
    study = analysis.load(folder)
    text = " ".join(answers(study, intervals(study), comparisons(study))[0].sentences)
    assert "As tuned with 1 trial per cell, it did better than every other candidate (p = " in text
    assert "Other settings may close the gap: fewer than 4 trials of resnet18 are complete." in text
    once = ~trials["trial"].isin(["vit_tome-000-seed1", "vit_tome-000-seed2"])
    trials[once].to_csv(folder / "trials.csv", index=False)
    study = analysis.load(folder)
    text = " ".join(answers(study, intervals(study), comparisons(study))[0].sentences)
    assert "Whether it differs from vit_tome-000 was not tested: they share fewer than two seeds." in text
    assert "more accurate than every" not in text and "cannot be told apart" not in text


def test_predictions_that_were_cut_off_are_left_out(tmp_path: Path) -> None:
    folder = confirmed_study(tmp_path / "s")
    cut = folder / "predictions" / "vit-000-seed1.npy"
    cut.write_bytes(cut.read_bytes()[:200])
    (folder / "predictions" / "resnet18-000-seed2.npy").write_bytes(b"")
    assert list(answers_right(analysis.load(folder))) == [("vit_tome-000",)]


def test_merged_studies_are_compared_each_within_itself(tmp_path: Path) -> None:
    one, two = confirmed_study(tmp_path / "one"), confirmed_study(tmp_path / "two", seeds=2)
    both = comparisons(analysis.load(one, two))
    assert both["study"].value_counts().to_dict() == {"one": 2, "two": 2}
    alone = comparisons(analysis.load(one))
    of_one = both[both["study"] == "one"].drop(columns="study").reset_index(drop=True)
    pd.testing.assert_frame_equal(of_one, alone, check_dtype=False)
    assert len(intervals(analysis.load(one, two))) == 6


def test_the_answer_says_what_cannot_be_told_apart(tmp_path: Path) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    found = {answer.trial: answer for answer in answers(study, intervals(study), comparisons(study))}
    assert found["vit-000"].needs == ["Most accurate"]
    text = " ".join(found["vit-000"].sentences)
    assert "over 3 seeds and 400 test images" in text
    assert "It cannot be told apart from vit_tome-000 in accuracy." in text
    assert "The differences are too small, as measured, to say how many seeds or test images" in text
    assert "Fastest within 1 point of the best" in found["vit_tome-000"].needs
    assert "2.00 times as fast as vit-000" in " ".join(found["vit_tome-000"].sentences)
    assert "The two cannot be told apart" in " ".join(found["vit_tome-000"].sentences)
    assert "The difference is significant" in " ".join(found["resnet18-000"].sentences)


def test_the_test_split_chooses_nothing(tmp_path: Path) -> None:
    rows = []
    for trial, val, test in (("vit-000", 0.90, 0.80), ("vit-001", 0.85, 0.95)):
        rows.append(trial_row(trial, val, 100.0))
        for seed in (1, 2):
            tested = {"test_accuracy": test + 0.001 * seed, "test_images": 10_000, "seed": seed}
            rows.append(trial_row(f"{trial}-{seed}", val, 100.0, phase="confirm", candidate=trial, **tested))
    study = analysis.load(write_tables(tmp_path, rows))
    first = answers(study, intervals(study), comparisons(study))[0]
    assert first.trial == "vit-000"
    assert "On the test split it is beaten by vit-001" in " ".join(first.sentences)


def test_an_unconfirmed_answer_says_so_and_has_no_interval(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "s", seeds=0))
    first = answers(study, intervals(study), comparisons(study))[0]
    assert "validation accuracy" in first.sentences[0] and "95 % interval" not in first.sentences[0]
    assert "(unconfirmed, optimistic: the best of 11 single trainings)" in first.sentences[0]
    lines = " ".join(status(study))
    assert "unconfirmed, optimistic" in lines
    assert "confirm not done" in lines


@pytest.mark.parametrize(
    ("state", "line"), [("failed", "All trials failed"), ("running", "started but did not finish")]
)
def test_a_study_without_a_result_says_so(tmp_path: Path, state: str, line: str) -> None:
    rows = [trial_row(f"vit-00{i}", None, 100.0, state=state) for i in range(2)]
    study = analysis.load(write_tables(tmp_path, rows))
    assert answers(study, intervals(study), comparisons(study)) == []
    assert any(line in text for text in status(study))


def test_translation_has_intervals_over_seeds_alone(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "s", quality="bleu"))
    assert set(intervals(study)["interval"]) == {"seeds"}
    found = answers(study, intervals(study), comparisons(study))
    assert "test BLEU" in found[0].sentences[0]
