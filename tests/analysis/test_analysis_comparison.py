"""Confirmed candidates compared: which run is read, which pairs differ, and what the answer says of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import IMAGES, SKILLS, confirmed_study, trial_row, write_study, write_tables

import analysis
from analysis.tell.answer import answers, status
from analysis.weigh.comparison import answers_right, comparisons, intervals
from analysis.weigh.statistics import (
    accuracy_interval,
    images_to_tell_apart,
    mcnemar,
    student_interval,
    welch,
    wilson_interval,
)


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


def test_pairs_are_told_apart_only_where_images_and_seeds_agree(tmp_path: Path) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    right = answers_right(study)
    assert {key: runs.shape for key, runs in right.items()} == {(trial,): (3, IMAGES) for trial in SKILLS}
    for trial in SKILLS:
        assert right[(trial,)].mean(axis=1) == pytest.approx(scores(study, trial)[::-1])
    pairs = comparisons(study)
    assert len(pairs) == 3
    for row in pairs.to_dict("records"):
        first, second = right[(row["first"],)], right[(row["second"],)]
        assert row["difference"] == pytest.approx(first.mean() - second.mean())
        assert row["difference"] >= 0
        assert row["p_images"] == pytest.approx(mcnemar(first[0], second[0]).p)  # the models of the lowest seed
        only_first, only_second = (first[0] & ~second[0]).sum(), (second[0] & ~first[0]).sum()
        share, lead = (only_first + only_second) / IMAGES, (only_first - only_second) / IMAGES
        needed = images_to_tell_apart(share, lead) if lead > 0 else np.nan  # of the same two models
        assert row["images_needed"] == pytest.approx(needed, nan_ok=True)
        assert row["p_seeds"] == pytest.approx(welch(first.mean(axis=1), second.mean(axis=1)))
        assert row["p"] == max(row["p_images"], row["p_seeds"])
        assert row["p_holm"] >= row["p"]
        assert row["differ"] == ("resnet18-000" in (row["first"], row["second"]))


def test_one_seed_leaves_the_images_and_no_predictions_leave_the_seeds(tmp_path: Path) -> None:
    once = analysis.load(confirmed_study(tmp_path / "once", seeds=1))
    assert comparisons(once)["p_seeds"].isna().all()
    assert comparisons(once)["p"].equals(comparisons(once)["p_images"])
    assert set(intervals(once)["interval"]) == {"images"}
    assert intervals(once)["front_probability"].isna().all()
    blind = analysis.load(confirmed_study(tmp_path / "blind", predictions=False))
    assert comparisons(blind)["p_images"].isna().all()
    assert comparisons(blind)["p"].equals(comparisons(blind)["p_seeds"])
    assert set(intervals(blind)["interval"]) == {"seeds and images"}


def test_predictions_that_were_cut_off_are_left_out(tmp_path: Path) -> None:
    folder = confirmed_study(tmp_path / "s")
    cut = folder / "predictions" / "vit-000-seed1.npy"
    cut.write_bytes(cut.read_bytes()[:200])
    (folder / "predictions" / "resnet18-000-seed2.npy").write_bytes(b"")
    assert list(answers_right(analysis.load(folder))) == [("vit_tome-000",)]


def test_merged_studies_are_compared_each_within_itself(tmp_path: Path) -> None:
    one, two = confirmed_study(tmp_path / "one"), confirmed_study(tmp_path / "two", seeds=2)
    both = comparisons(analysis.load(one, two))
    assert both["study"].value_counts().to_dict() == {"one": 3, "two": 3}
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
    assert "test images instead of 400" in text or "More seeds" in text
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


def test_an_unconfirmed_answer_says_so(tmp_path: Path) -> None:
    study = analysis.load(write_study(tmp_path / "s", seeds=0))
    first = answers(study, intervals(study), comparisons(study))[0]
    assert "validation accuracy" in first.sentences[0]
    lines = " ".join(status(study))
    assert "optimistic" in lines
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
