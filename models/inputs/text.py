"""From a sentence to tokens and back, defined once: training and later translation must tokenise alike.

spaCy's rule tokenizers (`spacy.blank`, nothing to download) split sentences; the vocabulary is ours. No torch.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from record.errors import UserError, one_line

# The positions of the special tokens in every vocabulary. Padding fills the shorter sequences of a batch.
PADDING, UNKNOWN, BEGIN, END = range(4)
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")

# What spaCy's tokenizers of these languages need, https://spacy.io/usage/models#languages
_PACKAGES = {"ja": "sudachipy and sudachidict_core", "ko": "natto-py and mecab-ko", "th": "pythainlp", "vi": "pyvi"}


@dataclass(frozen=True)
class Token:
    text: str
    space_before: bool


def tokenise(sentence: str, language: str) -> list[Token]:
    """The tokens of one sentence. White space beyond one space is a token too, as in spaCy.

    language: a code that spaCy has rules for ("de"); any other word selects the rules for all languages. Raises
    UserError where its rules need a package that is not installed.
    """
    tokens = []
    space = False
    for token in _tokenizer(language)(sentence.strip()):
        tokens.append(Token(token.text, space))
        space = bool(token.whitespace_)
    return tokens


@cache
def _tokenizer(language: str) -> Any:
    import spacy  # takes a second to import
    from spacy.util import get_lang_class

    try:
        get_lang_class(language)
    except ImportError:
        language = "xx"
    try:
        return spacy.blank(language).tokenizer
    except ImportError as error:
        needed = _PACKAGES.get(language)
        advice = f"install {needed}" if needed else one_line(error)
        raise UserError(f"language {language!r}: spaCy's tokenizer needs another package; {advice}") from None


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a model knows in one language, and which of them are written without a space."""

    language: str
    tokens: tuple[str, ...]  # the special ones first
    joins_left: frozenset[str] = frozenset()  # no space before them: commas, for example
    joins_right: frozenset[str] = frozenset()  # no space after them: opening brackets, for example

    @classmethod
    def build(cls, language: str, sentences: Iterable[list[Token]], min_frequency: int) -> Vocabulary:
        """The tokens that occur at least `min_frequency` times, the most frequent ones first."""
        counts: Counter[str] = Counter()
        left: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for sentence in sentences:
            counts.update(token.text for token in sentence)
            for one, other in itertools.pairwise(sentence):
                if not other.space_before:
                    # A bracket beside a word explains the missing space; of two words ("ca" "n't") the second does.
                    opens = not one.text[-1].isalnum() and other.text[0].isalnum()
                    (right if opens else left)[one.text if opens else other.text] += 1
        known = [token for token, count in counts.items() if count >= min_frequency and token not in SPECIALS]
        known.sort(key=lambda token: (-counts[token], token))

        def usual(joined: Counter[str]) -> frozenset[str]:
            return frozenset(token for token in known if 2 * joined[token] > counts[token])

        return cls(language, (*SPECIALS, *known), usual(left), usual(right))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {token: position for position, token in enumerate(self.tokens)}

    def encode(self, tokens: Iterable[Token]) -> list[int]:
        """The positions of the tokens, UNKNOWN for unknown ones. Adds no special tokens."""
        return [self._positions.get(token.text, UNKNOWN) for token in tokens]

    def cut(self, sentence: str) -> list[Token]:
        """The sentence's tokens by the rules of the language."""
        return tokenise(sentence, self.language)

    def read(self, sentence: str) -> list[int]:
        """Tokenise and encode a sentence."""
        return self.encode(self.cut(sentence))

    def words(self, positions: Iterable[int]) -> list[str]:
        """The texts of the tokens, special ones included."""
        return [self.tokens[position] for position in positions]

    def write(self, positions: Iterable[int]) -> str:
        """The sentence of these tokens without special ones, spaced as the training text mostly was."""
        return "".join(self._spaced(self.tokens[p] for p in positions if p not in (PADDING, BEGIN, END)))

    def _spaced(self, words: Iterable[str]) -> Iterator[str]:
        before = None
        for word in words:
            if before is not None and word not in self.joins_left and before not in self.joins_right:
                yield " "
            yield word
            before = word

    def to_dict(self) -> dict[str, Any]:
        """The content of a JSON file."""
        return {
            "language": self.language,
            "tokens": list(self.tokens),
            "joins_left": sorted(self.joins_left),
            "joins_right": sorted(self.joins_right),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Vocabulary:
        """The vocabulary that `to_dict` wrote."""
        return cls(
            content["language"],
            tuple(content["tokens"]),
            frozenset(content["joins_left"]),
            frozenset(content["joins_right"]),
        )
