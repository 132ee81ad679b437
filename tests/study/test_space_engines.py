"""What a space may say of engines, and what is refused before anything runs."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from models import engines
from record.errors import UserError
from study.space.checking import check_engines
from study.space.reading import resolve

SPACE: dict[str, Any] = {
    "description": "x",
    "data": {"name": "digits"},
    "models": {"resnet18": {"lr": 0.1}, "vit": {"lr": 0.1, "engines": ["torch", "onnxruntime"]}},
}
TRANSLATION: dict[str, Any] = {
    "description": "x",
    "task": "translation",
    "data": {"name": "reversal"},
    "models": {"translation_transformer": {"factor": 1}},
}


def test_engines_hold_for_the_study_unless_a_model_has_its_own() -> None:
    spec = resolve(SPACE | {"engines": ["torch", "openvino"]}, "x")
    assert spec.engines_of("resnet18") == ["torch", "openvino"] and spec.engines_of("vit") == ["torch", "onnxruntime"]
    shared = resolve(SPACE | {"all_models": {"engines": ["torch", "openvino_int8"]}}, "x")
    assert shared.engines_of("resnet18") == ["torch", "openvino_int8"] and shared.engines_of("vit")[1] == "onnxruntime"
    assert resolve(SPACE, "x").engines_of("resnet18") == resolve(TRANSLATION, "x").engines == ["torch"]


def test_a_study_of_before_engines_is_the_same_study() -> None:
    spec = resolve(SPACE | {"models": {"resnet18": {"lr": 0.1}}}, "x")
    recorded = spec.model_dump(mode="json")
    del recorded["engines"], recorded["models"]["resnet18"]["engines"]
    assert resolve(recorded, "study.yaml") == spec


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (SPACE | {"engines": ["torch", "openvin"]}, "engines: unknown engine 'openvin'; did you mean 'openvino' or"),
        (SPACE | {"engines": ["openvino"]}, "engines: 'torch' is missing, which trials are evaluated with"),
        (SPACE | {"engines": ["torch", "openvino", "openvino"]}, "engines: 'openvino' is listed twice"),
        (
            SPACE | {"all_models": {"engines": ["torch", "onnx"]}},
            "all_models.engines: unknown engine 'onnx'; did you mean",
        ),
        (
            SPACE | {"models": {"resnet18": {"lr": 0.1, "engines": ["torch", "x"]}}},
            "models.resnet18.engines: unknown engine 'x'; valid: onnxruntime,",
        ),
        (
            TRANSLATION | {"engines": ["torch", "openvino"]},
            "engines: 'openvino' does not run models of task translation, only torch does",
        ),
    ],
)
def test_what_cannot_be_is_one_line(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(raw, "my.yaml")
    assert str(error.value).startswith(f"my.yaml: {message}") and "\n" not in str(error.value)


def test_an_engine_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # Python takes it for not installed
    with pytest.raises(UserError) as error:
        check_engines(resolve(SPACE | {"engines": ["torch", "openvino"]}, "my.yaml"), "my.yaml")
    message = f"engine openvino needs the package openvino, which is not installed: {engines.EXTRA}"
    assert str(error.value) == f"my.yaml: engines: {message}"
    check_engines(resolve(SPACE | {"models": {"vit": {"lr": 0.1}}}, "my.yaml"), "my.yaml")
