"""Where the data folder lies that a space or the command line names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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
