"""Every task has the names of the Protocol: mypy checks their types here, the tests that they are there and documented."""

from __future__ import annotations

import pytest

from record import figures, tasks
from record.settings import meaning, settable
from trainables import task
from trainables.data.images import Images
from trainables.data.text.text_data import Pairs
from trainables.image_classification import task as image_classification
from trainables.task import Task
from trainables.translation import task as translation

IMAGE_CLASSIFICATION: Task[
    image_classification.Config, image_classification.DataOptions, image_classification.Data, Images
] = image_classification
TRANSLATION: Task[translation.Config, translation.DataOptions, translation.Data, Pairs] = translation

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
