"""The generated documents say what the code does, and leave out no key and no column."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from conftest import ROOT, undocumented_columns
from pydantic import BaseModel
from small_space import models as entries
from small_space import space

import models
from record import tasks
from record.errors import UserError
from record.settings import meaning, settable
from study.space import dimensions, schema
from study.space.reading import SPACES, read_space, resolve, space_names
from trainables.data.images import loading
from trainables.task import config_class, data_options_class


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_documents_are_up_to_date(generate: ModuleType) -> None:
    for path, text in generate.documents().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} and the code differ; run make docs"


@pytest.mark.parametrize(
    "part",
    [schema.StudySpec, *dimensions.Strict.__subclasses__(), *dimensions.Open.__subclasses__(), schema.ModelEntry],
)
def test_every_key_of_a_space_is_described(part: type[BaseModel]) -> None:
    assert part.model_fields and all(field.description for field in part.model_fields.values())


CONFIGS = {
    **{task: config_class(task) for task in tasks.TASKS},
    **{f"{task}'s data": data_options_class(task) for task in tasks.TASKS},
    **{name: models.config_class(name) for name in models.available()},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_every_setting_is_described(name: str) -> None:
    fields = settable(CONFIGS[name])
    assert fields != {}
    assert [key for key, field in fields.items() if not meaning(field)] == []


@pytest.mark.parametrize("name", CONFIGS)
def test_every_setting_is_in_the_documents(name: str) -> None:
    page = (ROOT / "docs" / "spaces.md").read_text(encoding="utf-8")
    assert all(f"`{key}" in page for key in settable(CONFIGS[name]))


def test_every_image_data_set_is_in_the_documents() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in loading.names() if f"`{name}`" not in page] == []


def test_every_column_of_a_study_is_documented(tiny_study: Path) -> None:
    assert undocumented_columns(tiny_study) == {"trials": [], "epochs": [], "profile": []}


@pytest.fixture(scope="module")
def validator(generate: ModuleType) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(generate.json_schema())
    return jsonschema.Draft202012Validator(generate.json_schema())


@pytest.mark.parametrize("name", space_names())
def test_editors_accept_the_built_in_spaces_as_they_are_written_and_resolved(
    validator: jsonschema.Draft202012Validator, name: str
) -> None:
    raw, _ = read_space(name)
    for value in (raw, resolve(raw, name).model_dump(mode="json")):
        assert [error.message for error in validator.iter_errors(value)] == []


@pytest.mark.parametrize(
    "raw",
    [
        space(trails=3), space(trials=0), space(task="image"), space(objectives=["val_acuracy"]), space(data=None),
        space(data={"name": "digits", "validaton": 0.1}), space(early_stopping={"grace": 1}), space(models={}),
        space(all_models={"serch": {}}), space(description=3), space(sampler={"nme": "TPESampler"}),
        entries(vit={"widht": 3}), entries(vit={"search": {"lr": {"low": 1}}}), entries(vit={"search": {"lrr": [1, 2]}}),
        entries(vit={"factors": {"lr": {"low": 1, "high": 2}}}), entries(vit={"epochs": "many"}), entries(vit={"depth": 1.5}),
    ],
)  # fmt: skip
def test_editors_refuse_what_reading_or_checking_would_refuse(
    validator: jsonschema.Draft202012Validator, raw: dict[str, Any]
) -> None:
    assert list(validator.iter_errors(raw)) != []
    with pytest.raises(UserError):
        schema_and_check(raw)


def schema_and_check(raw: dict[str, Any]) -> None:
    from study.space.checking import check_models

    check_models(resolve(raw, "x"), "x")


@pytest.mark.parametrize("name", space_names())
def test_built_in_spaces_name_their_schema(name: str) -> None:
    first = (SPACES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    path = first.removeprefix("# yaml-language-server: $schema=")
    assert (SPACES / path).resolve() == ROOT / "docs" / "space.schema.json"


def test_the_schema_states_its_bounds_in_words_that_editors_know(generate: ModuleType) -> None:
    """Pydantic writes `ge` and `le` for bounds behind a validator, which JSON Schema does not have."""
    assert not {"ge", "gt", "le", "lt"} & set(_keys(generate.json_schema()))


def _keys(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        yield from part
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
        yield from _keys(child)
