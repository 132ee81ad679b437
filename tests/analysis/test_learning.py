"""A model that learnt nothing is not recommended: chance by hand-worked numbers, by simulation, in answer and pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import trial_row, write_tables
from matplotlib.figure import Figure

import analysis
from analysis.read.conditions import conditions
from analysis.read.study_folder import Study
from analysis.tell import report_tables
from analysis.tell.answer import answers, not_learnt
from analysis.tell.pictures import html, png
from analysis.tell.pictures.data import pictures, weigh
from analysis.tell.report import write_report
from analysis.weigh.comparison import comparisons, intervals
from analysis.weigh.learning import LEVEL, has_learnt

IMAGES = 100


def data(baseline: float = 0.1, **more: Any) -> dict[str, Any]:
    return {"validation": IMAGES, "test": IMAGES, "baseline": {"validation": baseline, "test": baseline}} | more


def study_of(folder: Path, rows: list[dict[str, Any]], facts: dict[str, Any], quality: str = "accuracy") -> Study:
    write_tables(folder, rows, quality)
    (folder / "environment.json").write_text(json.dumps({"data": facts}))
    return analysis.load(folder)


def confirmed(trial: str, accuracies: list[float], speed: float, **more: Any) -> list[dict[str, Any]]:
    mean = float(np.mean(accuracies))
    again = {"phase": "confirm", "candidate": trial, "test_images": IMAGES} | more
    runs = [
        trial_row(f"{trial}-s{seed}", mean, speed, test_accuracy=each, seed=seed, **again)
        for seed, each in enumerate(accuracies, 1)
    ]
    return [trial_row(trial, mean, speed), *runs]


def the_answer(study: Study) -> dict[str, str]:
    return {each.trial: " ".join(each.sentences) for each in answers(study, intervals(study), comparisons(study))}


@pytest.mark.parametrize(
    ("accuracies", "learnt"),
    [
        # Of 100 images guessed with 0.1: P(15 or more) = 0.0726, P(16 or more) = 0.0399, P(17 or more) = 0.0206.
        ([0.15], [False]),
        ([0.16], [True]),
        ([0.16, 0.05], [False, False]),  # of two, at 2.5 % each
        ([0.17, 0.05], [True, False]),
        ([None, 0.16], [None, True]),
    ],
)
def test_an_accuracy_is_above_chance_beyond_the_noise_of_its_images(
    tmp_path: Path, accuracies: list[float | None], learnt: list[bool | None]
) -> None:
    rows = [trial_row(f"vit-{i}", accuracy, 100.0) for i, accuracy in enumerate(accuracies)]
    study = study_of(tmp_path, rows, data())
    found = has_learnt(study, study.trials, "val_accuracy")
    assert [None if pd.isna(each) else bool(each) for each in found] == learnt


def test_the_best_of_many_trials_at_chance_has_not_learnt(tmp_path: Path) -> None:
    study = study_of(tmp_path, [trial_row(f"vit-{i}", 0.1, 100.0) for i in range(10)], data())
    random, studies = np.random.default_rng(0), 200
    wrong = 0
    for _ in range(studies):
        rows = study.trials.assign(val_accuracy=random.binomial(IMAGES, 0.1, 10) / IMAGES)
        wrong += bool(has_learnt(study, rows, "val_accuracy").any())
    assert wrong / studies < LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / studies)


def test_where_no_model_learnt_none_is_recommended(tmp_path: Path) -> None:
    rows = [*confirmed("vit-000", [0.1, 0.13], 100.0), *confirmed("resnet18-000", [0.1, 0.1], 200.0)]
    study = study_of(tmp_path, rows, data())
    assert the_answer(study) == {}
    [line] = not_learnt(study)
    assert line == (
        "No model learnt anything, so none is recommended: the best is vit-000 with test accuracy 11.5 %, not above the "
        "10.0 % of naming the most frequent class beyond noise. Train for more epochs, search other learning rates, add "
        "training data, and check the labels."
    )
    page = write_report(tmp_path).read_text()
    assert line in page and "Most accurate" not in page and "No trial has finished" not in page


def test_a_candidate_that_learnt_nothing_is_named_but_not_chosen_for_its_speed(tmp_path: Path) -> None:
    rows = [*confirmed("vit-000", [0.8, 0.82], 100.0), *confirmed("resnet18-000", [0.1, 0.1], 900.0)]
    study = study_of(tmp_path, rows, data())
    assert set(the_answer(study)) == {"vit-000"}
    [line] = not_learnt(study)
    assert line.startswith("Learnt nothing, and not recommended: resnet18-000 with test accuracy 10.0 %")


def test_seeds_far_apart_have_learnt_something(tmp_path: Path) -> None:
    study = study_of(tmp_path, confirmed("vit-000", [0.9, 0.1], 100.0), data())
    assert not_learnt(study) == [] and set(the_answer(study)) == {"vit-000"}


def test_of_an_unconfirmed_search_models_are_named_not_trials(tmp_path: Path) -> None:
    rows = [trial_row("vit-0", 0.7, 100.0), trial_row("vit-1", 0.1, 100.0)]
    rows += [trial_row(f"resnet18-{i}", 0.1 + 0.01 * i, 300.0) for i in range(3)]
    study = study_of(tmp_path, rows, data())
    [line] = not_learnt(study)
    assert "resnet18-2 with validation accuracy 12.0 %" in line
    assert set(the_answer(study)) == {"vit-0"}


def test_a_folder_that_does_not_say_what_chance_is_still_has_an_answer(tmp_path: Path) -> None:
    for i, facts in enumerate([{}, {"baseline": "?"}, {"baseline": {"test": 0.1}}, {"images_per_class": {"test": 3}}]):
        study = study_of(tmp_path / str(i), [trial_row("vit-000", 0.05, 100.0)], facts)
        assert not_learnt(study) == [] and set(the_answer(study)) == {"vit-000"}


def test_a_translation_is_compared_with_the_source_as_it_is(tmp_path: Path) -> None:
    rows = [trial_row("vit-000", 0.05, 100.0), trial_row("resnet18-000", 0.01, 300.0)]  # BLEU 2 and 0.4
    (tmp_path / "s").mkdir()
    study = study_of(tmp_path / "s", rows, data(baseline=1.2), "bleu")
    assert set(the_answer(study)) == {"vit-000"}
    [line] = not_learnt(study)
    assert "validation BLEU 0.4, not above the 1.2 of copying the source sentence." in line


@pytest.mark.parametrize(("smallest", "is_told"), [(100, False), (70, False), (60, True), (0, True)])
def test_balanced_accuracy_is_told_where_classes_are_unequal(tmp_path: Path, smallest: int, is_told: bool) -> None:
    rows = confirmed("vit-000", [0.8, 0.82], 100.0, test_balanced_accuracy=0.655)
    sizes = {"train": [10, 10], "test": [smallest, 100]}
    study = study_of(tmp_path, rows, data(images_per_class=sizes))
    assert ("balanced test accuracy 65.5 %" in the_answer(study)["vit-000"]) == is_told
    table = report_tables.candidates(study, intervals(study))
    assert table and ("test balanced accuracy %" in [column.label for column in table.columns]) == (smallest < 100)
    assert f"Images per class: train 10 to 10, test {smallest} to 100" in conditions(study)


def test_what_a_person_should_know_of_the_data_stands_with_the_answer(tmp_path: Path) -> None:
    summary = "photos: 90 images in 2 classes; 12 test images are also in train"
    study_of(tmp_path, confirmed("vit-000", [0.8, 0.82], 100.0), data(summary=summary))
    page = write_report(tmp_path).read_text()
    assert page.index("<h2>Answer</h2>") < page.index(summary) < page.index("<h2>Accuracy")
    reached = "Naming the most frequent class reaches validation accuracy 10.0 %, test accuracy 10.0 %."
    assert page.index(reached) < page.index("<h2>Accuracy")


@pytest.mark.parametrize(("baseline", "is_drawn"), [(0.4, True), (0.5, True), (0.3, False), (0.05, False)])
def test_chance_is_a_line_in_the_pictures_of_accuracy(tmp_path: Path, baseline: float, is_drawn: bool) -> None:
    """Its picture spans 0.6 to 0.85: a line below 0.35 would leave the marks less than half of it."""
    rows = [
        trial_row(f"vit_tome-{i}", 0.6 + i / 8, 100.0 + i, train_size=250 * (i + 1), tome_ratio=i / 5) for i in range(3)
    ]
    study = study_of(tmp_path, rows, data(baseline))
    made = {each.name: each for each in pictures(study, weigh(study))}
    label = f"naming the most frequent class: {100 * baseline:.1f} %"
    for name in ("accuracy_vs_speed", "size_scaling", "token_merging"):
        picture = made[name]
        axes = Figure().add_subplot()
        png.draw(picture, axes)
        dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--" and len(line.get_xdata())]
        lines = [line.get_ydata()[0] for line in dashed]
        shapes = html.figure(picture).to_plotly_json()["layout"].get("shapes", ())
        assert lines == [shape["y0"] for shape in shapes] == [baseline] * is_drawn
        assert (
            f" {label.capitalize()}" in html.drawn(picture).caption or f"Dashed: {label}" in html.drawn(picture).caption
        )
    # Trainings begin near chance, so their curves reach down to it: 0.3 to 0.85.
    assert [line.is_drawn for line in made["learning_curves"].baselines] == [True]


def test_splits_of_different_composition_have_a_line_each(tmp_path: Path) -> None:
    facts = data() | {"baseline": {"validation": 0.5, "test": 0.6}}
    study = study_of(tmp_path, confirmed("vit-000", [0.7, 0.9], 100.0), facts)
    assert [line.label.partition(" of ")[0] for line in pictures(study, weigh(study))[0].baselines] == [
        "validation accuracy",
        "test accuracy",
    ]
