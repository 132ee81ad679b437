"""Tokenised text on disk, one file per key."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from models.inputs import text as tokens
from models.inputs.text import Vocabulary
from record.folder import write_whole
from trainables.data import cache
from trainables.data.text.text_data import Pairs, Sentences, TextData


def cached(folder: Path, key: object, read: Callable[[], TextData]) -> TextData:
    """`read()`, or what it returned when the JSON-able `key`, which covers the input's content, was the same.

    The code that turns files into tokens is part of the key: a change of it must not return old tokens.
    """
    files = [Path(tokens.__file__), *(Path(__file__).with_name(name) for name in ("files.py", "tokenising.py"))]
    code = [file.read_text(encoding="utf-8") for file in files]
    digest = hashlib.sha256(json.dumps([code, version("spacy"), key]).encode()).hexdigest()
    return cache.cached(folder, f"{digest[:20]}.npz", read, _load, _save)


def _save(data: TextData, place: Path) -> None:
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    facts = {
        "name": data.name,
        "note": data.note,
        "vocabularies": [data.source_vocabulary.to_dict(), data.target_vocabulary.to_dict()],
        "texts": {split: [pairs.source_text, pairs.target_text] for split, pairs in splits.items()},
    }
    arrays = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
    for split, pairs in splits.items():
        for side, sentences in (("source", pairs.source), ("target", pairs.target)):
            arrays |= {f"{split}_{side}_tokens": sentences.tokens, f"{split}_{side}_starts": sentences.starts}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    write_whole(place, write)


def _load(place: Path) -> TextData | None:
    try:
        with np.load(place) as arrays:
            facts = json.loads(arrays["facts"].tobytes())

            def sentences(split: str, side: str) -> Sentences:
                return Sentences(arrays[f"{split}_{side}_tokens"], arrays[f"{split}_{side}_starts"])

            def pairs(split: str) -> Pairs:
                source, target = sentences(split, "source"), sentences(split, "target")
                return Pairs(source, target, *map(tuple, facts["texts"][split]))

            source, target = map(Vocabulary.from_dict, facts["vocabularies"])
            return TextData(
                facts["name"], facts["note"], source, target, pairs("train"), pairs("validation"), pairs("test")
            )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # absent or damaged
        return None
