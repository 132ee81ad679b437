"""What a person reads who mistyped something in a space: every problem, in the space's own words."""

from __future__ import annotations

import datetime
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_space import models, space

from record.errors import UserError
from study.space import messages
from study.space.messages import Problem
from study.space.reading import read_space, resolve


def refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        resolve(raw, "my.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (space(trails=3), ["trails", "unknown key", "did you mean 'trials'"]),
        (space(trials="many"), ["trials", "a whole number", "'many'"]),
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
def test_a_bad_space_gets_one_line_with_the_place_and_the_fix(raw: dict, words: list[str]) -> None:
    message = refusal(raw)
    assert message.startswith("my.yaml: ") and "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            models(vit={"search": {"lr": {"low": "x", "high": 2}}}) | {"trials": 0},
            "trials: must be 1 or more, got 0; models.vit.search.lr.low: a number is needed, got 'x'",
        ),
        (
            models(vit={"search": {"lr": {"lo": 1, "high": 2}}}),
            "models.vit.search.lr.low: is missing; "
            "models.vit.search.lr.lo: unknown key; did you mean 'low' or 'log'?",
        ),
        (
            models(vit={"search": {"lr": 3}}),
            "models.vit.search.lr: a range (low, high) or a list of choices is needed, got 3",
        ),
        (
            models(vit={"search": {"lr": [0.1, None]}}),
            "models.vit.search.lr.1: true or false, a number or text is needed, got null",
        ),
        (models(int8={"epochs": 0}), "models.int8.epochs: must be 1 or more, got 0"),
        (models(floating={"epochs": 0}), "models.floating.epochs: must be 1 or more, got 0"),
        (models(string={"search": 3}), "models.string.search: a mapping is needed, got 3"),
        (models(bools={"factors": {"lr": 3}}), "models.bools.factors.lr: a list is needed, got 3"),
        (models(list={"weights": []}), "models.list.weights: text is needed, got a list"),
        (
            models(Range={"search": {"range": {"low": 2, "high": 1, "log": "maybe"}}}),
            "models.Range.search.range.log: true or false is needed, got 'maybe'",
        ),
        (
            models(vit={"search": {"lr": {"low": -1, "high": -2, "log": True, "step": 1}}}),
            "models.vit.search.lr: empty range: low -1 is not below high -2; "
            "models.vit.search.lr: a log range starts above 0, not at -1; "
            "models.vit.search.lr: step must be above 0 and needs a linear range",
        ),
        (
            space(phases=["serch"], early_stopping={"grace": 2}, confirm=None),
            "phases.0: must be 'profile', 'search' or 'confirm', got 'serch'; "
            "early_stopping.grace: unknown key; did you mean 'grace_epochs'?; confirm: a mapping is needed, got null",
        ),
        (
            space(learn_from="results/x", cold_share=1),
            "learn_from: a list is needed, got 'results/x'; cold_share: must be below 1, got 1",
        ),
        (space(task="image_clasification"), "task: unknown 'image_clasification'; did you mean 'image_classification'?"),
        (space(description=True), "description: text is needed, got true; put it in quotes"),
        (space(time_budget=90), "time_budget: '90' is not a duration; write 90s, 30m, 2h or 1h30m"),
        (space(checkpoint_seconds=float("inf")), "checkpoint_seconds: a finite number is needed, got inf"),
        (space(sampler={"nme": "TPESampler"}), "sampler.name: is missing"),
        (space(data={"name": "x", "validation": 0}), "data.validation: must be above 0, got 0.0"),
        (space(data={"validaton": 1}), "data.name: is missing"),
        (
            space(
                task="translation", objectives=["val_bleu"],
                data={"name": "x", "text": {"min_frequency": 0, "max_tokens": "many", "source": False, "vocab": 1}},
            ),
            "data.text.max_tokens: a whole number is needed, got 'many'; "
            "data.text.source: text or null is needed, got false; put it in quotes; "
            "data.text.vocab: unknown key; did you mean 'vocabulary'?; "
            "data.text.min_frequency: must be 1 or more, got 0",
        ),
        (
            space(data={"name": "x", "text": {"min_frequency": 3}, "validatoin": 2}),
            "data.text: unknown key; did you mean 'test'?; data.validatoin: unknown key; did you mean 'validation'?",
        ),
        (models(vit={"resources": []}), "models.vit.resources: a mapping is needed, got a list"),
        (space(all_models=3), "all_models: a mapping is needed, got 3"),
        (space(all_modles={}), "all_modles: unknown key; did you mean 'all_models' or 'models'?"),
        (
            models(a={}, b={"resources": {"gpus": 1}}) | {"all_models": {"resources": {"gpus": -1, "cpus": 1.5}}},
            "all_models.resources.cpus: must be a whole number if it is above 1, got 1.5; "
            "all_models.resources.gpus: must be 0 or more, got -1",
        ),
        (models(**{"vit": {"search": {"epochs": [1]}}}), "models.vit.search.epochs: takes one value, outside search and factors"),
        (
            models(vit={"search": {"lr": [1, 2]}, "factors": {"lr": [3]}}),
            "models.vit.factors.lr: is searched as well; choose one of the two",
        ),
        (space(models={1: {}}), "models.1: a key must be text; put it in quotes"),
        (space() | {True: 3}, "true: a key must be text; put it in quotes"),  # as YAML reads `on: 3`
        (
            space(objectives=["val_acuracy", "val_loss", "val_loss"]),
            "objectives: unknown 'val_acuracy'; did you mean 'val_accuracy'?; objectives: 'val_loss' is listed twice",
        ),
        (space(trials=True), "trials: a whole number is needed, got true"),
        (models(vit={"resources": {"cpus": False}}), "models.vit.resources.cpus: a number is needed, got false"),
        (models(vit={"search": {"lr": {"low": True, "high": 2}}}), "models.vit.search.lr.low: a number is needed, got true"),
        (
            models(vit={"search": {"lr": {"low": 1, "high": 2, "log": 1}}}),
            "models.vit.search.lr.log: true or false is needed, got 1",
        ),
        (
            models(vit={"search": {"lr": {"low": 1, "high": 2, "step": 0.3}}}),
            "models.vit.search.lr: step 0.3 does not divide the range from 1 to 2",
        ),
        (
            models(vit={"search": {"lr": {"low": 1, "high": 2, "step": 5}}}),
            "models.vit.search.lr: step 5 does not divide the range from 1 to 2",
        ),
        (
            models(vit={"search": {"lr": {"low": 1, "high": 2, "step": 1, "log": True}}}),
            "models.vit.search.lr: step must be above 0 and needs a linear range",
        ),
        (models(vit={"gradient_clip": float("inf")}), "models.vit.gradient_clip: a finite number is needed, got inf"),
        (models(vit={"search": {"lr": [float("nan")]}}), "models.vit.search.lr.0: a finite number is needed, got nan"),
        (space(seed=2**53 + 1), "seed: whole numbers lie within 9007199254740992 of 0"),
        (space(epochs=10**5000), "epochs: whole numbers lie within 9007199254740992 of 0"),
        (models(vit={"epochs": 10**6}), "models.vit.epochs: must be 99999 or less, got 1000000"),
        (space(description="a\0b"), "description: text without NUL and lone surrogates is needed"),
        (space(description="\ud800"), "description: text without NUL and lone surrogates is needed"),
        (
            space(description=datetime.date(2026, 1, 31)),
            "description: text, a number, a list or a mapping is needed, got a YAML date",
        ),
        (space(phases=["search", "search"]), "phases: 'search' is listed twice"),
        (space(phases=["search", "profile"]), "phases: they run in the order profile, search, confirm; list them so"),
        (space(time_budget="0s"), "time_budget: must be above 0, got '0s'"),
        (
            models(vit={"factors": {"a": list(range(40)), "b": list(range(40))}}),
            "models.vit.factors: at most 1000 combinations are possible, not 1600",
        ),
    ],
)  # fmt: skip
def test_the_message(raw: dict, message: str) -> None:
    assert refusal(raw) == f"my.yaml: {message}"


