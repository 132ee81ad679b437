"""The command line's changes of a space."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from record.errors import UserError
from study.space.overrides import Overrides

RAW = yaml.safe_load("""
data: {name: digits}
all_models: {weights: timm}
models:
  scratch: {weights: none}
  vit:
  file: {weights: x.pth, resources: {cpus: 1}}
""")


def test_no_options_change_nothing() -> None:
    raw = deepcopy(RAW)
    assert Overrides().apply(raw) == RAW and raw == RAW


def test_options_reach_every_model_and_the_raw_space_is_not_touched() -> None:
    raw = deepcopy(RAW)
    overrides = Overrides(trials=0, epochs=3, seed=0, time_budget="1h", gpus=0.0, cpus=2.5)
    assert overrides.apply(raw) == {
        "data": {"name": "digits"},
        "trials": 0,
        "seed": 0,
        "time_budget": "1h",
        "all_models": {"weights": "timm"},
        "models": {
            "scratch": {"weights": "none", "epochs": 3, "resources": {"gpus": 0.0, "cpus": 2.5}},
            "vit": {"epochs": 3, "resources": {"gpus": 0.0, "cpus": 2.5}},
            "file": {"weights": "x.pth", "epochs": 3, "resources": {"gpus": 0.0, "cpus": 2.5}},
        },
    }
    assert raw == RAW


@pytest.mark.parametrize("word", ["none", "timm"])
def test_none_and_timm_are_words_and_what_starts_from_random_weights_keeps_them(word: str) -> None:
    models = Overrides(weights=word).apply(RAW)["models"]
    assert [models[name]["weights"] for name in ("scratch", "vit", "file")] == ["none", word, word]


@pytest.mark.parametrize("name", ["w.pth", "pretrained", "nowhere/w.safetensors"])
def test_other_weights_are_a_file_whose_path_holds_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Overrides(weights=name).apply(RAW)["models"]["vit"]["weights"] == str(tmp_path / name)


def test_a_data_folder_gets_a_path_that_holds_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pets").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Overrides(data="pets").apply(RAW)["data"] == {"name": str(tmp_path / "pets")}
    assert Overrides(data="cifar10").apply(RAW)["data"] == {"name": "cifar10"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr=1e-3", 1e-3), ("lr=1.5E+2", 150.0), ("lr=.5e-1", 0.05), ("lr='1e-3'", "1e-3"), ("lr=[1e-3, 2]", [0.001, 2]),
     ("lr=", None), ("lr={low: 1, high: 2}", {"low": 1, "high": 2}), ("lr=a=b", "a=b"), ("lr=no", False)],
)  # fmt: skip
def test_a_setting_is_yaml(setting: str, value: object) -> None:
    assert Overrides(settings=(f"models.vit.{setting}",)).apply(RAW)["models"]["vit"] == {"lr": value}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("trials", ["--set trials", "key=value"]),
        ("=3", ["--set =3", "key=value"]),
        ("trials=[1", ["--set trials=[1", "not YAML"]),
        ("seed=010", ["--set seed=010", "write 10"]),
        ("data={name: a, name: b}", ["--set data", "name", "twice"]),
        ("data.name.x=3", ["--set data.name.x", "'data.name' is a value"]),
    ],
)
def test_a_malformed_setting_is_one_line(setting: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        Overrides(settings=(setting,)).apply(RAW)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("raw", [{"models": 3}, {"models": {"a": 3}, "all_models": []}, {}])
def test_a_malformed_space_is_left_to_validation(raw: dict) -> None:
    assert Overrides(weights="timm").apply(raw) == raw
