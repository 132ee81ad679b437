"""Where the data folder lies that a space or the command line names."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from record.tasks import IMAGE_CLASSIFICATION, TRANSLATION
from study.space.schema import StudySpec

# The modules that know a task's data sets.
_LOADING = {
    IMAGE_CLASSIFICATION.name: "trainables.data.images.loading",
    TRANSLATION.name: "trainables.data.text.loading",
}


def find_data(spec: StudySpec, space: Path | None, data_dir: Path) -> StudySpec:
    """The study with the whole path of its data folder, so that it is found again from elsewhere.

    A relative path is looked up beside `space` (the file that has it; None if the command line does), in the current
    folder and in `data_dir`. What lies there keeps its name: such a study can be moved together with its data. Raises
    DataError where there is neither such a folder nor such a data set.
    """
    loading, name = importlib.import_module(_LOADING[spec.task]), spec.data.name
    if name in loading.names() or os.path.isabs(os.path.expanduser(name)):
        return spec
    places = {f"the folder of {space.name}": space.parent} if space else {}
    places |= {"the current folder": Path(), str(data_dir): data_dir}
    folders = [place / name for place in places.values() if name and os.path.isdir(place / name)]
    folders = list({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]
    if not folders:
        raise loading.unknown(name, list(places))
    if len(folders) > 1:
        others = ", ".join(str(folder.resolve()) for folder in folders[1:])
        print(f"data {name!r} is {folders[0].resolve()}; not used: {others}", file=sys.stderr)
    if folders[0] == data_dir / name:
        return spec
    return spec.model_copy(update={"data": spec.data.model_copy(update={"name": str(folders[0].resolve())})})
