"""Multi30k, task 1: 29,000 image captions in English and German (Elliott et al. 2016, arXiv 1605.00459), German to English.

Read from the data folder's `multi30k` folder or the data folder itself, plain or .gz, under the names of the authors'
repository (https://github.com/multi30k/dataset, data/task1/raw), or else downloaded from there. The test split is
test_2016_flickr.
"""

from __future__ import annotations

import urllib.request
from pathlib import Path

from trainables.data.download import download
from trainables.data.text.files import find_files, read_files
from trainables.data.text.options import TextOptions
from trainables.data.text.text_data import TextData

_URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
_TEST = "test_2016_flickr"
_STEMS = ("train", "val", _TEST)


def load(data_dir: Path, options: TextOptions) -> TextData:
    """Raises DataError, also if the files are neither there nor can be downloaded."""
    languages = options.source or "de", options.target or "en"
    for folder in (data_dir / "multi30k", data_dir):
        if any(folder.glob(f"train.{languages[0]}*")):
            break
    else:
        folder = _download(data_dir / "multi30k", languages)
    return read_files(folder, find_files(folder, languages, {"test": _TEST}), languages, options, "multi30k")


def _download(folder: Path, languages: tuple[str, str]) -> Path:
    names = [f"{stem}.{language}.gz" for stem in _STEMS for language in languages]

    def fetch(draft: Path) -> None:
        for name in names:
            with urllib.request.urlopen(f"{_URL}/{name}") as response:
                (draft / name).write_bytes(response.read())

    instead = (
        f"put {names[0]}, {names[1]}, val.* and {_TEST}.* there, name the folder that has multi30k/ with --data-dir, "
        "or use --data reversal"
    )
    download(folder, "Multi30k", instead, fetch)
    return folder
