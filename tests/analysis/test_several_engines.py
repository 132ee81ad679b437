"""A study of several engines: what may be chosen is a candidate in an engine, with its own accuracy and speed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import IMAGES, SKILLS, confirmed_study, study_of_engines

import analysis
from analysis.read.candidates import choices, confirmed, front
from analysis.read.conditions import conditions
from analysis.tell.answer import answers
from analysis.tell.report_tables import candidates
from analysis.weigh.comparison import answers_right, comparisons, intervals
from analysis.weigh.limits import verdicts
from analysis.weigh.summary import summary
from record.crossed import differences
from record.limits import Limit

ENGINES = ("torch", "openvino", "openvino_int8")


@pytest.fixture
def study(tmp_path: Path) -> analysis.Study:
    return analysis.load(study_of_engines(tmp_path / "s"))


def test_each_candidate_has_a_row_for_each_engine_that_no_run_was_refused_in(study: analysis.Study) -> None:
    rows = confirmed(study).set_index(["trial", "engine"])
    assert set(rows.index) == {(t, e) for t in SKILLS for e in ENGINES} - {("resnet18-000", "openvino_int8")}
    eager, int8 = rows.loc[("vit-000", "torch")], rows.loc[("vit-000", "openvino_int8")]
    assert (eager["seeds"], int8["seeds"]) == (3, 3) and int8["latency_ms"] == pytest.approx(0.2)
    assert int8["inference_images_per_second"] == 5 * eager["inference_images_per_second"] == 500
    assert int8["accuracy_difference"] == pytest.approx(int8["test_accuracy"] - eager["test_accuracy"])
    assert int8["test_accuracy"] < eager["test_accuracy"] == rows.loc[("vit-000", "openvino"), "test_accuracy"]
    assert np.isnan(int8["test_balanced_accuracy"])  # known of eager PyTorch only


def test_the_front_is_over_candidates_and_engines(study: analysis.Study) -> None:
    rows, accuracy = choices(study)
    on_front = front(rows, accuracy, "inference_images_per_second")
    assert set(on_front["engine"]) == {"openvino", "openvino_int8"}  # torch is slower and no more accurate
    best = summary(study).set_index("model")
    assert best.loc["vit", "engine"] == "openvino"  # of equals the faster


def test_the_difference_to_eager_has_an_interval_over_seeds_and_images(study: analysis.Study) -> None:
    table = intervals(study).set_index(["trial", "engine"])
    eager, int8 = (answers_right(study, engine)[("vit-000",)].astype(float) for engine in (None, "openvino_int8"))
    expected = differences({"eager": dict(enumerate(eager)), "int8": dict(enumerate(int8))}, "int8")["eager"]
    row = table.loc[("vit-000", "openvino_int8")]
    assert row["accuracy_difference"] == pytest.approx(expected.mean) and -0.11 < expected.mean < -0.08
    half = expected.half_width(0.05)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(
        (expected.mean - half, expected.mean + half)
    )
    same = table.loc[("vit-000", "openvino")]
    assert same[["accuracy_difference", "difference_low", "difference_high"]].tolist() == pytest.approx([0, 0, 0])
    assert table.loc[("vit-000", "torch"), ["low", "high"]].tolist() == same[["low", "high"]].tolist()


def test_models_are_compared_by_their_eager_answers(study: analysis.Study, tmp_path: Path) -> None:
    alone = comparisons(analysis.load(confirmed_study(tmp_path / "alone")))
    assert comparisons(study).equals(alone)


def test_the_answer_names_the_engine_and_what_it_costs_in_accuracy(study: analysis.Study) -> None:
    found = {need: answer for answer in answers(study, intervals(study), comparisons(study)) for need in answer.needs}
    assert found["Most accurate"].trial == "vit-000 in openvino"
    assert found["Most accurate"].sentences[0].startswith("vit in openvino with ")
    unchanged = "In openvino it is as accurate as in eager PyTorch, the same trainings on the same images"
    assert any(line.startswith(unchanged) for line in found["Most accurate"].sentences)
    fastest = found["Fastest on the front"]
    assert fastest.trial == "vit_tome-000 in openvino_int8"
    assert any(
        "points less accurate than in eager PyTorch" in line and "interval -" in line for line in fastest.sentences
    )


def test_tables_and_conditions_name_engines(study: analysis.Study, ask: Callable[..., tuple[int, str, str]]) -> None:
    table = candidates(study, intervals(study))
    assert table is not None and {"engine", "accuracy difference %", "difference from to"} <= {
        c.label for c in table.columns
    }
    assert len(table.rows) == 8
    assert "Refused for resnet18: engine openvino_int8 (int8) is refused: it differs" in conditions(study)
    code, output, _ = ask("best", study.folders["s"].path, "--format", "csv")
    assert code == 0 and "engine" in output.splitlines()[0] and ",vit-000,openvino," in output
    code, output, _ = ask("table", study.folders["s"].path)
    assert code == 0 and "vit-000 in openvino_int8" in output
    assert {"resnet18", "vit", "vit_tome", "openvino"} <= set(output.split())  # no word is broken


def test_a_study_of_eager_pytorch_names_no_engine(tmp_path: Path) -> None:
    study = analysis.load(confirmed_study(tmp_path / "s"))
    assert len(confirmed(study)) == len(SKILLS) and study.trials["test_images"].dropna().eq(IMAGES).all()
    found = answers(study, intervals(study), comparisons(study))
    assert all("engine" not in " ".join(each.sentences) and " in torch" not in each.trial for each in found)
    assert "engine" not in intervals(study) and "engine" not in summary(study)


def test_a_limit_is_judged_by_the_timing_of_the_engine(tmp_path: Path) -> None:
    """Of resnet18 at its settings eager PyTorch takes 9 ms, OpenVINO 4 ms."""
    folder = study_of_engines(tmp_path / "s")
    profile = pd.DataFrame(
        {"model": "resnet18", "phase": "profile", "engine": engine, "latency_ms": ms}
        for engine, ms in (("torch", 9.0), ("openvino", 4.0))
    )
    profile.to_csv(folder / "profile.csv", index=False)
    study = analysis.load(folder)
    rows = confirmed(study)
    rows = rows[rows["model"].eq("resnet18")]
    judged = verdicts(study, rows, [Limit("latency_ms", 5)])["under_latency_ms"]
    assert dict(zip(rows["engine"], judged, strict=True)) == {"torch": "not", "openvino": "certainly"}


@pytest.mark.parametrize(("columns", "is_stacked"), [(100, False), (80, False), (60, True)])
def test_a_narrow_terminal_breaks_no_name(
    study: analysis.Study, ask: Any, monkeypatch: pytest.MonkeyPatch, columns: int, is_stacked: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    status, out, _ = ask("best", next(iter(study.folders.values())).path)
    assert status == 0 and max(map(len, out.splitlines())) <= columns
    assert {"vit_tome-000", "openvino"} <= set(out.split())
    heads = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert (heads.count("trial") == 3) == is_stacked
    assert ("500" in out) and ("400" in out)
