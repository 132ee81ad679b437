"""Tasks and data sets have the names of their Protocols: mypy checks the types, the tests that all are there."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from record import figures, tasks
from record.settings import meaning, settable
from trainables import task
from trainables.data import data_sets
from trainables.data.images import ImageDataSet, Images
from trainables.data.images import sets as image_sets
from trainables.data.images.sets import cifar10, digits
from trainables.data.text import sets as text_sets
from trainables.data.text.sets import multi30k, reversal
from trainables.data.text.text_data import Pairs, TextDataSet
from trainables.image_classification import task as image_classification
from trainables.task import Task
from trainables.translation import task as translation

IMAGE_CLASSIFICATION: Task[
    image_classification.Config, image_classification.DataOptions, image_classification.Data, Images
] = image_classification
TRANSLATION: Task[translation.Config, translation.DataOptions, translation.Data, Pairs] = translation
IMAGE_DATA_SETS: list[ImageDataSet] = [cifar10, digits]
TEXT_DATA_SETS: list[TextDataSet] = [multi30k, reversal]

NAMES = [name for name in vars(Task) if not name.startswith("_")]


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_task_has_the_names_of_the_protocol(name: str) -> None:
    module = task.named(name)
    assert NAMES and all(hasattr(module, attribute) for attribute in NAMES)
    assert module.Config is task.config_class(name) and module.DataOptions is task.data_options_class(name)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_setting_of_a_task_says_what_it_means(name: str) -> None:
    for config in (task.config_class(name), task.data_options_class(name)):
        assert all(meaning(field) for field in settable(config).values())


@pytest.mark.parametrize("name", tasks.TASKS)
def test_quality_and_speed_of_a_task_are_objectives(name: str) -> None:
    terms = tasks.terms(name)
    assert {terms.validation, terms.speed} <= set(figures.objectives(name))
    assert {terms.tested, terms.interpolated_speed} <= {figure.name for figure in figures.of(name)}


@pytest.mark.parametrize(("sets", "load"), [(image_sets, ImageDataSet.load), (text_sets, TextDataSet.load)])
def test_every_data_set_loads_as_the_protocol_says(sets: ModuleType, load: Callable[..., object]) -> None:
    names = data_sets(sets)
    assert names
    for name in names:
        data_set = importlib.import_module(f"{sets.__name__}.{name}")
        assert ["self", *inspect.signature(data_set.load).parameters] == list(inspect.signature(load).parameters)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_task_with_engines_has_the_names_of_their_protocol(name: str) -> None:
    has = [hasattr(task.named(name), attribute) for attribute in vars(task.Deployable) if not attribute.startswith("_")]
    assert has == [tasks.terms(name).engines] * 3


def test_the_figures_of_engines_are_part_of_a_row() -> None:
    by_engine: dict[str, task.Figures] = {"torch": {"dtype": "float32"}, "openvino": {"refused": "no. Not today."}}
    row: task.Figures = {"epoch": 1, "val_accuracy": 0.5}
    whole = row | task.in_row(by_engine)
    assert task.from_row(whole) == by_engine and task.without_engines(whole) == row


def test_importing_models_loops_or_analysis_never_imports_ray() -> None:
    code = (
        "import sys, models, trainables.image_classification.task, analysis, analysis.cli.main, analysis.tell.pictures.png\n"
        "for name in models.available(): models.config_class(name)\n"
        "assert 'ray' not in sys.modules, 'ray was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
