"""What is written of a study reads back equal, whatever its space contains."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from record import contents, yaml_text
from record.folder import CONFIRM, PROFILE, StudyFolder
from study.space.plain import NAME
from study.space.reading import read_space, read_yaml, resolve, space_names
from study.space.resume import differences
from study.space.schema import ModelEntry, StudySpec
from study.space.typed import typed


def read_back(spec: StudySpec) -> StudySpec:
    return resolve(yaml_text.load(yaml_text.dump(spec.model_dump(mode="json")), "x"), "x")


@pytest.mark.parametrize("name", space_names())
def test_a_built_in_space_reads_back_equal(name: str) -> None:
    for spec in (resolve(*read_space(name)), typed(resolve(*read_space(name)))):
        assert read_back(spec) == spec and differences(spec, read_back(spec)) == []
        assert typed(read_back(spec)) == typed(spec)


def text(min_size: int = 0, max_size: int | None = None) -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=min_size, max_size=max_size)


numbers = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False)
scalars = (
    st.booleans() | numbers | text(max_size=8) | st.sampled_from(["1e-3", "010", "1:30", "no", "null", "2026-01-31"])
)
names = text(min_size=1, max_size=8).filter(lambda name: name not in ModelEntry.model_fields)
keys = st.from_regex(NAME, fullmatch=True).filter(lambda name: name.casefold() not in (PROFILE, CONFIRM))
choices = st.lists(scalars, min_size=1, max_size=4)
positive = st.floats(1e-9, 1e9)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([st.integers(1, 10**6), positive]))
    low, high = sorted(draw(st.lists(kind, min_size=2, max_size=2, unique=True)))
    if draw(st.booleans()):
        step = draw(kind)
        low, high = step, step * draw(st.integers(2, 9))
        return {"low": low, "high": high, "step": step, "log": False}
    return {"low": low, "high": high, "step": None, "log": draw(st.booleans())}


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(st.lists(names, max_size=6, unique=True))
    entry: dict[str, Any] = {"search": {}, "factors": {}}
    for name in fields:
        kinds = ["setting", "search"] + ["factors"] * (len(entry["factors"]) < 2)  # more would be too many cells
        kind = draw(st.sampled_from(kinds))
        if kind == "setting":
            entry[name] = draw(st.none() | scalars)
        else:
            entry[kind][name] = draw(choices | ranges() if kind == "search" else choices)
    optional = {
        "model": text(max_size=8), "epochs": st.integers(1, 99), "weights": text(max_size=8),
        "resources": st.fixed_dictionaries({"cpus": st.integers(1, 8), "gpus": st.sampled_from([0, 0.25, 1])}),
    }  # fmt: skip
    return entry | draw(st.fixed_dictionaries({}, optional=optional))


TASKS: dict[str, tuple[st.SearchStrategy[dict[str, Any]], list[str]]] = {
    "image_classification": (
        st.fixed_dictionaries({"name": text()}, optional={"validation": positive}),
        ["val_accuracy", "inference_images_per_second", "train_seconds"],
    ),
    "translation": (
        st.fixed_dictionaries(
            {"name": text()},
            optional={
                "text": st.fixed_dictionaries(
                    {}, optional={"min_frequency": st.integers(1, 9), "source": st.none() | text(max_size=3)}
                )
            },
        ),
        ["val_bleu", "train_seconds"],
    ),
}


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    task = draw(st.sampled_from(sorted(TASKS)))
    data, objectives = TASKS[task]
    optional = {
        "cost": text(), "trials": st.integers(1, 99), "seed": st.integers(0, 2**40),
        "sampler": st.none() | st.dictionaries(names, scalars | choices, max_size=2).map(lambda d: d | {"name": "x"}),
        "time_budget": st.none() | st.sampled_from(["90s", "1h30m"]), "checkpoint_seconds": st.floats(0, 1e9),
        "learn_from": st.lists(text(), max_size=3), "cold_share": st.floats(0, 1, exclude_max=True),
        "early_stopping": st.none() | st.just({}) | st.just({"grace_epochs": 5, "reduction_factor": 4}),
        "confirm": st.just({"seeds": 2}), "phases": st.just(["profile", "confirm"]),
        "all_models": entries().map(lambda entry: {k: v for k, v in entry.items() if k != "model"}),
    }  # fmt: skip
    required = {
        "description": text(), "task": st.just(task), "data": data,
        "objectives": st.just(objectives), "models": st.lists(keys, min_size=1, max_size=3, unique_by=str.casefold).flatmap(
            lambda names: st.fixed_dictionaries({name: st.none() | entries() for name in names})
        ),
    }  # fmt: skip
    return draw(st.fixed_dictionaries(required, optional=optional))


@given(raw=spaces())
def test_any_space_reads_back_equal(raw: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    spec = resolve(raw, "x")
    study = StudyFolder(tmp_path_factory.mktemp("spec"))
    contents.write_spec(study, spec.model_dump(mode="json"))
    for again in (resolve(contents.read_spec(study), "x"), resolve(read_yaml(study.spec), "x"), read_back(spec)):
        assert again == spec and differences(spec, again) == []
    assert (spec.early_stopping is None) == (raw.get("early_stopping", "default") is None)
