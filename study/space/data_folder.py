"""Where the data folder and the files of weights lie that a space or the command line names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from record.errors import UserError
from study.space.overrides import WEIGHTS
from study.space.schema import StudySpec
from trainables import task as tasks


def find_data(spec: StudySpec, space: Path | None, data_dir: Path) -> StudySpec:
    """The study with the whole path of its data folder, so that it is found again from elsewhere.

    A relative path is looked up beside `space` (the file that has it; None if the command line does), in the current
    folder and in `data_dir`. What lies there keeps its name: such a study can be moved together with its data. Raises
    DataError where there is neither such a folder nor such a data set.
    """
    data_sets, name = tasks.data_sets(spec.task), spec.data.name
    if name in data_sets.names() or os.path.isabs(os.path.expanduser(name)):
        return spec
    places = {f"the folder of {space.name}": space.parent} if space else {}
    places |= {"the current folder": Path(), str(data_dir): data_dir}
    folders = [place / name for place in places.values() if name and os.path.isdir(place / name)]
    folders = list({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]
    if not folders:
        raise data_sets.unknown(name, list(places))
    if len(folders) > 1:
        others = ", ".join(str(folder.resolve()) for folder in folders[1:])
        print(f"data {name!r} is {folders[0].resolve()}; not used: {others}", file=sys.stderr)
    if folders[0] == data_dir / name:
        return spec
    return spec.model_copy(update={"data": spec.data.model_copy(update={"name": str(folders[0].resolve())})})


def find_weights(spec: StudySpec, space: Path | None) -> StudySpec:
    """The study with the whole paths of its files of weights, since trials run in another folder than the command.

    A relative path is looked up beside `space` (the file that has it) and in the current folder. Raises UserError.
    """
    places = {f"the folder of {space.name}": space.parent} if space else {}
    places |= {"the current folder": Path()}
    found = {
        name: entry.model_copy(update={"weights": _file(entry.weights, places, f"models.{name}.weights")})
        for name, entry in spec.models.items()
        if entry.weights not in WEIGHTS and not os.path.isabs(os.path.expanduser(entry.weights))
    }
    return spec.model_copy(update={"models": spec.models | found})


def _file(weights: str, places: dict[str, Path], where: str) -> str:
    for place in places.values():
        path = place / weights
        if os.path.isfile(path) or os.path.isfile(str(path).rpartition("#")[0]):  # FILE#KEY
            return str(path.absolute())
    looked = " or ".join(places)
    raise UserError(f"{where}: no file {weights!r} in {looked}; give none, timm or an existing FILE")
