"""Spaces: which file is read, how entries are merged, and that nothing is changed on the way."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from small_space import GOOD, models, space

from record.errors import UserError
from study.space.checking import check_models
from study.space.numbers import seconds
from study.space.reading import check_new, read_space, resolve, space_names
from study.space.typed import typed


@pytest.mark.parametrize("name", space_names())
def test_every_built_in_space_is_valid_and_says_what_it_costs(name: str) -> None:
    spec = resolve(*read_space(name))
    check_models(spec, name)
    assert spec.description and spec.cost and spec.hardware


def test_an_entry_takes_what_all_models_set_and_overrides_it() -> None:
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


def test_reading_leaves_the_raw_space_as_it_was() -> None:
    raw = models(scratch_vit={"search": {"depth": [1, 2]}, "resources": {"cpus": 2}}, vit=None)
    raw["all_models"]["resources"] = {"gpus": 1}
    before = deepcopy(raw)
    check_models(resolve(raw, "x"), "x")
    assert raw == before


def test_a_spec_cannot_be_changed() -> None:
    spec = resolve(space(), "x")
    entry = spec.models["scratch_vit"]
    for model, name, value in (
        (spec, "trials", 3), (entry, "epochs", 3), (entry, "width", 3), (entry.search["lr"], "low", 0.1),
        (entry.resources, "cpus", 2.0), (spec.data, "name", "cifar10"), (spec.data, "validation", 0.5),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, name, value)


def test_options_of_the_data_get_their_types_and_defaults() -> None:
    assert resolve(space(), "x").data.options == {"validation": 0.2, "test": None}
    options = resolve(space(data={"name": "digits", "validation": "1e2"}), "x").data.options
    assert options == {"validation": 100.0, "test": None} and type(options["validation"]) is float
    text = resolve(space(task="translation", data={"name": "text", "text": {"source": "de"}}), "x").data.options["text"]
    assert text == {"min_frequency": 2, "vocabulary": "train", "max_tokens": 128, "source": "de", "target": None}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"- a\n- b\n", ["a list"]),
        (b"just text", ["a single value"]),
        (b"a: [1\n", ["line", "not YAML"]),
        (b"\x00\x01\xff\xfe", ["not a text file"]),
        ("é".encode("latin-1"), ["UTF-8"]),
        (b"models:\n  vit: {}\n  vit: {}\n", ["line 3", "models.vit", "occurs twice"]),
        ("description: x\n".encode("utf-16"), ["UTF-8"]),
        ("description: x\n".encode("utf-16-le"), ["UTF-8"]),
        (b"models:\n\tvit: {}\n", ["line 2", "not YAML"]),
        (b"a: !!int x\n", ["not YAML"]),
        (b"a: !!timestamp 2026-99-99\n", ["not YAML"]),
        (b"a: !!python/object:os.system {}\n", ["not YAML"]),
        (b"a: " + b"9" * 5000, ["not YAML"]),
        (b"a: " + b"[" * 5000, ["my.yaml"]),  # too deep, or unfinished: the recursion limit decides
        (b"? [a]\n: b\n", ["not YAML"]),
        (b"a: &x [*x]\n", ["alias"]),
        (b"models:\n  vit:\n    depth: 010\n", ["line 3", "models.vit.depth", "010", "write 10"]),
    ],
)
def test_a_file_that_is_not_a_space_is_called_what_it_is(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_space(str(path))
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.strip().encode())
    assert read_space(str(path))[0] == yaml.safe_load(GOOD)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".yaml", ".", ""])
def test_a_space_that_no_file_can_be_is_not_found(name: str) -> None:
    with pytest.raises(UserError, match="--space"):
        read_space(name)


def test_only_a_study_that_has_searched_can_confirm() -> None:
    check_new(resolve(space(phases=["profile", "search", "confirm"]), "x"), "x")
    with pytest.raises(UserError, match="phases: confirm trains again what search has found; add search"):
        check_new(resolve(space(phases=["profile", "confirm"]), "x"), "x")


def test_a_misspelt_space_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean 'digits_compare'"):
        read_space("digit_compare")


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2h", 7200)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_settings_have_the_types_of_their_configs() -> None:
    raw = models(
        scratch_vit={
            "weight_decay": "1e-3",
            "width": 16.0,
            "search": {"lr": ["1e-4", 1], "train_size": {"low": 100.0, "high": 200, "step": 50.0}},
            "factors": {"dropout": [0, 0.5]},
        }
    )
    spec = resolve(raw, "x")
    before = deepcopy(spec)
    entry = typed(spec).models["scratch_vit"]
    values = [*entry.settings.values(), *entry.values("lr"), *entry.values("train_size"), *entry.values("dropout")]
    assert values == [0.001, 16, 0.0001, 1.0, 100, 200, 0.0, 0.5]
    assert [type(value) for value in values] == [float, int, float, float, int, int, float, float]
    assert type(entry.search["train_size"].step) is int
    assert spec == before and typed(typed(spec)) == typed(spec)


def test_numbers_that_other_readers_take_for_text_become_numbers() -> None:
    raw = yaml.safe_load(
        GOOD.replace("{low: 1.0e-4, high: 1.0e-2, log: true}", "[1e-4, 1e-2]").replace("depth: 1", "weight_decay: 1e-3")
    )
    spec = typed(resolve(raw, "x"))
    check_models(spec, "x")
    assert spec.models["scratch_vit"].search["lr"] == [1e-4, 1e-2]
    assert spec.models["scratch_vit"].settings["weight_decay"] == 1e-3
