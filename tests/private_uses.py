"""Finds where our sources use private names and undocumented modules of other packages, from the syntax alone."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("record", "study", "models", "trainables", "analysis", "service", "benchmarks")

# Names with an underscore that are part of the documented interface of named tuples and of `os`.
DOCUMENTED = {"_asdict", "_fields", "_replace", "_make", "_exit"}
LOOK_UPS = {"getattr", "hasattr", "setattr", "delattr", "attrgetter", "object", "find_class"}  # take names as strings

# Packages whose inner modules move between releases: what of them is documented, and what is not but used.
DOCUMENTED_MODULES = {
    "huggingface_hub": {"", "errors"},
    "optuna": {
        "", "artifacts", "distributions", "exceptions", "importance", "logging", "pruners", "samplers", "search_space",
        "storages", "study", "trial", "visualization",
    },
    "ray": {
        "", "job_submission", "tune", "tune.callback", "tune.schedulers", "tune.search", "util.metrics", "util.placement_group",
        "util.scheduling_strategies", "util.state",
    },
    "tensorboardX": {""},
    "timm": {"", "layers", "models"},
    "torchvision": {"", "datasets", "transforms", "transforms.functional"},
}  # fmt: skip


@cache
def sources() -> dict[str, str]:
    """File -> text, of the product and the benchmarks."""
    paths = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def users(name: str) -> list[str]:
    """Our files that mention a name."""
    return sorted(file for file, text in sources().items() if re.search(rf"\b{re.escape(name)}\b", text))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def names_used(tree: ast.AST) -> Iterator[str]:
    """Attributes, parts of imported names, and either of them as a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for path in [*modules, *(alias.name for alias in node.names)]:
                yield from path.split(".")
        elif isinstance(node, ast.Call):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            for text in texts:
                if function in LOOK_UPS or re.fullmatch(r"\w+(\.\w+)+", text):
                    yield from text.split(".")


def names_bound(tree: ast.AST) -> Iterator[str]:
    """What a file defines: functions, classes, arguments, variables, and attributes of its own objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            yield node.attr


def is_own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign_private_names(files: dict[str, str]) -> dict[str, set[str]]:
    """Private name that no file defines -> the files that use it."""
    trees = {file: ast.parse(text) for file, text in files.items()}
    own = {name for tree in trees.values() for name in names_bound(tree)}
    uses: dict[str, set[str]] = defaultdict(set)
    for file, tree in trees.items():
        for name in filter(is_private, names_used(tree)):
            if name not in own | DOCUMENTED:
                uses[name].add(file)
    return uses


def inner_modules(files: dict[str, str]) -> dict[str, set[str]]:
    """Undocumented module of DOCUMENTED_MODULES' packages -> the files that import it."""
    uses: dict[str, set[str]] = defaultdict(set)
    for file, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                paths = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                paths = [node.module, *filter(is_module, inside)]
            else:
                continue
            for path in paths:
                package, _, rest = path.partition(".")
                if rest not in DOCUMENTED_MODULES.get(package, {rest}):
                    uses[path].add(file)
    # `from a.b import c` names a.b too; where c is a module of its own, a.b is only the way to it.
    return {path: by for path, by in uses.items() if not any(other.startswith(f"{path}.") for other in uses)}


@cache
def is_module(path: str) -> bool:
    if path.partition(".")[0] not in DOCUMENTED_MODULES:
        return False
    try:
        return importlib.util.find_spec(path) is not None
    except ModuleNotFoundError:
        return False
