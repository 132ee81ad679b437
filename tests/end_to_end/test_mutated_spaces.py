"""Seeded mutations of spaces, through everything that a dry run does: one line, or a study that starts."""

from __future__ import annotations

import math
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY
from rich.console import Console

import run_study as program
from record import yaml_text
from record.errors import UserError
from record.folder import StudyFolder
from study.cells import cells, distributions
from study.session import Options, Session, rehearse
from study.space.overrides import Overrides
from study.space.reading import check_new, read_space, resolve, space_names
from study.space.schema import StudySpec, split_settings
from study.space.typed import typed
from trainables.training import Diverged

FAST, ALL, STARTED = 100, 10_000, 20
DATA = {"image_classification": "digits", "translation": "reversal"}

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-300, 1e300, 2**31, 2**63, 10**30, 10**5000, float("nan"), float("inf"),
    "", " ", "x", "1e-3", "010", "nan", "none", "timm", "null", "../../x", "a/b", "x" * 300, "\0", "\n", "\u2028", "\ud800",
    "Ünïcödé", "🙂", "profile", "confirm x", "val_loss", "train_seconds", "search", "1h30m", "0s", [], {}, [[]], [None],
    [1, 1], [0.1, "0.1"], {"low": 1, "high": 2}, {"low": 1, "high": 4, "step": 0.7}, {"low": 0, "high": 1, "log": True},
    {"low": 2, "high": 1}, {"low": 1, "high": 1e9, "log": True}, {"name": "x"}, {1: 2}, {"x": {"x": {"x": []}}}, (1, 2), b"x",
]  # fmt: skip
NAMES = [
    "lr", "train_size", "tome_ratio", "image_size", "patch_size", "width", "depth", "heads", "batch_size", "epochs", "seed",
    "weights", "model", "resources", "search", "factors", "factor", "warmup", "layers", "beams", "norm", "dropout", "flip",
    "phases", "objectives", "sampler", "early_stopping", "confirm", "time_budget", "all_models", "low", "high", "step", "x", "",
    "A", "vit", "Vit", "a/b", "../x", "é", "x\n", 1, None, True,
]  # fmt: skip


def base_spaces() -> list[dict[str, Any]]:
    """The built-in spaces and a generated one, on embedded data."""
    spaces = [read_space(name)[0] for name in space_names()] + [yaml_text.load(TINY, "tiny")]
    for raw in spaces:
        raw["data"] = {"name": DATA[raw.get("task", "image_classification")]}
        for entry in (raw.get("all_models", {}), *raw["models"].values()):  # published weights may need a network
            if entry and "weights" in entry:
                entry["weights"] = "none"
    return spaces


