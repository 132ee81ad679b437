"""Spaces: what is read, what is merged, and what a person is told who mistyped something."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from record.errors import UserError
from study.space.checking import check_models
from study.space.reading import read_space, resolve, space_names
from study.space.schema import StudySpec, differences, seconds

GOOD = """
description: a space
data: {name: digits}
all_models:
  epochs: 3
  search: {lr: {low: 1.0e-4, high: 1.0e-2, log: true}}
models:
  scratch_vit: {image_size: 32, patch_size: 4, width: 16, heads: 2, depth: 1}
"""


def space(**changes: object) -> dict:
    """GOOD with top-level keys replaced."""
    return yaml.safe_load(GOOD) | changes


def models(**entries: object) -> dict:
    return space(models=entries)


@pytest.mark.parametrize("name", space_names())
def test_every_built_in_space_is_valid_and_says_what_it_costs(name: str) -> None:
    spec = resolve(*read_space(name))
    check_models(spec, name)
    assert spec.description and spec.cost and spec.hardware


def test_an_entry_takes_what_all_models_say_and_overrides_it() -> None:
    raw = models(scratch_vit={"epochs": 7, "lr": 0.001}, resnet18={"search": {"lr": [0.1, 0.01]}}, vit=None)
    raw["models"]["vit"] = {"factors": {"lr": [0.1, 0.2]}}
    entries = resolve(raw, "x").models
    assert (entries["scratch_vit"].epochs, entries["resnet18"].epochs) == (7, 3)
    assert entries["scratch_vit"].settings == {"lr": 0.001} and entries["scratch_vit"].search == {}
    assert entries["resnet18"].search == {"lr": [0.1, 0.01]}
    assert entries["vit"].factors == {"lr": [0.1, 0.2]} and entries["vit"].search == {}
    assert entries["vit"].factor_combinations() == [{"lr": 0.1}, {"lr": 0.2}]


def test_a_fixed_setting_pins_a_dimension() -> None:
    raw = space()
    raw["all_models"]["lr"] = 0.5
    entry = resolve(raw, "x").models["scratch_vit"]
    assert entry.search == {} and entry.settings["lr"] == 0.5


def test_a_resolved_space_is_a_space_that_resolves_to_itself() -> None:
    spec = resolve(*read_space("cifar_compare"))
    again = resolve(spec.model_dump(mode="json", exclude_none=True), "study.yaml")
    assert again == spec


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (space(trails=3), ["trails", "unknown key", "did you mean 'trials'"]),
        (space(trials="many"), ["trials", "integer", "'many'"]),
        (space(objectives=["val_acuracy"]), ["val_acuracy", "did you mean 'val_accuracy'"]),
        (space(objectives=["train_seconds"]), ["objectives", "val_accuracy"]),
        (space(phases=["search"]), ["inference_images_per_second", "profile"]),
        (space(models={}), ["models", "at least 1"]),
        (space(time_budget="soon"), ["time_budget", "30m"]),
        (models(scratch_vit={"search": {"lr": {"low": 1, "high": 0.1}}}), ["scratch_vit.search.lr", "empty range"]),
        (models(scratch_vit={"search": {"lr": {"low": 0, "high": 1, "log": True}}}), ["lr", "above 0"]),
        (models(scratch_vit={"search": {"lr": {"lo": 1, "high": 2}}}), ["search.lr", "lo"]),
        (models(scratch_vit={"search": 3}), ["models.scratch_vit.search", "mapping"]),
        (models(scratch_vit=3), ["models.scratch_vit", "mapping"]),
        (models(scratch_vit={"resources": {"cpu": 1}}), ["resources.cpu", "did you mean 'cpus'"]),
        (models(scratch_vit={"resources": {"gpus": 1.5}}), ["gpus", "whole number"]),
        (
            space(objectives=["val_accuracy"], all_models={"search": {"train_size": [10, 20]}}),
            ["train_size", "train_seconds"],
        ),
    ],
)
def test_a_bad_space_gets_one_line_with_the_place_and_the_mend(raw: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        resolve(raw, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ") and "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (models(scrach_vit={}), ["models.scrach_vit", "scratch_vit"]),
        (models(a={"model": "resnet81"}), ["models.a", "resnet18"]),
        (models(scratch_vit={"widht": 3}), ["widht", "did you mean 'width'"]),
        (models(scratch_vit={"serch": {}}), ["serch", "did you mean 'search'"]),
        (models(scratch_vit={"tome_ratio": 0.5}), ["tome_ratio", "scratch_vit"]),
        (models(scratch_vit={"lr": -1}), ["lr", "above 0", "-1"]),
        (models(scratch_vit={"batch_size": 8, "lr": -1}), ["models.scratch_vit.lr: lr must be above 0"]),
        (models(scratch_vit={"lr": "fast"}), ["lr", "number", "'fast'"]),
        (models(scratch_vit={"search": {"lr": {"low": -1, "high": 1}}}), ["lr", "above 0"]),
        (models(scratch_vit={"search": {"train_size": []}}), ["train_size", "choices"]),
        (models(scratch_vit={"image_size": 30, "patch_size": 4}), ["image_size", "30", "4"]),
        (models(vit={"architecture": "vit_base_patch16_225"}), ["architecture", "vit_base_patch16_224"]),
        (models(vit_tome={"search": {"tome_ratio": [0.5, 1.5]}}), ["tome_ratio", "1.5"]),
    ],
)
def test_models_and_their_settings_are_checked_against_their_files(raw: dict, words: list[str]) -> None:
    raw["objectives"] = ["val_accuracy", "train_seconds"]
    with pytest.raises(UserError) as caught:
        check_models(resolve(raw, "my.yaml"), "my.yaml")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("my.yaml: models.")
    for word in words:
        assert word in message


def test_numbers_that_yaml_reads_as_text_become_numbers() -> None:
    raw = yaml.safe_load(
        GOOD.replace("{low: 1.0e-4, high: 1.0e-2, log: true}", "[1e-4, 1e-2]").replace("depth: 1", "weight_decay: 1e-3")
    )
    spec = resolve(raw, "x")
    check_models(spec, "x")
    assert spec.models["scratch_vit"].search["lr"] == [1e-4, 1e-2]
    assert spec.models["scratch_vit"].settings["weight_decay"] == 1e-3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"- a\n- b\n", ["a list"]),
        (b"just text", ["a str"]),
        (b"a: [1\n", ["line", "not YAML"]),
        (b"\x00\x01\xff\xfe", ["not a text file"]),
        ("é".encode("latin-1"), ["UTF-8"]),
    ],
)
def test_a_file_that_is_no_space_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_space(str(path))
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_a_misspelt_space_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'digits_compare'"):
        read_space("digit_compare")


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2h", 7200)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_differences_name_what_changes_the_meaning_of_finished_trials_and_nothing_else() -> None:
    def with_(**changes: object) -> StudySpec:
        return resolve(space(**changes), "x")

    assert differences(with_(), with_(trials=99, time_budget="1h", description="other")) == []
    assert differences(with_(), with_(seed=5)) == ["seed: 0 -> 5"]
    slower = models(scratch_vit={"image_size": 64, "patch_size": 4, "width": 16, "heads": 2, "depth": 1})
    assert differences(with_(), resolve(slower, "x")) == ["models.scratch_vit.image_size: 32 -> 64"]
