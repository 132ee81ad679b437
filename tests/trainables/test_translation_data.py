"""Text data: tokens and back, vocabularies, folders, their errors, and the real Multi30k if it is there."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.cli.translation import split_lines
from models.inputs.text import SPECIALS, UNKNOWN, Vocabulary, tokenise
from record.errors import UserError
from tests.conftest import SHARED
from trainables.data import DataError, data_sets
from trainables.data.images import sets as image_sets
from trainables.data.text import sets
from trainables.data.text.loading import load_text
from trainables.data.text.options import TextOptions
from trainables.data.text.text_data import Sentences, TextData
from trainables.translation.task import DataOptions, describe, load_data

pytestmark = pytest.mark.usefixtures("user_cache")  # decoded and tokenised data are cached there

MULTI30K = pytest.mark.skipif(
    not (SHARED / "data" / "multi30k").is_dir(), reason="the real data are not on this machine"
)
GERMAN = ["Ein Hund läuft.", "Eine Frau liest ein Buch.", "Ein Hund (braun) schläft.", "Ein Mann läuft."]
ENGLISH = ["A dog runs.", "A woman reads a book.", "A (brown) dog doesn't run.", "A man runs."]


def write(folder: Path, endings: tuple[str, str] = ("src", "tgt"), **changed: bytes) -> Path:
    """A folder of parallel text; changed: the content of individual files, named with _ instead of the dot."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        for ending, lines in zip(endings, (GERMAN, ENGLISH), strict=True):
            content = changed.get(f"{split}_{ending}", ("\n".join(lines) + "\n").encode())
            (folder / f"{split}.{ending}").write_bytes(content)
    return folder


def load(folder: Path, **options: object) -> TextData:
    return load_text(str(folder), folder.parent, TextOptions(**{"min_frequency": 1} | options))


def test_the_rules_of_a_language_split_its_sentences() -> None:
    assert [t.text for t in tokenise("Don't go (home).", "en")] == ["Do", "n't", "go", "(", "home", ")", "."]
    assert [t.space_before for t in tokenise("Don't go", "en")] == [False, False, True]
    assert [t.text for t in tokenise("a b", "no such language")] == ["a", "b"]


def test_a_vocabulary_has_the_frequent_tokens_in_order() -> None:
    sentences = [tokenise(line, "en") for line in ("b a c", "b a", "b")]
    vocabulary = Vocabulary.build("en", sentences, 2)
    assert vocabulary.tokens == (*SPECIALS, "b", "a")
    assert vocabulary.encode(tokenise("a c b", "en")) == [5, UNKNOWN, 4]
    assert Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary


def test_sentences_are_spaced_like_the_training_text() -> None:
    vocabulary = Vocabulary.build("en", [tokenise(line, "en") for line in ENGLISH], 1)
    for line in ENGLISH:
        assert vocabulary.write(vocabulary.read(line)) == line


@pytest.mark.parametrize(
    ("language", "packages"), [("ja", "sudachipy"), ("ko", "natto-py"), ("th", "pythainlp"), ("vi", "pyvi")]
)
def test_a_language_whose_tokenizer_needs_a_package_names_it(tmp_path: Path, language: str, packages: str) -> None:
    if importlib.util.find_spec({"natto-py": "natto"}.get(packages, packages)):
        pytest.skip(f"{packages} is installed")
    folder = write(tmp_path / "text", (language, "en"))
    with pytest.raises(
        UserError, match=f"language '{language}': .* needs another package; install {packages}"
    ) as error:
        load(folder, source=language, target="en")
    assert "\n" not in str(error.value)


def test_chinese_needs_no_package() -> None:
    assert [token.text for token in tokenise("你好", "zh")] == ["你", "好"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("a\u2028b\x0cc\x85d\ne\n", ["a\u2028b\x0cc\x85d", "e"]),
        ("\ufeffa\r\nb\r\n", ["a", "b"]),
        ("a\n\nb", ["a", "", "b"]),
        ("", []),
    ],
)
def test_only_the_line_feed_ends_a_line_to_translate(content: str, lines: list[str]) -> None:
    assert split_lines(content.encode()) == lines


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=6))
def test_sentences_come_back_from_their_arrays(rows: list[list[int]]) -> None:
    sentences = Sentences.of(rows)
    assert len(sentences) == len(rows) and sentences.lengths.tolist() == [len(row) for row in rows]
    assert [sentences[i].tolist() for i in range(len(rows))] == rows


def test_data_sets_belong_to_text_or_to_images() -> None:
    assert data_sets(sets) == ["multi30k", "reversal"]
    assert not {"multi30k", "reversal"} & set(data_sets(image_sets))


def test_the_files_of_a_folder_may_have_any_endings(tmp_path: Path) -> None:
    plain = load(write(tmp_path / "plain"))
    folder = write(tmp_path / "packed", ("de", "en"))
    for path in list(folder.iterdir()):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = load(folder, source="de", target="en")
    assert len(plain.train) == len(packed.train) == 4
    assert packed.target_vocabulary.language == "en"
    assert packed.test.target_text == tuple(ENGLISH)
    assert packed.note == "packed (4 training pairs)"


def test_the_vocabulary_comes_from_the_training_split_unless_all_are_chosen(tmp_path: Path) -> None:
    folder = write(tmp_path / "text", test_src=b"Zebra\n", test_tgt=b"zebra\n")
    assert "zebra" not in load(folder).target_vocabulary.tokens
    assert "zebra" in load(folder, vocabulary="all").target_vocabulary.tokens
    assert load(folder).test.target[0].tolist() == [UNKNOWN]


