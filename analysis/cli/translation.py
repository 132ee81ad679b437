"""The verbs of the command line that show what a model does: translate, attention.

python -m analysis translate results/translation_small "Eine Frau steht im Garten." --beams 5
python -m analysis attention results/translation_small --sentence "Eine Frau steht im Garten."
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.read.study_folder import StudyError, load

Folder = Annotated[Path, typer.Argument(metavar="STUDY_DIR", help="A study folder, such as results/reversal.")]
Trial = Annotated[str, typer.Option(metavar="best|knee|NAME", help="Which one; NAME as in the table.")]

app = typer.Typer()


@app.command()
def translate(
    folder: Folder,
    text: Annotated[list[str], typer.Argument(metavar="SENTENCE|FILE|-", help="Sentences, files of them, or -.")],
    trial: Trial = "best",
    beams: Annotated[int | None, typer.Option(help="Width of the beam search [default: the study's].", min=1)] = None,
) -> None:
    """Translate sentences, the lines of files, or (-) of standard input; one line out for each line in."""
    from analysis.use.translator import Translator

    sentences = [line for given in text for line in _lines(given)]
    for line in Translator(folder, trial).translate(sentences, beams):
        print(line)


@app.command()
def attention(
    folder: Folder,
    trial: Trial = "best",
    sentence: Annotated[str | None, typer.Option(help="Of a translation study: the sentence to translate.")] = None,
    image: Annotated[Path | None, typer.Option(help="Of an image study: the image to classify.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="The folder for it [default: STUDY_DIR/attention].")] = None,
) -> None:
    """Draw what a model attends to: a translation's tokens, or a ViT's class token over its image."""
    to = to or folder / "attention"
    try:
        if load(folder).spec.get("task") == "translation":
            if sentence is None:
                raise StudyError("--sentence is missing: the sentence to translate")
            written = _translation(folder, trial, sentence, to)
        else:
            if image is None:
                raise StudyError("--image is missing: the image file to classify")
            written = [_image(folder, trial, image, to)]
    except OSError as error:
        raise StudyError(f"{to}: the pictures cannot be written: {error.strerror}; choose another --to") from error
    for path in written:
        print(path)


def _translation(folder: Path, trial: str, sentence: str, to: Path) -> list[Path]:
    from analysis.use.attention import write_attention
    from analysis.use.translator import Translator

    translator = Translator(folder, trial)
    return write_attention(translator.attend(sentence), sentence, translator.trial, to)


def _image(folder: Path, trial: str, image: Path, to: Path) -> Path:
    import torch

    from analysis.use.attention import draw_image_attention, image_attention
    from analysis.use.export import trained
    from models.inputs.image_files import decode
    from models.inputs.preprocessing import prepare

    found = trained(folder, trial)
    steps = found.exported.preprocessing
    network: Any = found.exported.build()
    network.load_state_dict(found.state)
    note = ""
    if found.exported.options.get("tome_ratio"):
        from models.vit_tome import set_ratio

        set_ratio(network, 0.0)
        note = ", drawn without merging"
    try:
        pixels = decode(image, steps.decoded_size or steps.image_size)
    except Exception as error:  # decoders raise nearly anything
        raise StudyError(f"--image {image}: no readable image ({type(error).__name__}); name another") from error
    ready = prepare(torch.from_numpy(pixels)[None], steps.image_size, torch.tensor(steps.mean), torch.tensor(steps.std))
    try:
        maps = image_attention(network, ready)
    except ValueError as error:
        raise StudyError(f"trial {found.row['trial']} ({found.exported.model}): {error}; name another trial") from error
    with torch.inference_mode():
        named = found.exported.classes[int(network(ready).argmax())]
    title = f"{found.row['trial']}: class-token attention, {image.name}, classified as {named}{note}"
    return draw_image_attention(maps, pixels, title, to / f"attention_{image.stem}.png")


def _lines(given: str) -> list[str]:
    """The sentences of one argument: standard input for "-", a file's lines where there is one of that name."""
    try:
        if given == "-":
            return sys.stdin.read().splitlines()
        if len(given) < 200 and Path(given).is_file():
            return Path(given).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{given}: cannot be read as UTF-8 text ({error})") from error
    return [given]
