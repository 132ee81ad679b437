"""The rooms of analysis/: who imports whom, and that no line asks for a task by its name."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

from record.tasks import TASKS

MAY_IMPORT = {
    "read": set(),
    "weigh": {"read"},
    "tell": {"read", "weigh"},
    "use": {"read", "weigh"},
    "trackers": {"read", "use"},
    "cli": {"read", "weigh", "tell", "use", "trackers"},
}
FILES = sorted((ROOT / "analysis").rglob("*.py"))
WORDS = {word for task in TASKS.values() for word in (task.name, task.quality, task.validation, task.tested)}


def modules(file: Path) -> set[str]:
    """What a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room: str) -> None:
    files = list((ROOT / "analysis" / room).rglob("*.py"))
    assert len(files) > 1
    for file in files:
        parts = [name.split(".") for name in modules(file)]
        rooms = {part[1] for part in parts if part[0] == "analysis" and len(part) > 1}
        assert rooms <= MAY_IMPORT[room] | {room}, file
        assert not {part[0] for part in parts} & {"study", "trainables", "benchmarks", "ray", "run_study"}, file


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_line_asks_for_a_task_by_name(file: Path) -> None:
    compared = [
        node
        for compare in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(compare, ast.Compare)
        for node in (compare.left, *compare.comparators)
    ]
    assert not [node.lineno for node in compared if isinstance(node, ast.Constant) and node.value in WORDS]
