"""What a study learns from earlier ones: which settings, tried by which trials, and what is refused."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from record import contents
from record.errors import UserError
from record.folder import StudyFolder
from study import tables
from study.costs import DataFacts
from study.ledger import Ledger
from study.lessons import MAX_LESSONS, Lesson, Lessons, learn
from study.proposals import SearchProposals
from study.space.dimensions import Scalar
from study.space.reading import resolve
from study.space.schema import StudySpec

LR = {"low": 1e-4, "high": 1e-1, "log": True}
ENTRY: dict[str, Any] = {"epochs": 1, "search": {"lr": LR, "batch_size": [16, 32]}}


def study(models: dict[str, Any] | None = None, **changes: object) -> StudySpec:
    raw = {"description": "x", "data": {"name": "digits"}, "objectives": ["val_accuracy"], "phases": ["search"]}
    return resolve(raw | {"models": models or {"resnet18": ENTRY}, "trials": 8} | changes, "test")


def row(number: int, accuracy: object, lr: object, batch_size: object = 16, **more: object) -> dict[str, Any]:
    return {
        "trial": f"resnet18-{number:03d}", "model": "resnet18", "phase": "search", "state": "complete",
        "val_accuracy": accuracy, "lr": lr, "batch_size": batch_size,
    } | more  # fmt: skip


def earlier(folder: Path, rows: list[dict[str, Any]], spec: StudySpec | None = None) -> str:
    """A folder with what an earlier study leaves of these trials."""
    contents.write_spec(StudyFolder(folder), (spec or study()).model_dump(mode="json"))
    contents.write_environment(StudyFolder(folder), {"identity": f"identity of {folder.name}"})
    with StudyFolder(folder).table("trials").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return str(folder)


def learnt(tmp_path: Path, *folders: str, **changes: Any) -> Lessons:
    return learn(study(learn_from=list(folders), **changes), tmp_path / "second", "my.yaml")


# -- which settings


def test_the_best_distinct_settings_of_complete_search_trials_come_first(tmp_path: Path) -> None:
    rows = [
        row(0, 0.7, 0.01), row(1, 0.9, 0.003), row(2, 0.8, 0.003, 32), row(3, 0.85, 0.003), row(4, "", 0.02),
        row(5, 0.99, 0.05, state="pruned"), row(6, "", 0.06, state="failed"), row(7, 0.98, 0.07, phase="confirm"),
    ]  # fmt: skip
    lessons = learnt(tmp_path, earlier(tmp_path / "first", rows))
    assert lessons.models == {
        "resnet18": [
            Lesson("first/resnet18-001", {"lr": 0.003, "batch_size": 16}),
            Lesson("first/resnet18-002", {"lr": 0.003, "batch_size": 32}),
            Lesson("first/resnet18-000", {"lr": 0.01, "batch_size": 16}),
        ]
    }
    [teacher] = lessons.studies
    assert teacher["identity"] == "identity of first" and teacher["settings"] == {"resnet18": 3}
    many = earlier(tmp_path / "many", [row(i, 0.5 + i / 100, 1e-3 * (i + 1)) for i in range(20)])
    assert len(learnt(tmp_path, many).models["resnet18"]) == MAX_LESSONS


def test_where_speed_counts_the_front_of_quality_and_speed_comes_first(tmp_path: Path) -> None:
    speeds = {0: (0.90, 100), 1: (0.89, 100), 2: (0.80, 200), 3: (0.85, 150), 4: (0.70, 150)}
    rows = [
        row(i, accuracy, 1e-3 * (i + 1), inference_images_per_second=speed) for i, (accuracy, speed) in speeds.items()
    ]
    folder = earlier(tmp_path / "first", rows)

    def order(**changes: Any) -> list[int]:
        return [int(lesson.trial[-3:]) for lesson in learnt(tmp_path, folder, **changes).models["resnet18"]]

    fast = {"objectives": ["val_accuracy", "inference_images_per_second"], "phases": ["profile", "search"]}
    assert order() == [0, 1, 3] and order(**fast) == [0, 3, 2]


def test_several_studies_teach_in_turn(tmp_path: Path) -> None:
    """Accuracies on different data cannot be compared, ranks can."""
    easy = earlier(tmp_path / "easy", [row(0, 0.99, 0.01), row(1, 0.98, 0.02)])
    hard = earlier(tmp_path / "hard", [row(0, 0.30, 0.01), row(1, 0.40, 0.03)])
    lessons = learnt(tmp_path, easy, hard).models["resnet18"]
    assert [lesson.trial for lesson in lessons] == [
        "easy/resnet18-000", "hard/resnet18-001", "easy/resnet18-001",  # hard's second is what easy's first was
    ]  # fmt: skip


def test_a_value_outside_of_this_studys_range_is_left_out(tmp_path: Path) -> None:
    folder = earlier(
        tmp_path / "first", [row(0, 0.9, 0.5, 32), row(1, 0.8, 0.5, 64), row(2, 0.7, 0.1, 64), row(3, 0.6, "x", "32.0")]
    )
    lessons = learnt(tmp_path, folder)
    assert [(lesson.trial[-1], lesson.settings) for lesson in lessons.models["resnet18"]] == [
        ("0", {"batch_size": 32}), ("2", {"lr": 0.1})
    ]  # fmt: skip
    assert lessons.left_out == {"lr": 3, "batch_size": 2}
    assert lessons.summary() == (
        "settings learnt: 2 of resnet18 from first; left out, outside of this study's range: lr (3), batch_size (2)"
    )


@pytest.mark.parametrize(
    ("dimension", "text", "value"),
    [
        ({"low": 0.0, "high": 0.4, "step": 0.1}, "0.2700000001", 0.0 + 3 * 0.1),
        ({"low": 2, "high": 10, "step": 4}, "7.0", 6),
        ({"low": 1, "high": 100, "log": True}, "33", 33),
        ([True, False], "False", False),
        (["pre", "post"], "post", "post"),
        ([0.1, 0.25], "0.250", 0.25),
        ({"low": 1, "high": 5}, "inf", None),
        (["pre", "post"], "nan", None),
    ],
)
def test_a_value_gets_the_form_of_this_studys_dimension(
    tmp_path: Path, dimension: Any, text: str, value: Scalar | None
) -> None:
    models = {"resnet18": {"search": {"lr": LR, "width": dimension}}}
    folder = earlier(tmp_path / "first", [row(0, 0.9, 0.01, width=text)], study(models))
    [lesson] = learnt(tmp_path, folder, models=models).models["resnet18"]
    assert lesson.settings == {"lr": 0.01} | ({} if value is None else {"width": value})
    assert type(lesson.settings.get("width")) is type(value)


def test_a_model_learns_from_its_own_file_and_kind_of_weights_and_rather_from_its_own_name(tmp_path: Path) -> None:
    known = {
        "small": {"model": "vit"},
        "large": {"model": "vit"},
        "tuned": {"model": "vit", "weights": "timm"},
        "resnet18": {},
    }
    first = study({name: ENTRY | entry for name, entry in known.items()})
    accuracies = {"small": 0.9, "large": 0.8, "tuned": 0.7, "resnet18": 0.6}
    rows = [row(i, best, 1e-3 * (i + 1), trial=f"{m}-0", model=m) for i, (m, best) in enumerate(accuracies.items())]
    own = {
        "large": {"model": "vit"},
        "new": {"model": "vit"},
        "fine": {"model": "vit", "weights": "timm"},
        "vit_tome": {},
    }
    second = {name: ENTRY | entry for name, entry in own.items()}
    lessons = learnt(tmp_path, earlier(tmp_path / "first", rows, first), models=second)
    assert {name: [lesson.trial for lesson in known] for name, known in lessons.models.items()} == {
        "large": ["first/large-0"], "new": ["first/small-0", "first/large-0"], "fine": ["first/tuned-0"], "vit_tome": [],
    }  # fmt: skip
    assert "nothing for vit_tome" in lessons.summary()


# -- which trials


@given(count=st.integers(0, 5), cold=st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]), trials=st.integers(1, 60))
def test_lessons_come_first_in_turn_with_the_share_of_cold_trials(count: int, cold: float, trials: int) -> None:
    """As long as the best trial is a lesson, or none has ended."""
    lessons = Lessons([], {"vit": [Lesson(str(i), {}) for i in range(count)]})
    for lesson_quality, cold_quality in ((0.9, 0.8), (math.nan, math.nan), (math.nan, 0.8), (0.8, 0.8), (None, None)):
        taught: list[float | None] = []
        others: list[float | None] = []
        for n in range(1, trials + 1):
            lesson = lessons.due("vit", taught, others, cold)
            assert lesson is None or lesson.trial == str(len(taught))
            (others if lesson is None else taught).append(cold_quality if lesson is None else lesson_quality)
            assert len(taught) == min(count, math.ceil(n * (1 - cold) - 1e-9))
        assert lessons.due("resnet18", taught, others, cold) is None


@pytest.mark.parametrize(
    ("taught", "cold", "is_due"),
    [
        ([0.8], [0.7], True),
        ([0.7], [0.8], False),  # the first cold trial is better: the teacher misleads
        ([0.6, 0.8], [0.7, 0.7], True),
        ([0.8, None], [0.9, None], False),
        ([None], [0.1], False),  # its settings diverged
        ([None], [None], True),
        ([math.nan], [0.8], True),  # still running
        ([math.nan, 0.7], [0.8, 0.1], False),
    ],
)
def test_lessons_end_when_a_cold_trial_is_better(taught: list[Any], cold: list[Any], is_due: bool) -> None:
    lessons = Lessons([], {"vit": [Lesson(str(i), {}) for i in range(3)]})
    assert (lessons.due("vit", taught, cold, 0.5) is not None) == is_due


def run(folder: Path, spec: StudySpec, until: int = 1000) -> list[tuple[str, dict[str, Scalar], str | None]]:
    """Propose and finish trials in one or several runs; the name, settings and teacher of each."""
    folder.mkdir(exist_ok=True)
    with Ledger(folder, spec) as ledger:
        if spec.learn_from and not ledger.lessons.studies:
            ledger.teach(learn(spec, folder, "test"))
        proposals = SearchProposals(ledger)
        while len(ledger.trials) < until and (trial := proposals.next()) is not None:
            quality = -abs(math.log10(float(trial.params["lr"])) + 2)
            times = {"train_seconds": 1.0, "eval_seconds": 1.0}
            ledger.record(trial, {"epoch": 1, "val_accuracy": quality, "val_loss": 1.0} | times)
            ledger.finish(trial, "complete", [quality])
        contents.write_spec(StudyFolder(folder), spec.model_dump(mode="json"))
        tables.write(ledger, DataFacts("digits", 100, 20, 20))
        return [(trial.name, trial.params, trial.learnt_from) for trial in ledger.trials.values()]


def test_every_cell_of_a_model_tries_what_a_real_study_found_and_the_cold_trials_are_those_of_a_cold_study(
    tmp_path: Path,
) -> None:
    first = run(tmp_path / "first", study(trials=6, seed=1))
    best = sorted(first, key=lambda trial: abs(math.log10(float(trial[1]["lr"])) + 2))[:2]
    models = {"resnet18": ENTRY | {"factors": {"width": [8, 16]}}, "vit": ENTRY}
    cold = run(tmp_path / "cold", study(models, trials=4))
    warm = run(tmp_path / "warm", study(models, trials=4, learn_from=[str(tmp_path / "first")]))

    def of(trials: list[Any], cell: str, teacher: bool | None = None) -> list[dict[str, Scalar]]:
        return [
            {name: params[name] for name in ENTRY["search"]}
            for name, params, source in trials
            if name.startswith(f"{cell}-0") and teacher in (None, source is not None)
        ]

    for cell in ("resnet18-width=8", "resnet18-width=16"):
        assert of(warm, cell, teacher=True) == [params for _, params, _ in best]
        assert of(warm, cell, teacher=False) == of(cold, cell)[:2]
    assert of(warm, "vit") == of(cold, "vit")
    assert [source for name, _, source in warm if name.startswith("resnet18-width=8")][::2] == [
        f"first/{name}" for name, _, _ in best
    ]


@pytest.mark.parametrize("fate", [shutil.rmtree, lambda path: earlier(path, [row(0, 0.99, 0.09)])])
def test_a_resumed_study_decides_as_an_uninterrupted_one_whatever_became_of_its_teacher(
    tmp_path: Path, fate: Callable[[Path], object]
) -> None:
    first = tmp_path / "first"
    earlier(first, [row(i, 0.9 - i / 100, 1e-2 * (1 + i / 9)) for i in range(9)])
    spec = study(learn_from=[str(first)], trials=6)
    whole = run(tmp_path / "whole", spec)
    run(tmp_path / "parts", spec, until=3)
    fate(first)
    assert run(tmp_path / "parts", spec) == whole
    assert sum(source is not None for _, _, source in whole) == MAX_LESSONS
    with (tmp_path / "parts" / "trials.csv").open(newline="") as file:
        assert [line["learnt_from"] or None for line in csv.DictReader(file)] == [source for *_, source in whole]


# -- what is refused


def test_what_cannot_teach_is_one_line(tmp_path: Path) -> None:
    rows = [row(0, 0.9, 0.01)]
    good = earlier(tmp_path / "good", rows)
    translation = resolve(
        {
            "description": "x",
            "task": "translation",
            "data": {"name": "reversal"},
            "models": {"translation_transformer": {}},
        },
        "test",
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    elsewhere = earlier(tmp_path / "other" / "good", rows)
    vit, narrow = {"vit": ENTRY}, {"resnet18": {"search": {"lr": LR | {"low": 0.05}}}}
    other = {"resnet18": {"search": {"weight_decay": {"low": 0.0, "high": 0.1}}}}
    unfinished = earlier(tmp_path / "unfinished", [row(0, 0.9, 0.01, state="running")])
    broken = earlier(tmp_path / "broken", rows)
    (tmp_path / "broken" / "study.yaml").write_text("models: 3")
    binary = earlier(tmp_path / "binary", rows)
    (tmp_path / "binary" / "trials.csv").write_bytes(b"\xff\xfe\0" * 99)
    cases: list[tuple[list[str], dict[str, Any], str]] = [
        ([str(tmp_path / "nowhere")], {}, "learn_from.0: .*nowhere: no such folder"),
        ([good, ""], {}, "learn_from.1: : not a study folder"),
        (["x" * 300], {}, "no such folder"),
        ([str(tmp_path / "file")], {}, "no such folder"),
        ([str(tmp_path / "empty")], {}, "empty: not a study folder"),
        ([str(tmp_path / "second")], {}, "second: is this study itself"),
        ([earlier(tmp_path / "texts", rows, translation)], {}, "its task is translation, this study's is image_class"),
        ([unfinished], {}, "unfinished: no search trial is complete"),
        ([broken], {}, r"study\.yaml: .*models: a mapping is needed, got 3"),
        ([binary], {}, r"trials\.csv cannot be read"),
        ([good, good], {}, "learn_from.1: .*another one of this name"),
        ([good, elsewhere], {}, "learn_from.1: .*another one of this name"),
        ([good], {"models": vit}, r"nothing to learn there: no model has file, kind of weights and a dim.*vit \(lr, b"),
        ([good], {"models": other}, r"a dimension in common; searched here: resnet18 \(weight_decay\)"),
        ([good], {"models": narrow}, "every value lies outside of this study's ranges"),
    ]  # fmt: skip
    for folders, changes, words in cases:
        with pytest.raises(UserError, match=words) as caught:
            learnt(tmp_path, *folders, **changes)
        assert str(caught.value).startswith("my.yaml: learn_from") and "\n" not in str(caught.value)


def test_an_earlier_study_teaches_without_its_identity(tmp_path: Path) -> None:
    folder = earlier(tmp_path / "first", [row(0, 0.9, 0.01)])
    (tmp_path / "first" / "environment.json").write_text("{")
    assert learnt(tmp_path, folder).studies[0]["identity"] is None
    assert json.loads(json.dumps(learnt(tmp_path, folder).recorded())) == learnt(tmp_path, folder).recorded()
