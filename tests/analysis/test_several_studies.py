"""Several studies in one answer: of the same data together, of different data refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import confirmed_study

from analysis.read.study_folder import load
from analysis.tell.headline import headline
from analysis.weigh.comparison import comparisons, intervals

VERBS = ("report", "table", "pareto", "best")


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The second one is twice as fast."""
    monkeypatch.chdir(tmp_path)
    folders = [confirmed_study(tmp_path / name) for name in ("first", "second")]
    trials = pd.read_csv(folders[1] / "trials.csv")
    trials["inference_images_per_second"] *= 2
    trials.to_csv(folders[1] / "trials.csv", index=False)
    return folders


def facts(folder: Path, **data: Any) -> None:
    path = folder / "environment.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"data": content["data"] | data}))


def test_studies_of_the_same_data_have_one_front_and_one_table(two: list[Path], ask: Any) -> None:
    status, out, _ = ask("pareto", *two, "--format", "csv")
    assert status == 0 and out.startswith("study,")
    assert {line.split(",")[0] for line in out.splitlines()[1:]} == {"second"}  # as accurate and faster
    status, out, _ = ask("table", *two)
    [head] = [line for line in out.splitlines() if line.startswith("study ")]
    assert status == 0 and "model" in head
    rows = [line.split()[:2] for line in out.splitlines()]
    assert ["first", "vit_tome"] in rows and ["second", "vit_tome"] in rows


def test_the_answer_names_the_study_and_claims_no_test_between_studies(two: list[Path]) -> None:
    study = load(*two)
    found = headline(study, intervals(study), comparisons(study))
    assert found.use.startswith("Use vit (second/vit-000): 93.7 % of new images right, 200 images/s")
    assert "whether it is more accurate than second/vit_tome-000 is not decided" in found.use
    assert "candidates of different studies were not tested against each other" in found.use
    assert ("Proven", "More accurate than second/resnet18-000") in [
        (t, lines[0].split(" (")[0]) for t, lines in found.parts
    ]


def test_the_report_of_several_is_one_page_beside_theirs(two: list[Path], ask: Any, tmp_path: Path) -> None:
    status, out, _ = ask("report", *two)
    assert (status, out.strip()) == (0, "first+second.html")
    page = (tmp_path / "first+second.html").read_text(encoding="utf-8")
    assert "<td>first</td>" in page and "<td>second</td>" in page and '<button type="button">study</button>' in page
    assert not any((folder / "report.html").exists() for folder in two)
    assert ask("report", *two, "--to", tmp_path / "both.html")[0] == 0 and (tmp_path / "both.html").exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "cifar10"}, "source: digits and cifar10"), ({"test": 300}, "test: 400 and 300"),
        ({"classes": ["cat"]}, "classes: "), ({}, "other test images"),
    ],
)  # fmt: skip
def test_studies_of_different_data_are_refused_in_a_line(
    two: list[Path], ask: Any, tmp_path: Path, verb: str, change: dict[str, Any], words: str
) -> None:
    for folder in two:
        facts(folder, source="digits", classes=["0", "1"])
    facts(two[1], **change)
    if not change:
        labels = two[1] / "predictions" / "labels.npy"
        np.save(labels, np.load(labels)[::-1].copy())
    status, out, err = ask(verb, *two)
    assert status == 2 and out == "" and err.count("\n") == 1
    assert words in err and "first and second have different data" in err
    assert not list(tmp_path.glob("*.html"))


def test_speeds_of_different_hardware_are_warned_about(two: list[Path], ask: Any) -> None:
    assert "different hardware" not in ask("best", *two)[2]
    path = two[1] / "profile.csv"
    pd.read_csv(path).assign(hardware="H200").to_csv(path, index=False)
    assert "second: H200): compare them within a study only" in ask("best", *two)[2]
