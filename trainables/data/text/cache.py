"""Tokenised text on disk, in one file for each key; deleting it is always safe."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.inputs import text as cutting
from models.inputs.text import Vocabulary
from trainables.data import cache_folders

if TYPE_CHECKING:
    from trainables.data.text.text_data import TextData


def cached(folder: Path, key: Any, read: Callable[[], TextData]) -> TextData:
    """`read()`, or what it returned when the JSON-able `key`, which covers the input's content, was the same.

    The code that cuts sentences into tokens is a part of the key, or old tokens would be served after a change of it.
    """
    code = [
        Path(file).read_text(encoding="utf-8") for file in (cutting.__file__, Path(__file__).with_name("text_data.py"))
    ]
    whole = json.dumps([code, version("spacy"), key])
    name = f"{hashlib.sha256(whole.encode()).hexdigest()[:20]}.npz"
    places = [root / name for root in cache_folders(folder)]
    for place in places:
        if (found := _load(place)) is not None:
            return found
    data = read()
    for place in places:
        with contextlib.suppress(OSError):  # not writable, or full: the next place, or no cache
            _save(data, place)
            break
    return data


def _save(data: TextData, place: Path) -> None:
    """Write beside `place`, then rename: a reader sees all of it or nothing, whenever the writer dies."""
    place.parent.mkdir(parents=True, exist_ok=True)
    splits = {split: getattr(data, split) for split in ("train", "validation", "test")}
    facts = {
        "name": data.name,
        "note": data.note,
        "vocabularies": [data.source_vocabulary.to_dict(), data.target_vocabulary.to_dict()],
        "texts": {split: [part.source_text, part.target_text] for split, part in splits.items()},
    }
    arrays = {
        f"{split}_{side}_{field.name}": getattr(getattr(part, side), field.name)
        for split, part in splits.items()
        for side in ("source", "target")
        for field in dataclasses.fields(part.source)
    }
    descriptor, draft = tempfile.mkstemp(prefix="writing-", suffix=".npz", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
        os.replace(draft, place)
    finally:
        Path(draft).unlink(missing_ok=True)


def _load(place: Path) -> TextData | None:
    from trainables.data.text.text_data import Pairs, Sentences, TextData

    try:
        with np.load(place) as arrays:
            facts = json.loads(arrays["facts"].tobytes())

            def pairs(split: str) -> Pairs:
                source, target = (
                    Sentences(arrays[f"{split}_{side}_tokens"], arrays[f"{split}_{side}_starts"])
                    for side in ("source", "target")
                )
                return Pairs(source, target, *map(tuple, facts["texts"][split]))

            source, target = map(Vocabulary.from_dict, facts["vocabularies"])
            train, validation, test = map(pairs, ("train", "validation", "test"))
            return TextData(facts["name"], facts["note"], source, target, train, validation, test)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # absent or damaged
        return None
