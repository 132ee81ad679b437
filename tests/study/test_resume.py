"""What --resume may change, and that a study is resumed with what it was started with."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_space import models, space

from record import contents
from record.errors import UserError
from record.folder import StudyFolder
from study.space import resume
from study.space.overrides import Overrides
from study.space.reading import read_space, resolve, space_names
from study.space.resume import differences
from study.space.schema import StudySpec
from study.space.typed import typed


def start(folder: Path, raw: dict, overrides: Overrides) -> StudySpec:
    """What a run leaves of its space in its folder."""
    spec = typed(resolve(overrides.apply(raw), "x"))
    contents.write_spec(StudyFolder(folder), spec.model_dump(mode="json"))
    contents.write_environment(StudyFolder(folder), {"space": raw})
    return spec


def resumed(folder: Path, raw: dict | None, overrides: Overrides) -> StudySpec:
    """The study that the same command with --resume runs."""
    stored = resume.stored(folder)
    assert stored is not None
    return resume.resumed(folder, stored, raw, overrides, "x")


@pytest.mark.parametrize(
    "setting",
    ["weight_decay=1e-3", "weight_decay='1e-3'", "width=16.0", "gradient_clip=0", "search.lr=[1e-3, 1]", "depth=3"],
)
def test_the_same_command_resumes_what_it_started(tmp_path: Path, setting: str) -> None:
    overrides = Overrides(settings=(f"models.scratch_vit.{setting}",), cpus=1.0)
    spec = start(tmp_path, space(), overrides)
    assert resumed(tmp_path, space(), overrides) == resumed(tmp_path, None, Overrides()) == spec


@pytest.mark.parametrize("name", space_names())
def test_every_built_in_space_resumes_as_it_is(tmp_path: Path, name: str) -> None:
    raw, _ = read_space(name)
    spec = start(tmp_path, raw, Overrides())
    assert resumed(tmp_path, raw, Overrides()) == spec


def test_an_edited_space_extends_the_study(tmp_path: Path) -> None:
    start(tmp_path, space(trials=4), Overrides(epochs=5))
    spec = resumed(tmp_path, space(trials=9, time_budget="2h"), Overrides(epochs=5))
    assert (spec.trials, spec.time_budget, spec.models["scratch_vit"].epochs) == (9, "2h", 5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "seed: 0 -> 5"),
        ({"early_stopping": None}, "early_stopping.grace_epochs: 2 -> None"),
        ({"sampler": {"name": "RandomSampler"}}, "sampler.name: None -> 'RandomSampler'"),
        ({"learn_from": ["results/first"]}, "learn_from: [] -> ['results/first']"),
        ({"cold_share": 0.75}, "cold_share: 0.5 -> 0.75"),
        ({"data": {"name": "digits", "validation": 0.3}}, "data.validation: 0.2 -> 0.3"),
    ],
)
def test_an_edit_that_changes_the_study_is_refused(tmp_path: Path, changes: dict, words: str) -> None:
    start(tmp_path, space(), Overrides())
    with pytest.raises(UserError, match="--resume: this differs") as caught:
        resumed(tmp_path, space(**changes), Overrides())
    assert words in str(caught.value) and "--name" in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("models.scratch_vit.weight_decay=1e-4", "models.scratch_vit.weight_decay: 0.001 -> 0.0001"),
        ("all_models.weight_decay=1e-4", "models.resnet18.weight_decay: 0.02 -> 0.0001"),
        ("all_models.batch_size=8", "models.resnet18.batch_size: None -> 8"),
        ("seed=1", "seed: 0 -> 1"),
    ],
)
def test_an_option_that_changes_the_study_is_refused(tmp_path: Path, setting: str, words: str) -> None:
    """Also one that the resolved entries would override."""
    raw = models(scratch_vit={"weight_decay": 1e-3}, resnet18={})
    started = Overrides(settings=("all_models.weight_decay=2e-2",))
    spec = start(tmp_path, raw, started)
    assert resumed(tmp_path, raw, started) == resumed(tmp_path, raw, Overrides()) == spec
    with pytest.raises(UserError, match="--resume: this differs") as caught:
        resumed(tmp_path, raw, Overrides(settings=(setting,)))
    assert words in str(caught.value)


def test_a_folder_without_a_study_and_a_damaged_one(tmp_path: Path) -> None:
    assert resume.stored(tmp_path) is None
    start(tmp_path, space(), Overrides())
    (tmp_path / "environment.json").write_text("{")
    with pytest.raises(UserError, match=r"environment\.json cannot be read"):
        resume.stored(tmp_path)
    (tmp_path / "study.yaml").write_text("[")
    with pytest.raises(UserError, match=r"study\.yaml, line 1: not YAML"):
        resume.stored(tmp_path)


def test_differences_name_what_changes_the_meaning_of_finished_trials_and_nothing_else() -> None:
    def with_(**changes: object) -> StudySpec:
        return resolve(space(**changes), "x")

    assert differences(with_(), with_(trials=99, time_budget="1h", description="other")) == []
    assert differences(with_(), with_(seed=5)) == ["seed: 0 -> 5"]
    slower = models(scratch_vit={"image_size": 64, "patch_size": 4, "width": 16, "heads": 2, "depth": 1})
    assert differences(with_(), resolve(slower, "x")) == ["models.scratch_vit.image_size: 32 -> 64"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "not a mapping"),
        ('{"space": [1]}', "space is not a mapping"),
        ('{"data": "digits"}', "data is not a mapping"),
        ('{"duration_seconds": {"search": "long"}}', "duration_seconds holds something else than numbers"),
        ("\udcff", "can't decode"),
    ],
)
def test_a_malformed_environment_is_refused_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    start(tmp_path, space(), Overrides())
    (tmp_path / "environment.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"environment\.json cannot be read") as caught:
        resume.stored(tmp_path)
    assert words in str(caught.value) and "\n" not in str(caught.value)