def test_empty_and_long_sentences_are_skipped_and_counted(tmp_path: Path) -> None:
    lines = [*GERMAN, "", "wort " * 20]
    folder = write(
        tmp_path / "text", train_src="\n".join(lines).encode(), train_tgt="\n".join([*ENGLISH, "x", "y"]).encode()
    )
    data = load(folder, max_tokens=10)
    assert len(data.train) == 4
    assert data.note == "text (6 training pairs; skipped as empty or over 10 tokens: 2 train)"


def test_only_the_line_feed_ends_a_line(tmp_path: Path) -> None:
    text = "\ufeff" + "\n".join([*GERMAN[:3], "Ein\u2028Mann\x85läuft."]) + "\n"
    assert len(load(write(tmp_path / "text", train_src=text.encode())).train) == 4


def test_the_cache_notices_changed_content(tmp_path: Path) -> None:
    folder = write(tmp_path / "text")
    first = load(folder)
    entries = list((folder / ".cache").iterdir())
    assert len(entries) == 1
    again = load(folder)
    assert again.target_vocabulary == first.target_vocabulary and again.test.target_text == first.test.target_text
    assert again.train.source.tokens.tolist() == first.train.source.tokens.tolist()
    changed = (folder / "train.tgt").read_bytes().replace(b"dog", b"cat")  # the same size, and almost the same time
    (folder / "train.tgt").write_bytes(changed)
    assert "cat" in load(folder).target_vocabulary.tokens
    entries[0].write_bytes(b"damaged")
    (folder / "train.tgt").write_bytes(changed.replace(b"cat", b"dog"))
    assert load(folder).target_vocabulary == first.target_vocabulary


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_src": b""}, r"train\.src: empty; one sentence per line"),
        ({"val_tgt": b"one\n"}, r"val\.src: 4 lines, but val\.tgt has 1"),
        ({"test_src": "Ein Hund läuft.\nMünchen\n".encode("latin1")}, r"test\.src, line 1: not UTF-8"),
        ({"val_src": b"\xff\xfe\n" * 4}, r"val\.src, line 1: not UTF-8"),
    ],
)
def test_errors_name_bad_files(changed: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        load(write(tmp_path / "text", **changed))
    assert "\n" not in str(error.value)


def test_errors_name_missing_files_and_unknown_names(tmp_path: Path) -> None:
    folder = write(tmp_path / "text")
    (folder / "val.tgt").unlink()
    with pytest.raises(DataError, match=r"no val\.tgt or val\.tgt\.gz; a folder of text holds"):
        load(folder)
    with pytest.raises(DataError, match=r"neither a data set nor a folder in .*; did you mean 'multi30k'"):
        load_text("multi30", tmp_path, TextOptions())
    broken = write(tmp_path / "broken")
    (broken / "test.src").rename(broken / "test.src.gz")
    with pytest.raises(DataError, match=r"test\.src\.gz: cannot be read"):
        load(broken)
    with pytest.raises(ValueError, match=r"^min_frequency must be 1 or more, got 0"):
        TextOptions(min_frequency=0)
    with pytest.raises(DataError, match="no train pair has 1 to 1 tokens"):
        load(write(tmp_path / "long"), max_tokens=1)


def test_a_failed_download_names_the_alternatives_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.data.text.sets.multi30k._URL", "http://127.0.0.1:9/nothing")
    with pytest.raises(DataError, match=r"train\.de\.gz.*--data-dir, or use --data reversal"):
        load_text("multi30k", tmp_path / "data", TextOptions())
    assert not (tmp_path / "data").exists()


def test_reversal_holds_reversed_sequences_and_disjoint_splits() -> None:
    data = load_text("reversal", Path("data"), TextOptions())
    assert [len(part) for part in (data.train, data.validation, data.test)] == [8000, 500, 500]
    assert len(data.source_vocabulary) == len(data.target_vocabulary) == 14
    for one, other in zip(data.test.source_text, data.test.target_text, strict=True):
        assert one.split() == other.split()[::-1]
    assert not set(data.validation.source_text) & set(data.test.source_text)


def test_the_source_as_it_is_gives_the_baseline() -> None:
    data, test, _ = load_data("reversal", Path("data"), DataOptions())
    same = replace(test, target_text=test.source_text)
    others = replace(test, target_text=tuple("nothing of this occurs" for _ in range(len(test))))
    assert describe(replace(data, validation=same), others)["baseline"] == {
        "validation": pytest.approx(100),
        "test": pytest.approx(0, abs=0.1),
    }


@MULTI30K
@pytest.mark.slow
def test_multi30k_has_the_known_vocabularies() -> None:
    own = load_text("multi30k", SHARED / "data", TextOptions())
    assert (len(own.source_vocabulary), len(own.target_vocabulary)) == (8014, 6191)
    assert [len(part) for part in (own.train, own.validation, own.test)] == [29000, 1014, 1000]
    report = load_text("multi30k", SHARED / "data", TextOptions(vocabulary="all"))
    assert (len(report.source_vocabulary), len(report.target_vocabulary)) == (8316, 6384)
    sentences = [report.target_vocabulary.write(report.test.target[i]) for i in range(len(report.test))]
    equal = sum(one == other for one, other in zip(sentences, report.test.target_text, strict=True))
    assert equal >= 850  # the others have unknown words or quotation marks
