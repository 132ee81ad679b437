"""The verbs that show a trained model at work: translate, attention.

python -m analysis translate results/translation_small "Eine Frau steht im Garten." --beams 5
python -m analysis translate results/translation_small test.de --reference test.en > translations.en
python -m analysis attention results/translation_small --sentence "Eine Frau steht im Garten."
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.arguments import Folder, TrialOption
from analysis.cli.output import print_notes, writing
from analysis.read.errors import StudyError
from record.folder import StudyFolder

app = typer.Typer()


@app.command()
def translate(
    folder: Folder,
    text: Annotated[list[str], typer.Argument(metavar="SENTENCE|FILE|-", help="Sentences, files of them, or -.")],
    trial: TrialOption = "best",
    beams: Annotated[int | None, typer.Option(help="Width of the beam search [default: the study's].", min=1)] = None,
    reference: Annotated[
        Path | None, typer.Option(help="A file of right translations, one a line: sacreBLEU is told on standard error.")
    ] = None,
) -> None:
    """Translate sentences, the lines of files, or (-) of standard input; one line out for each line in."""
    from analysis.use.translator import Translator, sacrebleu

    sentences = [line for argument in text for line in _lines(argument)]
    right = None if reference is None else _references(reference, len(sentences))
    translations = Translator(folder, trial).translate(sentences, beams)
    for line in translations:
        print(line)
    if right is not None:
        print_notes([sacrebleu(translations, right)])


@app.command()
def attention(
    folder: Folder,
    trial: TrialOption = "best",
    sentence: Annotated[str | None, typer.Option(help="For a translation study: the sentence to translate.")] = None,
    image: Annotated[Path | None, typer.Option(help="For an image study: the image to classify.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="The folder for it [default: STUDY_DIR/attention].")] = None,
) -> None:
    """Draw what a model attends to: a translation's tokens, or a ViT's class token over its image."""
    from analysis.read.study_folder import load

    load(folder)  # raises where it is not a study folder
    to = to or folder / "attention"
    with writing("the pictures", to):
        if StudyFolder(folder).text.exists():
            paths = _attention_of_tokens(folder, trial, sentence, to)
        else:
            paths = _attention_over_image(folder, trial, image, to)
    for path in paths:
        print(path)


def _attention_of_tokens(folder: Path, trial: str, sentence: str | None, to: Path) -> list[Path]:
    from analysis.use.translation_attention import write_attention
    from analysis.use.translator import Translator

    if sentence is None:
        raise StudyError("--sentence is missing: the sentence to translate")
    translator = Translator(folder, trial)
    return write_attention(translator.attend(sentence), sentence, translator.trial, to)


def _attention_over_image(folder: Path, trial: str, image: Path | None, to: Path) -> list[Path]:
    from analysis.use.image_attention import write_image_attention

    if image is None:
        raise StudyError("--image is missing: the image file to classify")
    return [write_image_attention(folder, trial, image, to)]


def split_lines(content: bytes) -> list[str]:
    """Lines of UTF-8 text. Only a line feed ends one, as in the training text; a byte order mark is not part of it."""
    text = content.decode("utf-8-sig")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _lines(argument: str) -> list[str]:
    """The sentences of one argument: standard input for "-", a file's lines where there is a file of that name."""
    if argument == "-":
        return _read(argument, sys.stdin.buffer.read)
    if len(argument) < 200 and Path(argument).is_file():
        return _read(argument, Path(argument).read_bytes)
    return [argument]


def _references(file: Path, sentences: int) -> list[str]:
    lines = _read(str(file), file.read_bytes)
    if len(lines) != sentences or not lines:
        raise StudyError(f"--reference {file} has {len(lines)} lines for {sentences} sentences: give one line for each")
    return lines


def _read(name: str, read: Callable[[], bytes]) -> list[str]:
    try:
        return split_lines(read())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"{name}: cannot be read as UTF-8 text ({reason})") from error
