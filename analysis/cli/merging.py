"""The verbs that look at token merging in a trained model: merges, tome-sweep.

python -m analysis merges results/digits_compare --trial best
python -m analysis tome-sweep results/digits_compare --trial vit-002 --ratios 0,0.2,0.4,0.6
"""

from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.arguments import Folder, TrialOption
from analysis.cli.output import print_notes, writing
from analysis.read.errors import StudyError
from analysis.tell.formats import Format
from record.folder import StudyFolder

RatiosOption = Annotated[str | None, typer.Option(metavar="R,R,...", help="Shares of the patch tokens, 0 <= R < 1.")]

app = typer.Typer()


@app.command()
def merges(
    folder: Folder,
    trial: TrialOption = "best",
    ratios: RatiosOption = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Your own images [default: test images].")] = None,
    count: Annotated[int, typer.Option(help="How many images.", min=1, max=20)] = 5,
    to: Annotated[Path | None, typer.Option(help="The file [default: STUDY_DIR/figures/merges_TRIAL.png].")] = None,
) -> None:
    """Draw which patches a trained model merges, over test images at several ratios side by side (PNG)."""
    from analysis.use.merges import RATIOS, draw
    from analysis.use.merging_model import merging_model
    from analysis.use.samples import load_samples, read_folder
    from record.contents import Sample

    shares = _shares(ratios, RATIOS)
    model = merging_model(folder, trial)
    sample = load_samples(folder)["test"] if images is None else read_folder(images, model.exported, count)
    path = to or StudyFolder(folder).figures / f"merges_{model.trial}.png"
    with writing("the picture", path):
        print(draw(model, Sample(sample.images[:count], sample.labels[:count]), shares, path))


@app.command()
def tome_sweep(
    folder: Folder,
    trial: TrialOption = "best",
    ratios: RatiosOption = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="DIR/<class>/*.jpg [default: the study's own images].")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The folder to write to [default: STUDY_DIR/figures].")] = None,
) -> None:
    """Speed and accuracy of one trained model at many merging ratios, without training: tome_sweep.csv and .png.

    Speed is measured here and now, so nothing else should run. Choose a ratio by the validation accuracy.
    """
    from analysis.tell.tables import print_frame
    from analysis.use import tome_sweep as sweeping
    from analysis.use.merging_model import merging_model
    from analysis.use.samples import UNKNOWN, load_samples, read_folder

    shares = _shares(ratios, sweeping.RATIOS)
    model = merging_model(folder, trial)
    samples = load_samples(folder) if images is None else {"images": read_folder(images, model.exported)}
    if any((sample.labels == UNKNOWN).any() for sample in samples.values()):
        known = ", ".join(model.exported.classes[:5])
        raise StudyError(f"--images {images}: some images are not in a folder named after a class ({known}, ...)")
    table = sweeping.sweep(model, samples, shares)
    shown = ["tome_ratio", "tokens_left", "inference_images_per_second", "times_as_fast"]
    print_frame(table[[*shown, *sweeping.accuracies(table)]], Format.TEXT)
    target = to or StudyFolder(folder).figures
    with writing("the sweep", target):
        for path in sweeping.write(table, target):
            print(path)
    if (worst := table["spread"].max()) > sweeping.UNSTEADY:
        print_notes([f"the repeats' quartiles are up to {worst:.0%} apart: something else was running"])


def _shares(text: str | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """`--ratios`, such as "0,0.3,0.6"."""
    try:
        shares = tuple(float(part) for part in text.split(",")) if text is not None else default
    except ValueError:
        shares = (-1.0,)
    if not all(0 <= share < 1 for share in shares):
        raise StudyError(f"--ratios {text}: write shares from 0 to below 1 with commas, such as 0,0.3,0.6")
    return shares
