"""Names of studies, models and cells become names of files and of Optuna studies: they must differ there, too."""

from __future__ import annotations

import pytest
from small_space import models

from record.errors import UserError
from study.cells import cells, check_names
from study.space.plain import name_message
from study.space.reading import resolve

RESNET = {"model": "resnet18"}


@pytest.mark.parametrize("name", ["a", "0", "vit_tome", "vit-224+ema.v2", "x" * 64])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert name_message(name) is None
    assert list(resolve(models(**{name: RESNET}), "x").models) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "../../x",
        "..",
        ".a",
        "-a",
        "_a",
        "x" * 65,
        "x" * 300,
        "a b",
        "confirm x",
        "a=b",
        "a\n",
        "\u00e4",
        "a:b",
        "a\\b",
    ],
)
def test_a_name_that_cannot_be_a_file_is_one_line(name: str) -> None:
    assert name_message(name)
    with pytest.raises(UserError, match=r"x: models\..*a name is made of letters, digits, _ \. \+ and -") as caught:
        resolve(models(**{name: RESNET}), "x")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["profile", "Profile", "confirm"])
def test_the_names_of_phases_are_taken(name: str) -> None:
    with pytest.raises(UserError, match=f"models.{name}: '{name}' is the name of a phase"):
        resolve(models(**{name: RESNET}), "x")


def test_names_that_differ_in_case_only_are_refused() -> None:
    with pytest.raises(UserError, match=r"models\.Vit: differs from 'vit' in upper and lower case only"):
        resolve(models(vit={}, Vit={"model": "vit"}), "x")


@pytest.mark.parametrize("value", ["a/b", "..\\x", "", "a b", "x" * 65, "a=b"])
def test_a_factor_whose_text_cannot_stand_in_a_file_name_is_refused(value: str) -> None:
    spec = resolve(models(vit={"factors": {"architecture": ["vit_tiny_patch16_224", value]}}), "x")
    with pytest.raises(UserError, match=r"x: models\.vit\.factors\.architecture: .* stands in the names of files"):
        check_names(spec, "x")


def test_cells_whose_names_differ_in_case_only_are_refused() -> None:
    spec = resolve(models(vit={"factors": {"architecture": ["a", "A"]}}), "x")
    with pytest.raises(UserError, match="the cells vit-architecture=a and vit-architecture=A have the same name"):
        check_names(spec, "x")


def test_a_cell_with_a_name_longer_than_file_systems_take_is_refused() -> None:
    factors = {"architecture": ["a" * 64], "global_pool": ["b" * 64], "norm_layer": ["c" * 64]}
    with pytest.raises(
        UserError, match=r"models\.vit\.factors: .* has \d+ characters; the name of a cell has 200 at most"
    ):
        check_names(resolve(models(vit={"factors": factors}), "x"), "x")


def test_numbers_and_words_of_factors_are_part_of_the_names() -> None:
    spec = resolve(models(vit={"factors": {"lr": [1e-5, -1, 3], "flip": [True, False]}}), "x")
    check_names(spec, "x")
    assert [cell.name for cell in cells(spec)][:2] == ["vit-lr=1e-05-flip=True", "vit-lr=1e-05-flip=False"]
