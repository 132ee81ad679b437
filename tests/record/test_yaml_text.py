"""YAML as spaces are written in: the plain values of YAML 1.2, and no two ways to understand a line."""

from __future__ import annotations

import pytest

from record import yaml_text
from record.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E3", 1000.0), ("-1.5e+2", -150.0), ("+.5e1", 5.0), ("1.e2", 100.0), ("1.0e-4", 1e-4),
        ("'1e-3'", "1e-3"), ("1e", "1e"), ("e3", "e3"), ("12", 12), ("0", 0), ("-0.5", -0.5), ("0.5", 0.5),
        ("0x1F", 31), ("1_000", 1000), (".inf", float("inf")), ("null", None), ("~", None), ("", None), ("true", True),
        ("1:30", "1:30"), ("1:30:15.5", "1:30:15.5"), ("2026-01-31", "2026-01-31"), ("'010'", "010"),
        ("[1e-3, {a: 2e0}]", [0.001, {"a": 2.0}]),
        ("{a: &x {b: 1}, c: *x, d: {<<: *x, b: 2}}", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}}),
    ],
)  # fmt: skip
def test_values(text: str, value: object) -> None:
    read = yaml_text.load(text, "x")
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "my.yaml, line 4: b.c: this key occurs twice"),
        ("a: 1\na: 1\n", "my.yaml, line 2: a: this key occurs twice"),
        ("a:\n  - {b: 1, b: 2}\n", "my.yaml, line 2: a.0.b: this key occurs twice"),
        ("a: {seed: 010}", "my.yaml, line 1: a.seed: 010 has a leading zero; write 10, or '010' if it is text"),
        ("a: [0,\n -007]", "my.yaml, line 2: a.1: -007 has a leading zero; write -7, or '-007' if it is text"),
        ("a: 09", "my.yaml, line 1: a: 09 has a leading zero; write 9, or '09' if it is text"),
        ("a: &x [*x]", "my.yaml, line 1: a.0: an alias of a value that contains it"),
        ("a: [1\n", "my.yaml, line 2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: b: c", "my.yaml, line 1: not YAML: mapping values are not allowed here"),
        ("\x00", "my.yaml: not a text file; YAML in UTF-8 is needed"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        yaml_text.load(text, "my.yaml")
    assert str(caught.value) == message


def test_many_aliases_are_read_in_no_time() -> None:
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    assert len(yaml_text.load("\n".join(lines), "x")) == 60


@pytest.mark.parametrize(
    "text", ["1e-3", "+1E5", ".5e3", "010", "09", "1:30", "no", "2026-01-31", "null", "", "a\x85b"]
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert yaml_text.load(yaml_text.dump({text: [text]}), "x") == {text: [text]}
