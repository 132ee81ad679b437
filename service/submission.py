"""What `submit` takes, and how the options of a run are rewritten for a job that runs elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

import run_study
from record.errors import UserError
from study.space.reading import read_space, space_names

LOCAL = ("list_spaces", "dry_run", "profile", "address", "watch")  # of a run: what a job cannot take
FOLDERS = {"results": "--results", "data_dir": "--data-dir"}


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """The options of a run by name. Raises typer's error, or UserError, for what a job cannot take."""
    options = typer.main.get_command(run_study.app).make_context("submit", list(arguments)).params
    for name in LOCAL:
        if options.get(name):
            raise UserError(f"--{name.replace('_', '-')}: not for a submitted study; `vision-study run` takes it")
    study = run_study.study_name(options["space"], options["name"], options["data"])
    if options["space"] is not None:
        read_space(options["space"])
    return options | {"name": study}


def command(options: dict[str, Any], sent_space: str) -> tuple[list[str], Path | None]:
    """The options for the job, and the file of the space that travels with it under the name `sent_space`.

    Folders are made absolute: a job runs in one that Ray deletes.
    """
    space, words = options["space"], ["--name", options["name"]]
    own = Path(space) if space is not None and space not in space_names() else None
    if space is not None:
        words += ["--space", space if own is None else sent_space]
    for name, flag in FOLDERS.items():
        words += [flag, _elsewhere(str(options[name]))]
    skipped = {"space", "name", *FOLDERS, *LOCAL}
    for name, value in options.items():
        flag = f"--{name.rstrip('_').replace('_', '-')}"
        if name in skipped or value in (None, False, [], ()):
            continue
        if value is True:
            words.append(flag)
        else:
            for each in value if isinstance(value, list | tuple) else [value]:
                words += [flag, str(each)]
    return words, own


def _elsewhere(folder: str) -> str:
    return folder if "://" in folder else str(Path(folder).absolute())


def folder(options: dict[str, Any]) -> str:
    """Of the study, where the job runs."""
    return f"{_elsewhere(str(options['results']))}/{options['name']}"