@pytest.mark.parametrize("step", [0.1, 0.25, 0.5, 1])
def test_a_step_that_divides_its_range_is_accepted_whatever_floats_make_of_it(step: float) -> None:
    dimension = (
        resolve(models(vit={"search": {"shift": {"low": 0.0, "high": 3, "step": step}}}), "x").models["vit"].search
    )
    assert dimension["shift"].model_dump() == {"low": 0.0, "high": 3, "log": False, "step": step}


def test_long_keys_and_values_are_cut_and_odd_characters_escaped() -> None:
    message = refusal(models(**{"x" * 300: {"\x1b[2J\n": 3}}) | {"trials": "y" * 5000})
    assert "\n" not in message and "\x1b" not in message and len(message) < 600


def test_aliases_that_expand_to_billions_are_refused_at_once() -> None:
    bomb: list[object] = ["x"] * 10
    for _ in range(12):
        bomb = [bomb] * 10
    assert "at most 20000 values" in refusal(space(data=bomb))
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    assert "nested deeper than 20 levels" in refusal(space(data=deep))


def test_at_most_five_problems_are_shown() -> None:
    raw = space(trials=0, seed=-1, checkpoint_seconds=-1, confirm={"seeds": 0, "candidates": 0}, phases=[], x=1)
    assert refusal(raw).count(";") == 5 and refusal(raw).endswith("; and 2 more")


def test_a_problem_without_a_place_is_the_message_alone() -> None:
    assert str(messages.user_error("x.yaml", [Problem((), "a\n b"), Problem((), "a b")])) == "x.yaml: a b"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "a whole number"),
        (int | None, "a whole number or null"),
        (int | float, "a number"),
        (bool | float | str, "true or false, a number or text"),
        (messages.Literal["pre", "post"], "'pre' or 'post'"),
    ],
)
def test_types_in_words(kind: object, words: str) -> None:
    assert messages.words(kind) == words


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.sampled_from(["", "x", "val_loss", "1e-3"])
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["low", "high", "name", "lr", "search", "int8", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PYDANTIC = re.compile(
    r"function-|\[|Value error|type=|Range|Scalar|Entry|Spec|Data\b|EarlyStopping|Confirm|Resources|Input"
)


@given(data=st.data())
def test_no_message_speaks_of_pydantic(data: st.DataObject) -> None:
    """One to three values of a valid space are replaced by arbitrary ones."""
    raw = deepcopy(read_space("digits_compare")[0])
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = raw
        while True:
            key = data.draw(
                st.sampled_from([*node, "new"]) if isinstance(node, dict) else st.integers(0, len(node) - 1)
            )
            inner = node.get(key) if isinstance(node, dict) else node[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                node[key] = data.draw(junk)
                break
            node = inner
    try:
        resolve(raw, "my.yaml")
    except UserError as error:
        assert "\n" not in str(error) and not PYDANTIC.search(str(error)), str(error)
