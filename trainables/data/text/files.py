"""Parallel text files: which of a folder's files belong together, and the text data that they hold.

A folder holds `{train,val,test}.{src,tgt}`, one sentence per line, UTF-8, plain or .gz. Other endings, such as de and
en, can be set in the options and are the languages too.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

from trainables.data import DataError
from trainables.data.text.cache import cached
from trainables.data.text.options import TextOptions
from trainables.data.text.text_data import TextData
from trainables.data.text.tokenising import from_lines

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test",)}
FORM = "{train,val,test}.{src,tgt}[.gz]"

FilePair = tuple[Path, Path]  # source, target


def find_files(
    folder: Path, endings: tuple[str, str], preferred: Mapping[str, str] | None = None
) -> dict[str, FilePair]:
    """The files of each split, by their names. Raises DataError if one is missing or ambiguous.

    preferred: for a split, the name to choose if several match.
    """
    return {split: _find_pair(folder, split, endings, (preferred or {}).get(split, split)) for split in SPLITS}


def _find_pair(folder: Path, split: str, endings: tuple[str, str], preferred: str) -> FilePair:
    names = SPLITS[split]
    stems = sorted({_stem(path, ending) for ending in endings for path in folder.glob(f"*.{ending}*")} - {""})
    matching = [stem for stem in stems if stem in names or stem.startswith(tuple(f"{name}_" for name in names))]
    candidates = [stem for stem in matching if stem in (preferred, split)] or matching
    if len(candidates) > 1:
        raise DataError(f"{folder}: several {split} files ({', '.join(candidates)}); keep one of them there")
    stem = (candidates or [split])[0]
    return _find_file(folder, stem, endings[0]), _find_file(folder, stem, endings[1])


def _stem(path: Path, ending: str) -> str:
    name = path.name.removesuffix(".gz")
    return name.removesuffix(f".{ending}") if name.endswith(f".{ending}") else ""


def _find_file(folder: Path, stem: str, ending: str) -> Path:
    for path in (folder / f"{stem}.{ending}", folder / f"{stem}.{ending}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{folder}: no {stem}.{ending} or {stem}.{ending}.gz; a folder of text holds {FORM}")


def read_files(
    folder: Path, files: Mapping[str, FilePair], languages: tuple[str, str], options: TextOptions, name: str
) -> TextData:
    """Read, check and tokenise the files of the three splits, or take the result of an earlier time from the cache."""
    contents = {path: _read(path) for pair in files.values() for path in pair}
    digests = [hashlib.sha256(content).hexdigest() for content in contents.values()]

    def tokenise() -> TextData:
        lines = {split: _lines(pair, contents) for split, pair in files.items()}
        return from_lines(lines, languages, options, name, f"{len(lines['train'][0]):,} training pairs")

    return cached(folder, [name, languages, digests, repr(options)], tokenise)


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); replace it") from None


def _lines(pair: FilePair, contents: Mapping[Path, bytes]) -> tuple[list[str], list[str]]:
    source, target = (_decode(path, contents[path]) for path in pair)
    if len(source) != len(target):
        raise DataError(
            f"{pair[0]}: {len(source)} lines, but {pair[1].name} has {len(target)}; line i of one is the translation "
            "of line i of the other"
        )
    return source, target


def _decode(path: Path, content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8; convert the file, for example with iconv") from None
    if not text.strip():
        raise DataError(f"{path}: empty; one sentence per line is needed")
    # Only a line feed ends a line: str.splitlines would also split at characters that can stand inside a sentence.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]