def places(node: Any) -> list[tuple[Any, Any]]:
    """Each container of a space with each of its keys or positions."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [place for key in keys for place in ((node, key), *places(node[key]))]


def mutate(raw: dict[str, Any], rng: random.Random) -> None:
    """One change: a value replaced, scaled, dropped, renamed, copied elsewhere or added."""
    container, key = rng.choice(places(raw))
    value, kind = container[key], rng.randrange(7)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice(NAMES)] = container.pop(key)
    elif kind == 2 and isinstance(container, dict):
        container[rng.choice(NAMES)] = deepcopy(rng.choice(ODD))
    elif kind == 3:
        other, place = rng.choice(places(raw))
        other[place] = deepcopy(value)
    elif kind == 4 and isinstance(value, int | float):
        container[key] = rng.choice([-value, value * 2, value / 2, value * 1000, value + 1, str(value), [value]])
    elif kind == 5 and isinstance(value, list):
        value.append(deepcopy(rng.choice([*value, *ODD])))
    else:
        container[key] = deepcopy(rng.choice(ODD))


def mutant(seed: int, bases: list[dict[str, Any]]) -> tuple[dict[str, Any], Overrides]:
    rng = random.Random(seed)
    raw = deepcopy(rng.choice(bases))
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        if raw:
            mutate(raw, rng)
    values = [
        "[",
        "010",
        ".inf",
        "1e400",
        "{a: b, a: c}",
        "&x [*x]",
        "no",
        "[1, 2]",
        "2026-01-31",
        "!!int x",
        "\t",
        "3",
        "a: b",
    ]
    dotted = rng.choice(
        ["trials", "models.vit.depth", "all_models.lr", "all_models.search.lr", "data.name", "x..y", ".", "confirm"]
    )
    settings = (f"{dotted}={rng.choice(values)}",) if rng.random() < 0.2 else ()
    return raw, Overrides(settings=settings, trials=rng.choice([None] * 8 + [0, 3, -1]))


def checked(raw: dict[str, Any], overrides: Overrides, folder: Path) -> tuple[StudySpec, Session]:
    """What run_study.py does of a dry run, after it has read the file."""
    spec = typed(resolve(overrides.apply(raw), "my.yaml"))
    check_new(spec, "my.yaml")
    program._check(spec, "my.yaml")
    session = Session(spec, Options(StudyFolder(folder / "study"), folder), Console(quiet=True))
    rehearse(session)
    return spec, session


def is_one_line_that_names_its_place(message: str, raw: dict[str, Any]) -> bool:
    keys = {"--set", "data", "weights", "train_size", "image_size", *NAMES[:30], *StudySpec.model_fields}
    keys |= {repr(key).strip("'") for _, key in places(raw)} | {".: ", "x..y: "}  # from --set
    return (
        len(message.splitlines()) == 1
        and len(message) < 4000
        and any(key and str(key).lower() in message.lower() for key in keys)
    )


def check_survives(spec: StudySpec) -> None:
    """study.yaml reads back equal, and Optuna takes every range."""
    text = yaml_text.dump(spec.model_dump(mode="json"))
    assert typed(resolve(yaml_text.load(text, "study.yaml"), "study.yaml")) == spec
    for entry in spec.models.values():
        assert distributions(entry).keys() == entry.search.keys()


def starts(spec: StudySpec, session: Session) -> bool:
    """Build each model of a cell and train a step; False where that would take long."""
    for cell in cells(spec):
        entry = spec.models[cell.entry]
        settings = {name: entry.values(name)[0] for name in entry.names()} | dict(cell.factors)
        training, options = split_settings(spec, settings)
        if training.get("compile") or not is_small(training | options):
            return False
        config = session.task.Config(**{**training, "epochs": 1, "seed": spec.seed, "train_size": 40})
        loop = session.task.Loop(config, entry.model, options, entry.weights, session.data, torch.device("cpu"))
        try:
            row = loop.run_epoch()
        except Diverged:  # the settings are the user's
            continue
        assert row["epoch"] == 1 and math.isfinite(float(row["val_loss"] or 0))
    return True


def is_small(settings: dict[str, Any]) -> bool:
    sizes = ("image_size", "width", "embed_dim", "depth", "layers", "feed_forward", "beams", "accumulation")
    large = any(int(settings.get(name) or 0) > 256 for name in sizes)
    return not large and "architecture" not in settings


def run_mutants(seeds: range, folder: Path, wanted: int) -> tuple[int, int, int]:
    """(accepted, refused, started) of these seeds. A failure names its seed."""
    bases, accepted, started = base_spaces(), 0, 0
    for seed in seeds:
        raw, overrides = mutant(seed, bases)
        try:
            spec, session = checked(raw, overrides, folder)
        except UserError as error:
            assert is_one_line_that_names_its_place(str(error), raw), (seed, str(error))
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: {raw}") from error
        accepted += 1
        check_survives(spec)
        if started < wanted and starts(spec, session):
            started += 1
    assert list(folder.iterdir()) == []
    return accepted, len(seeds) - accepted, started


def test_mutated_spaces_are_refused_in_one_line_or_start(tmp_path: Path) -> None:
    accepted, refused, started = run_mutants(range(FAST), tmp_path, 2)
    assert accepted > FAST / 20 and refused > FAST / 4 and started >= 1


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_thousand_mutated_spaces(tmp_path: Path) -> None:
    accepted, refused, started = run_mutants(range(FAST, FAST + ALL), tmp_path, STARTED)
    print(f"{accepted} accepted, {refused} refused, {started} started")
    assert accepted > ALL / 20 and started == STARTED
