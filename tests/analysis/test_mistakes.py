"""Which classes a classifier mistakes for which: by hand, and in the report of a study."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_study import confirmed_study, write_study

from analysis.read.study_folder import load
from analysis.tell import report_tables
from analysis.tell.report import render
from analysis.weigh.mistakes import Mistakes, mistakes
from analysis.weigh.statistics import accuracy_interval, wilson_interval

CATS_AND_DOGS = np.array(
    [
        [[8, 2, 0], [1, 3, 0], [0, 0, 0]],
        [[6, 4, 0], [0, 4, 0], [0, 0, 0]],
    ]
)  # (seeds, true, named); no test image shows a bird


def test_classes_by_hand() -> None:
    found = Mistakes("s", "vit-000", ["cat", "dog", "bird"], CATS_AND_DOGS)
    table = found.by_class().set_index("class")
    assert list(table.index) == ["cat", "dog"]  # the least accurate first; a class without images has no accuracy
    assert table["images"].to_dict() == {"cat": 10, "dog": 4}
    assert table["accuracy"].to_dict() == {"cat": 0.7, "dog": 0.875}
    assert table["taken_for"].to_dict() == {"cat": "dog", "dog": "cat"}
    assert table["share"].to_dict() == {"cat": 0.3, "dog": 0.125}
    assert (table["low"]["cat"], table["high"]["cat"]) == accuracy_interval([0.8, 0.6], 10)
    np.testing.assert_allclose(found.named()[:2], [[0.7, 0.3, 0], [0.125, 0.875, 0]])
    assert np.isnan(found.named()[2]).all()


def test_one_seed_and_no_mistake() -> None:
    table = Mistakes("s", "vit-000", ["cat", "dog"], np.array([[[5, 0], [1, 4]]])).by_class().set_index("class")
    assert table["taken_for"].isna().to_dict() == {"dog": False, "cat": True} and np.isnan(table["share"]["cat"])
    assert (table["low"]["cat"], table["high"]["cat"]) == wilson_interval(5, 5)


def with_classes(folder: Path) -> Path:
    path = folder / "environment.json"
    content = json.loads(path.read_text())
    content["data"] = content.get("data", {}) | {"classes": [f"class {i}" for i in range(10)]}
    path.write_text(json.dumps(content))
    return folder


def test_they_are_those_of_the_most_accurate_candidate(tmp_path: Path) -> None:
    """Its wrong answers name the next class, in the made-up study."""
    folder = with_classes(confirmed_study(tmp_path / "s"))
    [found] = mistakes(load(folder))
    assert found.candidate == "vit-000" and found.counts.shape == (3, 10, 10)
    right = np.mean(
        [np.load(folder / "predictions" / f"vit-000-seed{i}.npy") == np.arange(400) % 10 for i in (1, 2, 3)]
    )
    assert np.trace(found.named()) / 10 == pytest.approx(right)
    table = found.by_class()
    table = table[table["accuracy"] < 1]
    expected = [f"class {(int(name.split()[1]) + 1) % 10}" for name in table["class"]]
    assert table["taken_for"].tolist() == expected


def test_the_report_has_a_part_for_them_where_they_are_known(tmp_path: Path) -> None:
    page = render(load(with_classes(confirmed_study(tmp_path / "known"))))
    assert 'id="mistakes"' in page and "Test images of each class, by vit-000" in page and "as class 9" in page
    no_classes = confirmed_study(tmp_path / "no classes")
    assert 'id="mistakes"' not in render(load(no_classes)) and "#mistakes" not in render(load(no_classes))
    no_predictions = with_classes(write_study(tmp_path / "no predictions"))
    translation = write_study(tmp_path / "text", quality="bleu")
    assert all(report_tables.mistakes(load(folder)) == [] for folder in (no_classes, no_predictions, translation))


def test_predictions_of_other_classes_are_no_error(tmp_path: Path) -> None:
    """Such as those of a folder whose labels are of another version of the data."""
    folder = with_classes(confirmed_study(tmp_path / "s"))
    np.save(folder / "predictions" / "vit-000-seed1.npy", np.full(400, 12, dtype=np.uint8))
    assert mistakes(load(folder)) == []
