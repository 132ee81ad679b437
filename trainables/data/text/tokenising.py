"""From lines of text to text data: tokens, the vocabularies of the training text, token positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.inputs.text import Token, Vocabulary, tokenise
from trainables.data import DataError
from trainables.data.text.options import TextOptions
from trainables.data.text.text_data import Pairs, Sentences, TextData

# train, val, test -> (source lines, target lines); line i of one side translates line i of the other
Lines = Mapping[str, tuple[Sequence[str], Sequence[str]]]


def from_lines(lines: Lines, languages: tuple[str, str], options: TextOptions, name: str, origin: str) -> TextData:
    """Tokenise lines in memory. origin: what the data set's note says about them. Raises DataError for an empty split."""
    tokens = {
        split: [[tokenise(line, language) for line in side] for side, language in zip(pair, languages, strict=True)]
        for split, pair in lines.items()
    }
    chosen = {split: _fitting(source, target, options.max_tokens) for split, (source, target) in tokens.items()}
    for split, indices in chosen.items():
        if not indices:
            raise DataError(f"{name}: no {split} pair has 1 to {options.max_tokens} tokens on both sides")
    counted = lines if options.vocabulary == "all" else ("train",)
    source, target = (
        Vocabulary.build(
            languages[side], (tokens[split][side][i] for split in counted for i in chosen[split]), options.min_frequency
        )
        for side in (0, 1)
    )

    def pairs(split: str) -> Pairs:
        indices, (source_tokens, target_tokens), texts = chosen[split], tokens[split], lines[split]
        return Pairs(
            Sentences.of([source.encode(source_tokens[i]) for i in indices]),
            Sentences.of([target.encode(target_tokens[i]) for i in indices]),
            *(() if split == "train" else (tuple(side[i] for i in indices) for side in texts)),
        )

    note = f"{name} ({origin}{_skipped(tokens, chosen, options.max_tokens)})"
    return TextData(name, note, source, target, pairs("train"), pairs("val"), pairs("test"))


def _fitting(source: Sequence[list[Token]], target: Sequence[list[Token]], max_tokens: int) -> list[int]:
    """The positions of the pairs that have 1 to `max_tokens` tokens on both sides."""
    return [
        i
        for i, (one, other) in enumerate(zip(source, target, strict=True))
        if 1 <= len(one) <= max_tokens and 1 <= len(other) <= max_tokens
    ]


def _skipped(
    tokens: Mapping[str, Sequence[Sequence[list[Token]]]], chosen: Mapping[str, list[int]], max_tokens: int
) -> str:
    """The part of the note that counts the pairs left out; "" if none was."""
    counts = {split: len(tokens[split][0]) - len(indices) for split, indices in chosen.items()}
    skipped = ", ".join(f"{count} {split}" for split, count in counts.items() if count)
    return f"; skipped as empty or over {max_tokens} tokens: {skipped}" if skipped else ""
