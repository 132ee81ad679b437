"""Settings are checked against the Configs of task and model; all problems of all models are named."""

from __future__ import annotations

from copy import deepcopy

import pytest
from small_space import models, space

from record.errors import UserError
from study.costs import check_grid
from study.space.checking import check_models
from study.space.reading import resolve


def refusal(raw: dict) -> str:
    with pytest.raises(UserError) as caught:
        check_models(resolve(raw, "my.yaml"), "my.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (models(scrach_vit={}), ["models.scrach_vit", "scratch_vit"]),
        (models(a={"model": "resnet81"}), ["models.a", "resnet18"]),
        (models(scratch_vit={"widht": 3}), ["widht", "did you mean 'width'"]),
        (models(scratch_vit={"serch": {}}), ["serch", "did you mean 'search'"]),
        (models(scratch_vit={"tome_ratio": 0.5}), ["tome_ratio", "scratch_vit"]),
        (models(scratch_vit={"lr": -1}), ["lr", "above 0", "-1"]),
        (models(scratch_vit={"batch_size": 8, "lr": -1}), ["models.scratch_vit.lr: must be above 0"]),
        (
            models(resnet18={"search": {"batch_size": [8, 1]}}),
            ["models.resnet18.search.batch_size: must be 2 or more: 'resnet18' normalises over the batch, got 1"],
        ),
        (
            models(resnet18={"train_size": 1}),
            ["models.resnet18.train_size: must be 2 or more: 'resnet18' normalises over the batch, got 1"],
        ),
        (models(scratch_vit={"lr": "fast"}), ["lr", "number", "'fast'"]),
        (models(scratch_vit={"search": {"lr": {"low": -1, "high": 1}}}), ["lr", "above 0"]),
        (models(scratch_vit={"search": {"train_size": []}}), ["train_size", "choices"]),
        (models(scratch_vit={"image_size": 30, "patch_size": 4}), ["image_size", "30", "4"]),
        (models(vit={"architecture": "vit_base_patch16_225"}), ["architecture", "vit_base_patch16_224"]),
        (models(vit_tome={"search": {"tome_ratio": [0.5, 1.5]}}), ["tome_ratio", "1.5"]),
        (models(translation_transformer={}), ["models.translation_transformer.model", "image_classification", "vit"]),
    ],
)
def test_models_and_their_settings_are_checked_against_their_files(raw: dict, words: list[str]) -> None:
    raw["objectives"] = ["val_accuracy", "train_seconds"]
    message = refusal(raw)
    assert "\n" not in message and message.startswith("my.yaml: models.")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"lr": -1, "batch_size": 0}, "a.lr: must be above 0, got -1.0; models.a.batch_size: must be 1 or more, got 0"),
        (
            {"depth": 1.5, "norm": 3, "flip": [True, False]},
            "a.depth: a whole number is needed, got 1.5; models.a.norm: text is needed, got 3; put it in quotes; "
            "models.a.flip: true or false is needed, got a list; a dimension belongs in search or factors",
        ),
        ({"accumulation": True}, "a.accumulation: a whole number is needed, got true"),
        ({"search": {"norm": {"low": 0, "high": 1}}}, "a.search.norm: text is needed: list the choices instead of a range"),
        ({"search": {"shift": [0.1, "0.10", 0.3]}}, "a.search.shift: choices must differ, but 0.1 occurs twice"),
        ({"search": {"depth": {"low": 1, "high": 4, "step": 0.5}}}, "a.search.depth: a whole number is needed, got 0.5"),
        ({"factors": {"shift": [0.1, 2, -1]}}, "a.factors.shift: must be 0 to below 1, got 2.0; "
         "models.a.factors.shift: must be 0 to below 1, got -1.0"),
        (
            {"factors": {"shfit": [0]}, "search": {"widht": [1, 2]}},
            "a.search.widht: unknown key for model 'scratch_vit'; did you mean 'width'?; "
            "models.a.factors.shfit: unknown key for model 'scratch_vit'; did you mean 'shift'?",
        ),
        ({"feed_forward": False}, "a.feed_forward: a whole number is needed, got false"),
        ({"flip": 1}, "a.flip: true or false is needed, got 1"),
        ({"factors": {"flip": [True, 0]}}, "a.factors.flip: true or false is needed, got 0"),
        ({"weight_decay": "nan"}, "a.weight_decay: a number is needed, got 'nan'"),
        ({"patch_size": 0}, "a.patch_size: must be 1 or more, got 0"),
        ({"search": {"depth": [1, -1]}}, "a.search.depth: must be 1 or more, got -1"),
        ({"image_size": 2**40}, "a.image_size: must be 65536 or less, got 1099511627776"),
        ({"width": 65536, "feed_forward": 65536, "depth": 4}, "a: its parameters need "),
        (
            {"search": {"train_size": {"low": 10, "high": 20, "step": 2.5}}},
            "a.search.train_size: a whole number or null is needed, got 2.5",
        ),
    ],
)  # fmt: skip
def test_the_message(entry: dict, message: str) -> None:
    assert refusal(models(a={"model": "scratch_vit"} | entry)).startswith(f"my.yaml: models.{message}")


def test_all_models_are_named() -> None:
    raw = models(a={"model": "vot"}, b={"model": "resnet18", "lr": 0}, c={"model": "resnet18", "widht": 3})
    message = refusal(raw)
    for words in ("models.a.model: unknown model 'vot'", "models.b.lr: must be above 0", "models.c.widht: unknown key"):
        assert words in message


def test_checks_change_nothing() -> None:
    raw = space()
    raw["models"]["scratch_vit"] |= {"weight_decay": "1e-3", "search": {"dropout": [0, "0.1"]}}
    spec = resolve(raw, "x")
    before = deepcopy(spec)
    check_models(spec, "x")
    check_grid(spec, "x")
    assert spec == before and spec.models["scratch_vit"].settings["weight_decay"] == "1e-3"


def test_a_setting_that_costs_no_time_may_be_searched_beside_one_that_does() -> None:
    raw = models(
        vit_tome={
            "architecture": "test_vit",
            "search": {
                "tome_ratio": {"low": 0.0, "high": 0.5}, "drop_path_rate": {"low": 0.0, "high": 0.3},
                "lr": {"low": 1e-4, "high": 1e-2},
            },
        }
    )  # fmt: skip
    spec = resolve(raw, "x")
    check_models(spec, "x")
    check_grid(spec, "x")
