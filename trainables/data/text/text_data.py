"""Translation data sets: parallel text files, tokenised once and kept as arrays; no torch.

A folder holds `{train,val,test}.{src,tgt}`, one sentence a line, UTF-8, plain or .gz. Languages may stand for src and
tgt, which the options name; a data set is a file of this folder with a function
`load(data_dir, options) -> TextData`.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.inputs.text import Token, Vocabulary, tokenise
from trainables.data import DataError, data_sets, unknown
from trainables.data.text import cache as text_cache
from trainables.data.text.options import TextOptions

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test",)}
FORM = "{train,val,test}.{src,tgt}[.gz]"


@dataclass(frozen=True, eq=False)
class Sentences:
    """Sentences of token positions, one after another, as two arrays: they are shared between processes uncopied."""

    tokens: np.ndarray  # (all tokens,) int32
    starts: np.ndarray  # (N + 1,) int64

    @classmethod
    def of(cls, sentences: Sequence[Sequence[int]]) -> Sentences:
        starts = np.cumsum([0, *map(len, sentences)], dtype=np.int64)
        return cls(np.fromiter(itertools.chain.from_iterable(sentences), np.int32, starts[-1]), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sentence, (N,)."""
        return np.diff(self.starts)


@dataclass(frozen=True, eq=False)
class Pairs:
    """One split. The texts are as they were read; the training split, which nobody compares with, has none."""

    source: Sentences
    target: Sentences
    source_text: tuple[str, ...] = ()
    target_text: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class TextData:
    """A data set. `note` says what was really read, and what was skipped, and goes into every table."""

    name: str
    note: str
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    train: Pairs
    validation: Pairs
    test: Pairs


Lines = Mapping[str, tuple[Sequence[str], Sequence[str]]]  # split -> (source lines, target lines)


def load_text(data: str, data_dir: Path, options: TextOptions) -> TextData:
    """Read a data set by name, or a folder of parallel files (a path, or a folder of `data_dir`). Raises DataError."""
    from trainables.data import text

    known = data_sets(text)
    data_dir = Path(data_dir).expanduser()
    if data in known:
        return known[data].load(data_dir, options)
    for folder in (Path(data).expanduser(), data_dir / data):
        if data and folder.is_dir():
            endings = options.source or "src", options.target or "tgt"
            return read(folder, find(folder, endings), endings, options, folder.resolve().name)
    raise unknown(data, known, f"a folder of {FORM} works too")


def find(
    folder: Path, endings: tuple[str, str], first: Mapping[str, str] | None = None
) -> dict[str, tuple[Path, Path]]:
    """The pair of files of each split, by name; DataError where one is missing.

    first: for a split, the name that counts where several fit.
    """
    found = {}
    for split, words in SPLITS.items():
        stems = sorted({_stem(path, ending) for ending in endings for path in folder.glob(f"*.{ending}*")} - {""})
        fitting = [stem for stem in stems if stem in words or stem.startswith(tuple(f"{w}_" for w in words))]
        preferred = [stem for stem in fitting if stem in ((first or {}).get(split), split)] or fitting
        if len(preferred) > 1:
            raise DataError(f"{folder}: several {split} files ({', '.join(preferred)}); keep one of them there")
        stem = (preferred or [split])[0]
        paths = [
            next((p for p in (folder / f"{stem}.{ending}", folder / f"{stem}.{ending}.gz") if p.is_file()), None)
            for ending in endings
        ]
        for ending, path in zip(endings, paths, strict=True):
            if path is None:
                raise DataError(f"{folder}: no {stem}.{ending} or {stem}.{ending}.gz; a folder of text holds {FORM}")
        found[split] = (paths[0], paths[1])
    return found  # type: ignore[return-value]


def _stem(path: Path, ending: str) -> str:
    name = path.name.removesuffix(".gz")
    return name.removesuffix(f".{ending}") if name.endswith(f".{ending}") else ""


def read(
    folder: Path,
    files: Mapping[str, tuple[Path, Path]],
    languages: tuple[str, str],
    options: TextOptions,
    name: str,
) -> TextData:
    """Read, check and tokenise the files of the three splits, or take it from the cache of an earlier time."""
    contents = {path: _bytes(path) for pair in files.values() for path in pair}
    digests = [hashlib.sha256(content).hexdigest() for content in contents.values()]

    def tokenised() -> TextData:
        lines = {split: _lines(pair, contents) for split, pair in files.items()}
        return from_lines(lines, languages, options, name, f"{name} ({len(lines['train'][0]):,} training pairs")

    return text_cache.cached(folder, [name, languages, digests, repr(options)], tokenised)


def from_lines(lines: Lines, languages: tuple[str, str], options: TextOptions, name: str, begin: str) -> TextData:
    """Text data of lines in memory; begin: the note without its closing bracket."""
    cut = {
        split: [[tokenise(line, language) for line in side] for side, language in zip(pair, languages, strict=True)]
        for split, pair in lines.items()
    }
    kept = {split: _fitting(pair[0], pair[1], options.max_tokens) for split, pair in cut.items()}
    skipped = [f"{len(cut[s][0]) - len(k)} {s}" for s, k in kept.items() if len(k) < len(cut[s][0])]
    for split, indices in kept.items():
        if not indices:
            raise DataError(f"{name}: no {split} pair has 1 to {options.max_tokens} tokens on both sides")
    counted = SPLITS if options.vocabulary == "all" else ("train",)
    source, target = (
        Vocabulary.build(
            languages[side], (cut[split][side][i] for split in counted for i in kept[split]), options.min_frequency
        )
        for side in (0, 1)
    )

    def pairs(split: str) -> Pairs:
        texts = [tuple(lines[split][side][i] for i in kept[split]) for side in (0, 1)] if split != "train" else [(), ()]
        encoded = [
            Sentences.of([vocabulary.encode(cut[split][side][i]) for i in kept[split]])
            for side, vocabulary in enumerate((source, target))
        ]
        return Pairs(encoded[0], encoded[1], *texts)

    note = f"{begin}; skipped as empty or over {options.max_tokens} tokens: {', '.join(skipped)}" if skipped else begin
    return TextData(name, f"{note})", source, target, pairs("train"), pairs("val"), pairs("test"))


def _fitting(source: Sequence[list[Token]], target: Sequence[list[Token]], most: int) -> list[int]:
    return [
        i
        for i, (one, other) in enumerate(zip(source, target, strict=True))
        if 1 <= len(one) <= most and 1 <= len(other) <= most
    ]


def _bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); replace it") from None


def _lines(pair: tuple[Path, Path], contents: Mapping[Path, bytes]) -> tuple[list[str], list[str]]:
    source, target = (_decoded(path, contents[path]) for path in pair)
    if len(source) != len(target):
        raise DataError(
            f"{pair[0]}: {len(source)} lines, but {pair[1].name} has {len(target)}; line i of one is the translation "
            "of line i of the other"
        )
    return source, target


def _decoded(path: Path, content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8; convert the file, such as with iconv") from None
    if not text.strip():
        raise DataError(f"{path}: empty; one sentence a line is needed")
    # Only the line feed ends a line: str.splitlines would cut at characters that may stand inside a sentence.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]
